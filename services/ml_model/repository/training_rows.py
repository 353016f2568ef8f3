"""Labelled rows that came in online: stored once, counted, taken by a retraining."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from schema.tables import TrainingRowRow


@dataclass(frozen=True)
class TrainingRow:
    """One row: its values in the order of the dataset's columns (None is missing), its label."""

    id: int
    dataset_name: str
    features: Sequence[Any]
    target: Any


class SqlTrainingRows:
    """Reads and writes `training_rows`. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def lock(self, dataset_name: str) -> None:
        """Wait until nobody else adds rows of this dataset or begins its retraining."""
        key = func.hashtextextended(f"cellar.training_rows.{dataset_name}", 0)
        self._session.execute(select(func.pg_advisory_xact_lock(key)))

    def add(
        self, dataset_name: str, features: Sequence[Any], target: Any, request_id: str
    ) -> int | None:
        """Store a row and return its id; None where this request has stored one already."""
        return self._session.scalar(
            insert(TrainingRowRow)
            .values(
                dataset_name=dataset_name,
                features=list(features),
                target=target,
                request_id=request_id,
            )
            .on_conflict_do_nothing(index_elements=["request_id"])
            .returning(TrainingRowRow.id)
        )

    def of_request(self, request_id: str) -> TrainingRow | None:
        """Return the row that a request stored."""
        found = self._rows(TrainingRowRow.request_id == request_id)
        return found[0] if found else None

    def count_by_dataset(self) -> dict[str, tuple[int, int]]:
        """Return by dataset how many rows no retraining has taken yet, and how many there are."""
        rows = self._session.execute(
            select(
                TrainingRowRow.dataset_name,
                func.count().filter(TrainingRowRow.job_id.is_(None)),
                func.count(),
            )
            .group_by(TrainingRowRow.dataset_name)
            .order_by(TrainingRowRow.dataset_name)
        )
        return {name: (new, stored) for name, new, stored in rows}

    def count_new(self, dataset_name: str) -> int:
        """Return how many rows no retraining has taken yet."""
        query = select(func.count()).where(
            TrainingRowRow.dataset_name == dataset_name, TrainingRowRow.job_id.is_(None)
        )
        return int(self._session.scalar(query) or 0)

    def take(self, dataset_name: str, job_id: int) -> int:
        """Give all new rows to a retraining and return how many they are."""
        taken = self._session.execute(
            update(TrainingRowRow)
            .where(TrainingRowRow.dataset_name == dataset_name, TrainingRowRow.job_id.is_(None))
            .values(job_id=job_id)
        )
        return int(taken.rowcount)  # type: ignore[attr-defined]

    def taken(self, dataset_name: str) -> list[TrainingRow]:
        """Return the rows that retrainings have taken, the running one included, oldest first."""
        return self._rows(
            TrainingRowRow.dataset_name == dataset_name, TrainingRowRow.job_id.is_not(None)
        )

    def _rows(self, *conditions: Any) -> list[TrainingRow]:
        query = select(
            TrainingRowRow.id,
            TrainingRowRow.dataset_name,
            TrainingRowRow.features,
            TrainingRowRow.target,
        ).where(*conditions)
        return [
            TrainingRow(*row) for row in self._session.execute(query.order_by(TrainingRowRow.id))
        ]
