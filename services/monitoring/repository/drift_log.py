"""The drift checks that were made: the time line."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session, scoped_session

from schema.tables import DriftCheckRow


@dataclass(frozen=True)
class StoredCheck:
    """One check. `result` is the whole outcome; `share_drifted` is 0 to 1."""

    id: int
    model_version_id: int | None
    registered_name: str | None
    version: int | None
    reference: str
    row_count: int
    share_drifted: float | None
    verdict: str
    result: dict[str, Any]
    run_id: str | None
    request_id: str
    created_at: datetime


_COLUMNS = (
    DriftCheckRow.id,
    DriftCheckRow.model_version_id,
    DriftCheckRow.registered_name,
    DriftCheckRow.version,
    DriftCheckRow.reference,
    DriftCheckRow.row_count,
    DriftCheckRow.share_drifted,
    DriftCheckRow.verdict,
    DriftCheckRow.result,
    DriftCheckRow.run_id,
    DriftCheckRow.request_id,
    DriftCheckRow.created_at,
)


class DriftLog:
    """`drift_checks`, in the caller's session; never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def add(
        self,
        *,
        model_version_id: int | None,
        registered_name: str | None,
        version: int | None,
        reference: str,
        row_count: int,
        share_drifted: float,
        verdict: str,
        result: dict[str, Any],
        request_id: str,
    ) -> StoredCheck:
        """Store a check that has no run yet."""
        row = DriftCheckRow(
            model_version_id=model_version_id,
            registered_name=registered_name,
            version=version,
            reference=reference,
            row_count=row_count,
            share_drifted=share_drifted,
            verdict=verdict,
            result=result,
            request_id=request_id,
        )
        self._session.add(row)
        self._session.flush()
        return self._one(row.id)

    def set_run(self, check_id: int, run_id: str | None, result: dict[str, Any]) -> StoredCheck:
        """Store which MLflow run a check has, or in `result` why it has none."""
        self._session.execute(
            update(DriftCheckRow)
            .where(DriftCheckRow.id == check_id)
            .values(run_id=run_id, result=result)
        )
        return self._one(check_id)

    def list(self, limit: int, before_id: int | None) -> list[StoredCheck]:
        """Return up to `limit` checks, newest first, older than `before_id` if given."""
        query = select(*_COLUMNS).order_by(DriftCheckRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(DriftCheckRow.id < before_id)
        return [StoredCheck(*row) for row in self._session.execute(query)]

    def _one(self, check_id: int) -> StoredCheck:
        return StoredCheck(
            *self._session.execute(select(*_COLUMNS).where(DriftCheckRow.id == check_id)).one()
        )
