"""What was counted of long sets, kept: `set_statistics`."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from schema.sets import SetLoad
from schema.tables import SetStatisticsRow


@dataclass(frozen=True)
class Counting:
    """One thing to count: a set's features, or with `model_version_id` its predictions.

    Of the whole set, or of each of `window_count` windows. `fingerprint` names the rows and the
    cells they are counted in.
    """

    fingerprint: str
    load: SetLoad
    model_version_id: int | None
    window_count: int | None = None


class SetStatisticsRepository:
    """Kept statistics, in the caller's session; never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def find(self, counting: Counting) -> dict[str, Any] | None:
        """Return what was counted before, or None."""
        found: dict[str, Any] | None = self._session.scalar(
            select(SetStatisticsRow.statistics).where(
                SetStatisticsRow.fingerprint == counting.fingerprint
            )
        )
        return found

    def add(self, counting: Counting, statistics: dict[str, Any]) -> None:
        """Keep what was counted, in place of what it makes void.

        That is what was counted of rows that are no longer this set, or in other cells. Where
        another worker was faster, its row stays.
        """
        load = counting.load
        same_thing = and_(
            SetStatisticsRow.model_version_id.is_not_distinct_from(counting.model_version_id),
            SetStatisticsRow.window_count.is_not_distinct_from(counting.window_count),
        )
        self._session.execute(
            delete(SetStatisticsRow).where(
                SetStatisticsRow.dataset_id == load.dataset.id,
                SetStatisticsRow.set_name == load.set_name,
                or_(
                    SetStatisticsRow.content_hash != load.content_hash,
                    and_(same_thing, SetStatisticsRow.fingerprint != counting.fingerprint),
                ),
            )
        )
        self._session.execute(
            insert(SetStatisticsRow)
            .values(
                fingerprint=counting.fingerprint,
                dataset_id=load.dataset.id,
                set_name=load.set_name,
                content_hash=load.content_hash,
                model_version_id=counting.model_version_id,
                window_count=counting.window_count,
                row_count=load.row_count,
                statistics=statistics,
            )
            .on_conflict_do_nothing(index_elements=["fingerprint"])
        )
