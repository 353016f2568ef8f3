"""Predict a batch, store every row, have it checked for drift, and keep it as a run in MLflow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_model.errors import PredictionLogged, RequestIdTaken
from ml_model.repository.inference_log import SqlInferenceLog
from ml_model.repository.prediction_log import SqlPredictionLog
from ml_model.repository.work_runs import WorkRun, WorkRuns
from ml_model.service.batch_prediction import checked_rows, class_name_of, json_rows, predict
from ml_model.service.drift_forwarding import DriftForwarding, DriftReply
from ml_model.service.version_choice import ChosenVersion, VersionChoice
from servicekit.database import Database
from servicekit.telemetry import request_id

EXPERIMENT = "inference"
RUN_KIND = "infer"


@dataclass(frozen=True)
class Inference:
    """A batch that was predicted. `probabilities` (n, c), None where the model has none."""

    version: ChosenVersion
    labels: Sequence[Any]
    names: Sequence[str] | None
    probabilities: Sequence[Sequence[float]] | None
    drift: DriftReply
    run: WorkRun


class InferenceService:
    """Predictions are stored before they are answered; drift check and run may be missing."""

    def __init__(
        self,
        database: Database,
        versions: VersionChoice,
        log: SqlInferenceLog,
        logged: SqlPredictionLog,
        runs: WorkRuns,
        drift: DriftForwarding,
    ) -> None:
        self._database = database
        self._versions = versions
        self._log = log
        self._logged = logged
        self._runs = runs
        self._drift = drift

    def infer(self, rows: Sequence[Any], name: str | None, version: int | None) -> Inference:
        """Predict rows given as lists or records.

        A failure is a FAILED run with its traceback. The same request id again stores nothing
        anew.

        Raises
        ------
        NothingServes, VersionNotFound, ModelRefused, MlflowUnavailable
            See `VersionChoice.choose`.
        InvalidRows, PredictionFailed
            The rows do not fit the model.
        RequestIdTaken
            This request id has stored other rows.
        """
        chosen = self._versions.choose(name, version)
        tags = {**chosen.tags, "request_id": request_id()}
        with self._runs.recorded(EXPERIMENT, RUN_KIND, tags) as run:
            return self._infer(chosen, rows, run)

    def _infer(self, chosen: ChosenVersion, rows: Sequence[Any], run: WorkRun) -> Inference:
        model = chosen.model
        started_ns = time.perf_counter_ns()
        checked = checked_rows(model, rows)
        predicted = predict(model, checked)
        latency_us = (time.perf_counter_ns() - started_ns) // 1000
        inputs = json_rows(model, checked)
        probabilities = (
            None if predicted.probabilities is None else predicted.probabilities.tolist()
        )
        self._store(chosen, inputs, predicted.labels, probabilities, latency_us)
        columns = [column.name for column in model.columns]
        drift = self._drift.check(
            {
                "data": [dict(zip(columns, row, strict=True)) for row in inputs],
                "registered_model_name": chosen.named.registered_name,
                "model_version": chosen.named.version,
            }
        )
        names = None
        if model.task == "classification":
            name_of = class_name_of(model)
            names = [name_of[str(label)] for label in predicted.labels]
        run.put_json(
            "predictions.json",
            {
                "columns": columns,
                "rows": inputs,
                "predictions": predicted.labels,
                "probabilities": probabilities,
                "classes": list(model.classes),
            },
        )
        found = drift.check or {}
        run.log(
            metrics={
                "rows": len(inputs),
                "latency_ms": latency_us / 1000,
                **({"share_drifted": found["share_drifted"]} if found else {}),
            },
            tags={"drift": drift.status, "drift_check_id": str(found.get("drift_check_id", ""))},
        )
        return Inference(chosen, predicted.labels, names, probabilities, drift, run)

    def _store(
        self,
        chosen: ChosenVersion,
        inputs: Sequence[Sequence[Any]],
        labels: Sequence[Any],
        probabilities: Sequence[Sequence[float]] | None,
        latency_us: int,
    ) -> None:
        try:
            with self._database.transaction():
                self._log.add(
                    request_id(),
                    chosen.named.id,
                    inputs,
                    labels,
                    probabilities,
                    latency_us,
                    is_class=chosen.model.task == "classification",
                )
        except PredictionLogged as error:
            with self._database.transaction():
                stored = self._logged.find_answered(request_id())
            same = [list(row.inputs) for row in stored] == [list(row) for row in inputs]
            if not same or {row.model_version_id for row in stored} != {chosen.named.id}:
                raise RequestIdTaken(
                    "This X-Request-ID has stored other predictions already; give each request "
                    "an id of its own."
                ) from error
