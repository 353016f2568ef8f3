"""The deployment ledger and the recorded model versions: rows of Postgres as values."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session, scoped_session

from ml_model.domain import Deployment, ModelVersion, Registered
from ml_model.ledger_entries import (
    API_ACTOR,
    SET_ACTION,
    Configuration,
    LedgerEntry,
    NamedVersion,
    ServingRecord,
)
from schema.locks import take_lock
from schema.tables import DatasetRow, DeploymentRow, ModelVersionRow

_ENTRY = (
    DeploymentRow.id,
    DeploymentRow.slot,
    DeploymentRow.action,
    DeploymentRow.current_version_id,
    DeploymentRow.next_version_id,
    DeploymentRow.canary_probability,
    DeploymentRow.shadow,
    DeploymentRow.actor,
    DeploymentRow.reason,
    DeploymentRow.request_id,
    DeploymentRow.created_at,
)


class SqlLedger:
    """What is set and trained. Never commits; takes the session of the running request."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds `name`; held until this one ends."""
        self._session.execute(take_lock(name))

    def find_newest(self, slot: str) -> Deployment | None:
        """Return what is set in a slot, None while nothing was ever set there."""
        row = self._session.execute(
            select(
                DeploymentRow.id,
                DeploymentRow.model_name,
                DeploymentRow.hyperparameters,
                DeploymentRow.source_run_id,
                DeploymentRow.model_version_id,
            )
            .where(DeploymentRow.slot == slot)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        ).one_or_none()
        return Deployment(*row) if row and row.model_name is not None else None

    def serving(self) -> ServingRecord:
        """Return what serves now; empty slots before the first entry."""
        newest = self.find_newest_entry()
        return newest.serving if newest else ServingRecord()

    def find_newest_entry(self) -> LedgerEntry | None:
        """Return the newest entry, None of an empty ledger."""
        entries = self.list_entries(limit=1)
        return entries[0] if entries else None

    def find_entry(self, entry_id: int) -> LedgerEntry | None:
        """Return one entry."""
        row = self._session.execute(select(*_ENTRY).where(DeploymentRow.id == entry_id))
        return next((_entry(found) for found in row), None)

    def find_entry_at(self, time: datetime) -> LedgerEntry | None:
        """Return the entry that was the newest at `time`, None before the first."""
        rows = self._session.execute(
            select(*_ENTRY)
            .where(DeploymentRow.created_at <= time)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        )
        return next((_entry(row) for row in rows), None)

    def find_newest_change(self) -> LedgerEntry | None:
        """Return the newest entry that touched what serves; setting a model to train does not."""
        rows = self._session.execute(
            select(*_ENTRY)
            .where(DeploymentRow.action != SET_ACTION)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        )
        return next((_entry(row) for row in rows), None)

    def find_change_after(self, entry_id: int) -> LedgerEntry | None:
        """Return the first later entry that touched what serves."""
        rows = self._session.execute(
            select(*_ENTRY)
            .where(DeploymentRow.id > entry_id, DeploymentRow.action != SET_ACTION)
            .order_by(DeploymentRow.id)
            .limit(1)
        )
        return next((_entry(row) for row in rows), None)

    def find_entry_before_change(self) -> LedgerEntry | None:
        """Return the newest entry whose serving state differs from today's, None without one."""
        now = self.serving()
        rows = self._session.execute(
            select(*_ENTRY)
            .where(
                DeploymentRow.current_version_id.is_distinct_from(now.current_version_id)
                | DeploymentRow.next_version_id.is_distinct_from(now.next_version_id)
                | (DeploymentRow.canary_probability != now.canary_probability)
                | (DeploymentRow.shadow != now.shadow)
            )
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        )
        return next((_entry(row) for row in rows), None)

    def list_entries(self, *, limit: int, before_id: int | None = None) -> Sequence[LedgerEntry]:
        """Return up to `limit` entries, the newest first, those below `before_id` only."""
        query = select(*_ENTRY).order_by(DeploymentRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(DeploymentRow.id < before_id)
        return [_entry(row) for row in self._session.execute(query)]

    def add(
        self,
        slot: str,
        action: str,
        *,
        serving: ServingRecord,
        configuration: Configuration | None = None,
        reason: str,
        request_id: str,
        actor: str = API_ACTOR,
    ) -> int:
        """Append an entry and return its id; it is the state from the commit on."""
        row = DeploymentRow(
            slot=slot,
            action=action,
            model_name=configuration.model_name if configuration else None,
            hyperparameters=dict(configuration.hyperparameters) if configuration else None,
            source_run_id=configuration.source_run_id if configuration else None,
            model_version_id=configuration.model_version_id if configuration else None,
            current_version_id=serving.current_version_id,
            next_version_id=serving.next_version_id,
            canary_probability=serving.canary_probability,
            shadow=serving.shadow,
            actor=actor,
            reason=reason,
            request_id=request_id,
        )
        self._session.add(row)
        self._session.flush()
        return row.id

    def configuration_of(self, version_id: int) -> Configuration:
        """Return what a recorded version was trained as."""
        row = self._session.execute(
            select(
                ModelVersionRow.model_name,
                ModelVersionRow.hyperparameters,
                ModelVersionRow.source_run_id,
                ModelVersionRow.id,
            ).where(ModelVersionRow.id == version_id)
        ).one()
        return Configuration(*row)

    def names_of(self, version_ids: Iterable[int | None]) -> dict[int, NamedVersion]:
        """Return the versions of these ids by id; None among the ids is passed over."""
        rows = self._session.execute(
            select(
                ModelVersionRow.id,
                ModelVersionRow.registered_name,
                ModelVersionRow.version,
                ModelVersionRow.model_uri,
            ).where(ModelVersionRow.id.in_({id_ for id_ in version_ids if id_ is not None}))
        )
        return {row.id: NamedVersion(*row) for row in rows}

    def get_version(self, version_id: int) -> ModelVersion:
        """Return a recorded model version; the ledger's foreign key vouches that it exists."""
        return self._version(ModelVersionRow.id == version_id)  # type: ignore[return-value]

    def find_version(self, fingerprint: str) -> ModelVersion | None:
        """Return the version a training of this fingerprint gave, if there was one."""
        return self._version(ModelVersionRow.fingerprint == fingerprint)

    def record_version(
        self,
        registered: Registered,
        deployment: Deployment,
        *,
        dataset_id: int,
        content_hash: str,
        fingerprint: str,
    ) -> ModelVersion:
        """Store where MLflow keeps the pipeline of this fingerprint, replacing a lost one."""
        # MLflow has just given this number anew, so an older row that claims it lost its model
        # (someone deleted it in MLflow). Numbers below 0 are never MLflow's.
        self._session.execute(
            update(ModelVersionRow)
            .where(
                ModelVersionRow.registered_name == registered.registered_name,
                ModelVersionRow.version == registered.version,
            )
            .values(version=-ModelVersionRow.id)
        )
        values = {
            "registered_name": registered.registered_name,
            "version": registered.version,
            "training_run_id": registered.training_run_id,
            "model_uri": registered.model_uri,
        }
        known = self.find_version(fingerprint)
        if known is not None:
            self._session.execute(
                update(ModelVersionRow).where(ModelVersionRow.id == known.id).values(**values)
            )
            return self.get_version(known.id)
        row = ModelVersionRow(
            **values,
            model_name=deployment.model_name,
            hyperparameters=dict(deployment.hyperparameters),
            source_run_id=deployment.source_run_id,
            dataset_id=dataset_id,
            training_content_hash=content_hash,
            fingerprint=fingerprint,
        )
        self._session.add(row)
        self._session.flush()
        return self.get_version(row.id)

    def _version(self, condition: Any) -> ModelVersion | None:
        row = self._session.execute(
            select(
                ModelVersionRow.id,
                ModelVersionRow.registered_name,
                ModelVersionRow.version,
                ModelVersionRow.model_name,
                ModelVersionRow.fingerprint,
                ModelVersionRow.dataset_id,
                DatasetRow.name,
                DatasetRow.version,
            )
            .outerjoin(DatasetRow, DatasetRow.id == ModelVersionRow.dataset_id)
            .where(condition)
        ).one_or_none()
        return ModelVersion(*row) if row else None


def _entry(row: Any) -> LedgerEntry:
    return LedgerEntry(
        id=row.id,
        slot=row.slot,
        action=row.action,
        serving=ServingRecord(
            row.current_version_id, row.next_version_id, row.canary_probability, row.shadow
        ),
        actor=row.actor,
        reason=row.reason,
        request_id=row.request_id,
        created_at=row.created_at,
    )
