"""Consecutive parts of a set, told apart in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql

from monitoring.service.set_statistics import Span
from schema.sets import SetLoad


@dataclass(frozen=True)
class Windows:
    """Consecutive parts of a set: `number` says in SQL in which of `spans` a row is, from 0 on.

    It is NULL for a row that has no time, and None where the only part is the whole set.
    """

    number: sql.Composable | None
    spans: Sequence[Span]

    @classmethod
    def whole(cls, load: SetLoad) -> "Windows":
        """Return the set as one part."""
        return cls(None, (Span(load.row_count),))

    @property
    def part(self) -> sql.Composable:
        """The number, of whatever rows."""
        return self.number or sql.Literal(0)
