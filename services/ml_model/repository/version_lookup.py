"""Recorded model versions by their names."""

from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session

from ml_model.ledger_entries import NamedVersion
from schema.tables import ModelVersionRow

_NAMED = (
    ModelVersionRow.id,
    ModelVersionRow.registered_name,
    ModelVersionRow.version,
    ModelVersionRow.model_uri,
)


class SqlVersionLookup:
    """Finds versions. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def find(self, name: str, version: int | None) -> NamedVersion | None:
        """Return a version by name and number, or without a number the newest; None if unknown."""
        query = select(*_NAMED).where(
            # Numbers below 0 are of models that MLflow has lost.
            ModelVersionRow.registered_name == name,
            ModelVersionRow.version >= 0,
        )
        if version is not None:
            query = query.where(ModelVersionRow.version == version)
        row = self._session.execute(
            query.order_by(ModelVersionRow.version.desc()).limit(1)
        ).one_or_none()
        return NamedVersion(*row) if row else None

    def get(self, version_id: int) -> NamedVersion:
        """Return a version by its id."""
        return NamedVersion(
            *self._session.execute(select(*_NAMED).where(ModelVersionRow.id == version_id)).one()
        )
