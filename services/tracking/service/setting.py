"""Setting a run's model in the ML service."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from contracts.ml_model import SetModelRequest
from contracts.tracking import SettingRequest
from servicekit.clients import ServiceClient, ServiceUnavailable
from tracking.domain import FINISHED, HYPERPARAMETERS_TAG, MODEL_TAG
from tracking.errors import RunNotFinished, RunNotFound, RunWithoutModel
from tracking.repository.mlflow_tables import MlflowTables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RelayedAnswer:
    """Another service's answer, as it is."""

    status: int
    body: dict[str, Any]


class SettingService:
    """Hands what a run found to the ML service."""

    def __init__(self, tables: MlflowTables, ml_model: ServiceClient) -> None:
        self._tables = tables
        self._ml_model = ml_model

    def set_model(self, request: SettingRequest) -> RelayedAnswer:
        """Set the run's model with its best hyperparameters, types restored from typed JSON.

        Raises
        ------
        RunNotFound
            There is no such run, or it or its experiment is deleted.
        RunNotFinished
            It is open or failed, so it has found nothing.
        RunWithoutModel
            It was not made by a search and does not say what its model's hyperparameters are.
        ServiceUnavailable
            The ML service does not answer.
        """
        run = self._tables.find_run(request.run_id)
        if run is None:
            raise RunNotFound()
        if run.status != FINISHED:
            raise RunNotFinished(
                f"The run is {run.status}. Wait for it or choose another one: "
                f"GET /root/tracking/runs?experiment_id={run.experiment_id}."
            )
        tags = self._tables.read_tags(run)
        setting = SetModelRequest(
            model_name=_model_name(tags.get(MODEL_TAG)),
            hyperparameters=_hyperparameters(tags.get(HYPERPARAMETERS_TAG)),
            run_id=run.id,
        )
        log.info("Run %s: setting %s in the ML service", run.id, setting.model_name)
        answer = self._ml_model.post("/root/ml/set_model", setting.model_dump(mode="json"))
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ServiceUnavailable("What answers as the ML service does not speak JSON.")
        return RelayedAnswer(answer.status_code, body)


def _model_name(tag: str | None) -> str:
    if not tag or len(tag) > 100:
        raise RunWithoutModel(
            f"The run has no usable tag {MODEL_TAG!r}: its model's name, e.g. RandomForest."
        )
    return tag


def _hyperparameters(tag: str | None) -> dict[str, Any]:
    try:
        value = json.loads(tag or "")
    except ValueError:
        value = None
    if not isinstance(value, dict) or len(value) > 100:
        raise RunWithoutModel(
            f"The run has no usable tag {HYPERPARAMETERS_TAG!r}: its hyperparameters as a JSON "
            "object, with their types. Search runs have it; add it to runs logged by hand."
        )
    return value
