"""Which model is set: read it, change it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_model.domain import CURRENT_SLOT, Deployment, ModelVersion
from ml_model.ledger_entries import SET_ACTION, Configuration
from ml_model.repository.ledger import SqlLedger
from modelkit.validation import check_hyperparameters
from schema.locks import SLOT_LOCK
from servicekit.database import Database
from servicekit.telemetry import request_id


@dataclass(frozen=True)
class SlotState:
    """What is set, and the version that was trained of it."""

    deployment: Deployment | None
    version: ModelVersion | None


class DeploymentService:
    """The `current` slot."""

    def __init__(self, database: Database, ledger: SqlLedger) -> None:
        self._database = database
        self._ledger = ledger

    def state(self) -> SlotState:
        """Return what is set now."""
        with self._database.transaction():
            deployment = self._ledger.find_newest(CURRENT_SLOT)
            if deployment is None or deployment.model_version_id is None:
                return SlotState(deployment, None)
            return SlotState(deployment, self._ledger.get_version(deployment.model_version_id))

    def set_model(
        self, model_name: str, hyperparameters: Mapping[str, Any], run_id: str | None
    ) -> None:
        """Set what is trained next; the same again changes nothing, a trained model stays trained.

        Raises
        ------
        ModelNotFound, HyperparametersRefused
            Nothing was changed.
        """
        check_hyperparameters(model_name, hyperparameters)
        with self._database.transaction():
            self._ledger.lock(SLOT_LOCK)
            newest = self._ledger.find_newest(CURRENT_SLOT)
            if newest is not None and newest.is_of(model_name, hyperparameters, run_id):
                return
            self._ledger.add(
                CURRENT_SLOT,
                SET_ACTION,
                serving=self._ledger.serving(),
                configuration=Configuration(model_name, hyperparameters, run_id),
                reason=f"set from run {run_id}" if run_id else "set by a request",
                request_id=request_id(),
            )
