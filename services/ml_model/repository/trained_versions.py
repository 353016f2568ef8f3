"""The versions that jobs have trained: rows of `model_versions`."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session, scoped_session

from ml_model.domain import ModelVersion, Registered
from ml_model.repository.ledger import SqlLedger
from schema.tables import ModelVersionRow


class SqlTrainedVersions:
    """Records versions. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session
        self._ledger = SqlLedger(session)

    def record(
        self,
        registered: Registered,
        *,
        model_name: str,
        hyperparameters: Mapping[str, Any],
        dataset_id: int | None,
        content_hash: str,
        drift_sample_id: str,
    ) -> ModelVersion:
        """Store where MLflow keeps a version and what it was trained of."""
        # MLflow has just given this number anew: see `SqlLedger.record_version`.
        self._lose(
            (ModelVersionRow.registered_name == registered.registered_name)
            & (ModelVersionRow.version == registered.version)
        )
        row = ModelVersionRow(
            registered_name=registered.registered_name,
            version=registered.version,
            model_name=model_name,
            hyperparameters=dict(hyperparameters),
            source_run_id=None,
            training_run_id=registered.training_run_id,
            dataset_id=dataset_id,
            training_content_hash=content_hash,
            fingerprint=None,
            model_uri=registered.model_uri,
            drift_sample_id=drift_sample_id,
        )
        self._session.add(row)
        self._session.flush()
        return self._ledger.get_version(row.id)

    def get(self, version_id: int) -> ModelVersion:
        """Return a recorded version."""
        return self._ledger.get_version(version_id)

    def model_uri(self, version_id: int) -> str:
        """Return the URI that MLflow knows a version by."""
        return self._session.scalars(
            select(ModelVersionRow.model_uri).where(ModelVersionRow.id == version_id)
        ).one()

    def recorded_runs(self, run_ids: Sequence[str]) -> set[str]:
        """Return those of the runs that a recorded version came from."""
        query = select(ModelVersionRow.training_run_id).where(
            ModelVersionRow.training_run_id.in_(run_ids), ModelVersionRow.version >= 0
        )
        return set(self._session.scalars(query))

    def lose(self, run_ids: Sequence[str]) -> None:
        """Note that MLflow no longer has the versions of these runs."""
        self._lose(ModelVersionRow.training_run_id.in_(run_ids) & (ModelVersionRow.version > 0))

    def _lose(self, condition: Any) -> None:
        # Numbers below 0 are never MLflow's.
        self._session.execute(
            update(ModelVersionRow).where(condition).values(version=-ModelVersionRow.id)
        )
