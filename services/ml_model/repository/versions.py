"""The recorded model versions with the form they are served in, and where each is in use."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, scoped_session

from ml_model.ledger_entries import ServingRecord
from schema.tables import DatasetRow, ModelVersionRow, RolloutRow, ServingModelRow

_COLUMNS = (
    ModelVersionRow.id,
    ModelVersionRow.registered_name,
    ModelVersionRow.version,
    ModelVersionRow.model_uri,
    ModelVersionRow.model_name,
    ModelVersionRow.hyperparameters,
    ModelVersionRow.training_run_id,
    DatasetRow.name.label("dataset_name"),
    DatasetRow.version.label("dataset_version"),
    ModelVersionRow.drift_sample_id,
    ServingModelRow.runtime,
    ServingModelRow.task,
    ServingModelRow.input_schema,
    ServingModelRow.classes,
    ServingModelRow.class_names,
    ServingModelRow.parity,
    ModelVersionRow.created_at,
)


@dataclass(frozen=True)
class KnownVersion:
    """A recorded version; from `runtime` to `parity` None until it is prepared for serving.

    `input_schema` lists the columns in the order of the model, `classes` and `class_names` run
    parallel, both empty for a regression.
    """

    id: int
    registered_name: str
    version: int
    model_uri: str
    model_name: str
    hyperparameters: Mapping[str, Any]
    training_run_id: str
    dataset_name: str | None
    dataset_version: int | None
    drift_sample_id: str | None
    runtime: str | None
    task: str | None
    input_schema: Sequence[Mapping[str, Any]] | None
    classes: Sequence[Any] | None
    class_names: Sequence[str] | None
    parity: Mapping[str, Any] | None
    created_at: datetime


class SqlVersions:
    """Reads versions, never their bytes. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def find(self, version_ids: Collection[int | None]) -> list[KnownVersion]:
        """Return the versions of these ids, in no order."""
        ids = {version_id for version_id in version_ids if version_id is not None}
        return self._read(_select().where(ModelVersionRow.id.in_(ids))) if ids else []

    def list_newest(self, limit: int, registered_name: str | None) -> list[KnownVersion]:
        """Return up to `limit` versions, the newest first."""
        query = _select().order_by(ModelVersionRow.id.desc()).limit(limit)
        if registered_name is not None:
            query = query.where(ModelVersionRow.registered_name == registered_name)
        return self._read(query)

    def find_ids(self, registered_name: str | None, version: int | None) -> list[int] | None:
        """Return the ids of the versions of that name and number; None where neither is given."""
        if registered_name is None and version is None:
            return None
        query = select(ModelVersionRow.id)
        if registered_name is not None:
            query = query.where(ModelVersionRow.registered_name == registered_name)
        if version is not None:
            query = query.where(ModelVersionRow.version == version)
        return list(self._session.scalars(query))

    def in_use(self, serving: ServingRecord) -> Mapping[int, list[str]]:
        """Return by version where it cannot be done without: the slots and a running roll-out."""
        used: dict[int, list[str]] = {}
        for version_id, place in (
            (serving.current_version_id, "slot current"),
            (serving.next_version_id, "slot next"),
        ):
            if version_id is not None:
                used.setdefault(version_id, []).append(place)
        running = select(
            RolloutRow.id, RolloutRow.current_version_id, RolloutRow.next_version_id
        ).where(RolloutRow.state == "running")
        for rollout_id, *version_ids in self._session.execute(running):
            for version_id in version_ids:
                used.setdefault(version_id, []).append(f"roll-out {rollout_id}")
        return used

    def _read(self, query: Select[Any]) -> list[KnownVersion]:
        return [KnownVersion(*row) for row in self._session.execute(query)]


def _select() -> Select[Any]:
    return (
        select(*_COLUMNS)
        .outerjoin(DatasetRow, DatasetRow.id == ModelVersionRow.dataset_id)
        .outerjoin(ServingModelRow, ServingModelRow.model_version_id == ModelVersionRow.id)
    )
