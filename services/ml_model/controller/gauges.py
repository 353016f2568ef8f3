"""Figures for Prometheus that are looked up when it asks: the same from every worker."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ml_model.pacing import Paced
from ml_model.service.labels import LabelService


class AccuracyGauge(Collector):
    """`model_accuracy` of each version, from the labels of the last 24 hours' answers."""

    def __init__(self, labels: LabelService) -> None:
        self._labels = labels
        self._paced: Paced[Mapping[tuple[str, int], float]] = Paced()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Ask the database; must run within a request."""
        gauge = GaugeMetricFamily(
            "model_accuracy",
            "Share of right answers by the labels of the last 24 hours",
            labels=["registered_model_name", "model_version"],
        )
        found = self._paced.get(self._labels.accuracy_by_version)
        for (name, version), accuracy in found.items():
            gauge.add_metric([name, str(version)], accuracy)
        yield gauge
