"""Answered questions: a repeated question is read here; so are the verdicts over time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from schema.tables import DatasetRow, ModelVersionRow, MonitoringResultRow


@dataclass(frozen=True)
class StoredResult:
    """One answer. `page` is Evidently's page without its library, or None."""

    verdict: dict[str, Any]
    result: dict[str, Any]
    page: str | None
    created_at: datetime


@dataclass(frozen=True)
class Judgement:
    """What the retraining rule said, of which model version and dataset, and when."""

    id: int
    metric: str
    verdict: dict[str, Any]
    created_at: datetime
    registered_name: str
    version: int
    dataset_name: str
    dataset_version: int


class ResultRepository:
    """`monitoring_results`, one row per question about one state of the data."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def find(self, fingerprint: str) -> StoredResult | None:
        """Return the answer to a question asked before of the same data, or None."""
        row = self._session.execute(
            select(
                MonitoringResultRow.verdict,
                MonitoringResultRow.result,
                MonitoringResultRow.html,
                MonitoringResultRow.created_at,
            ).where(MonitoringResultRow.fingerprint == fingerprint)
        ).one_or_none()
        if row is None:
            return None
        return StoredResult(row.verdict, row.result or {}, row.html, row.created_at)

    def list_verdicts(self, limit: int, before_id: int | None = None) -> list[Judgement]:
        """Return up to `limit` verdicts, newest first, older than `before_id` if given."""
        query = (
            select(
                MonitoringResultRow.id,
                MonitoringResultRow.metric,
                MonitoringResultRow.verdict,
                MonitoringResultRow.created_at,
                ModelVersionRow.registered_name,
                ModelVersionRow.version,
                DatasetRow.name.label("dataset_name"),
                DatasetRow.version.label("dataset_version"),
            )
            .join(ModelVersionRow, ModelVersionRow.id == MonitoringResultRow.model_version_id)
            .join(DatasetRow, DatasetRow.id == MonitoringResultRow.dataset_id)
            .order_by(MonitoringResultRow.id.desc())
            .limit(limit)
        )
        if before_id is not None:
            query = query.where(MonitoringResultRow.id < before_id)
        return [Judgement(**row._mapping) for row in self._session.execute(query)]

    def add(
        self,
        fingerprint: str,
        question: dict[str, Any],
        *,
        dataset_id: int,
        model_version_id: int,
        verdict: dict[str, Any],
        result: dict[str, Any],
        page: str | None,
    ) -> None:
        """Store an answer; where another worker was faster, its answer stays."""
        self._session.execute(
            insert(MonitoringResultRow)
            .values(
                fingerprint=fingerprint,
                metric=question["metric"],
                question=question,
                dataset_id=dataset_id,
                model_version_id=model_version_id,
                verdict=verdict,
                result=result,
                html=page,
            )
            .on_conflict_do_nothing(index_elements=["fingerprint"])
        )
