"""Prometheus counters of online predictions, right across worker processes."""

from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from servicekit.telemetry import DURATION, REQUESTS

if TYPE_CHECKING:
    from ml_model.service.prediction import Answer

PREDICTION_REQUESTS = Counter(
    "prediction_requests_total", "Prediction requests, by slot and outcome", ["slot", "outcome"]
)
PREDICTION_DURATION = Histogram(
    "prediction_request_duration_seconds",
    "Time from the arrival of a prediction request until it is committed to the log",
    ["slot"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
PREDICTIONS = Counter("predictions_total", "Predicted rows, by class", ["predicted_class"])
SHADOWS_DROPPED = Counter(
    "shadow_predictions_dropped_total", "Shadow predictions given up because next was too slow"
)

MOST_CLASSES = 50
"""A model may have thousands; the counters must not grow with them."""

OTHER_CLASSES = "other"
NUMBER = "number"


class PredictionMetrics:
    """Counts answers; keeps the counters it has used, since looking one up costs as much again."""

    def __init__(self) -> None:
        self._answered = {
            slot: PREDICTION_REQUESTS.labels(slot, "answered")
            for slot in ("current", "next", "inference")
        }
        self._durations = {slot: PREDICTION_DURATION.labels(slot) for slot in self._answered}
        self._classes: dict[str, Counter] = {}
        self._hot_requests = REQUESTS.labels("ml_model", "POST", "/predict", 200)
        self._hot_duration = DURATION.labels("ml_model", "POST", "/predict")

    def answered(self, slot: str, answer: "Answer", duration_s: float) -> None:
        """Count an answer."""
        self._answered[slot].inc()
        self._durations[slot].observe(duration_s)
        if answer.names is None:
            self._class(NUMBER).inc(len(answer.labels))
        elif len(answer.names) == 1:
            self._class(answer.names[0]).inc()
        else:
            for name, count in Tally(answer.names).items():
                self._class(name).inc(count)

    def failed(self, slot: str) -> None:
        """Count a request that the model failed."""
        PREDICTION_REQUESTS.labels(slot, "failed").inc()

    def shadow_dropped(self) -> None:
        """Count a shadow that was given up."""
        SHADOWS_DROPPED.inc()

    def hot_request(self, status: int, duration_s: float) -> None:
        """Count a request that Flask, which counts the others, never saw."""
        if status == 200:
            self._hot_requests.inc()
        else:
            REQUESTS.labels("ml_model", "POST", "/predict", status).inc()
        self._hot_duration.observe(duration_s)

    def _class(self, name: str) -> Counter:
        counter = self._classes.get(name)
        if counter is None:
            if len(self._classes) >= MOST_CLASSES:
                name = OTHER_CLASSES
            counter = self._classes[name] = PREDICTIONS.labels(name)
        return counter
