"""Serving forms and the versions they belong to: rows of Postgres as values."""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from ml_model.domain import ModelVersion
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.model_uris import ModelSource
from modelkit.servable import ServingForm, columns_from_json, columns_to_json
from schema.tables import ModelVersionRow, ServingModelRow


class SqlServingModels:
    """What every worker loads to serve. Never commits; takes the session of the request."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session
        self._ledger = SqlLedger(session)

    def lock(self, name: str) -> None:
        """Wait until no other transaction prepares `name`; held until this one ends."""
        key = func.hashtextextended(f"cellar.serving.{name}", 0)
        self._session.execute(select(func.pg_advisory_xact_lock(key)))

    def find_prepared(self, source: ModelSource) -> ModelVersion | None:
        """Return the version that a URI leads to, if it is recorded and has its form."""
        row = self._find(source)
        if row is None or not self.has_form(row.id):
            return None
        return self._ledger.get_version(row.id)

    def has_form(self, model_version_id: int) -> bool:
        """Tell whether a version has its form."""
        query = select(ServingModelRow.model_version_id)
        found = query.where(ServingModelRow.model_version_id == model_version_id)
        return self._session.execute(found).first() is not None

    def find_form(self, model_version_id: int) -> ServingForm | None:
        """Return the form of a version, None where it was never prepared."""
        row = self._session.execute(
            select(
                ServingModelRow.runtime,
                ServingModelRow.content,
                ServingModelRow.input_schema,
                ServingModelRow.task,
                ServingModelRow.classes,
                ServingModelRow.class_names,
                ServingModelRow.parity,
            ).where(ServingModelRow.model_version_id == model_version_id)
        ).one_or_none()
        if row is None:
            return None
        return ServingForm(
            runtime=row.runtime,
            content=bytes(row.content),
            columns=columns_from_json(row.input_schema),
            task=row.task,
            classes=tuple(row.classes),
            class_names=tuple(row.class_names),
            parity=row.parity,
        )

    def ensure_version(self, source: ModelSource, model_name: str) -> ModelVersion:
        """Return the recorded version of a source, recorded now where it is not yet."""
        row = self._find(source)
        if row is None:
            # MLflow gives the name to another model now; numbers below 0 are never MLflow's.
            self._session.execute(
                update(ModelVersionRow)
                .where(
                    ModelVersionRow.registered_name == source.registered_name,
                    ModelVersionRow.version == source.version,
                )
                .values(version=-ModelVersionRow.id)
            )
            row = ModelVersionRow(
                registered_name=source.registered_name,
                version=source.version,
                model_name=model_name,
                hyperparameters={},
                training_run_id=source.run_id,
                model_uri=source.model_uri,
            )
            self._session.add(row)
            self._session.flush()
        return self._ledger.get_version(row.id)

    def store_form(self, model_version_id: int, form: ServingForm) -> None:
        """Store a version's form in place of an earlier one."""
        values: dict[str, Any] = {
            "runtime": form.runtime,
            "content": form.content,
            "input_schema": columns_to_json(form.columns),
            "task": form.task,
            "classes": list(form.classes),
            "class_names": list(form.class_names),
            "parity": dict(form.parity),
        }
        self._session.execute(
            insert(ServingModelRow)
            .values(model_version_id=model_version_id, **values)
            .on_conflict_do_update(index_elements=["model_version_id"], set_=values)
        )

    def _find(self, source: ModelSource) -> Any:
        """Return the row that is this very model: a name may have been given anew."""
        return self._session.execute(
            select(ModelVersionRow.id).where(
                ModelVersionRow.registered_name == source.registered_name,
                ModelVersionRow.version == source.version,
                ModelVersionRow.training_run_id == source.run_id,
                ModelVersionRow.model_uri == source.model_uri,
            )
        ).one_or_none()
