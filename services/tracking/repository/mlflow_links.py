"""How runs, experiments, versions and logged models hang together, from MLflow's own tables."""

from collections.abc import Collection

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select

from tracking.repository.mlflow_tables import runs

_metadata = MetaData()
logged_models = Table(
    "logged_models",
    _metadata,
    Column("model_id", String, primary_key=True),
    Column("experiment_id", Integer),
    Column("source_run_id", String),
)
model_versions = Table(
    "model_versions",
    _metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("source", String),
)


class MlflowLinks:
    """Questions to MLflow's database; what is deleted counts like the rest."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def runs_in(self, experiment_id: int, run_ids: Collection[str]) -> list[str]:
        """Return those of the runs that are in an experiment."""
        query = select(runs.c.run_uuid).where(
            runs.c.experiment_id == experiment_id, runs.c.run_uuid.in_(run_ids)
        )
        return list(self._connection.scalars(query))

    def logged_models_in(self, experiment_id: int, model_ids: Collection[str]) -> list[str]:
        """Return those of the logged models that are in an experiment."""
        query = select(logged_models.c.model_id).where(
            logged_models.c.experiment_id == experiment_id, logged_models.c.model_id.in_(model_ids)
        )
        return list(self._connection.scalars(query))

    def run_of(self, model_id: str) -> str | None:
        """Return the run that logged a model; None for none and for an unknown model."""
        query = select(logged_models.c.source_run_id).where(logged_models.c.model_id == model_id)
        return self._connection.scalar(query)

    def source_of(self, name: str, version: int) -> str | None:
        """Return the URI that a version was registered from."""
        query = select(model_versions.c.source).where(
            model_versions.c.name == name, model_versions.c.version == version
        )
        return self._connection.scalar(query)
