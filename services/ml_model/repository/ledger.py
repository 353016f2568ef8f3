"""The deployment ledger and the recorded model versions: rows of Postgres as values."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, scoped_session

from ml_model.domain import Deployment, ModelVersion, Registered
from schema.tables import DatasetRow, DeploymentRow, ModelVersionRow


class SqlLedger:
    """What is set and trained. Never commits; takes the session of the running request."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds `name`; held until this one ends."""
        self._session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def find_newest(self, slot: str) -> Deployment | None:
        """Return the state of a slot, None while nothing was ever set there."""
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
        return Deployment(*row) if row else None

    def add(
        self,
        slot: str,
        action: str,
        *,
        model_name: str,
        hyperparameters: Mapping[str, Any],
        source_run_id: str | None,
        model_version_id: int | None,
        reason: str,
        request_id: str,
        actor: str = "api",
    ) -> None:
        """Append an entry; it is the slot's state from the commit on."""
        self._session.add(
            DeploymentRow(
                slot=slot,
                action=action,
                model_name=model_name,
                hyperparameters=dict(hyperparameters),
                source_run_id=source_run_id,
                model_version_id=model_version_id,
                actor=actor,
                reason=reason,
                request_id=request_id,
            )
        )
        self._session.flush()

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
            .join(DatasetRow, DatasetRow.id == ModelVersionRow.dataset_id)
            .where(condition)
        ).one_or_none()
        return ModelVersion(*row) if row else None
