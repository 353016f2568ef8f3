"""What the columns of a dataset version look like, counted where the rows are."""

from collections.abc import Sequence
from typing import Any, cast

from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import update
from sqlalchemy.orm import Session, scoped_session

from schema.number_limits import LARGEST_SUMMED
from schema.samples import Column, json_value, source_table_name
from schema.sets import Dataset
from schema.tables import DatasetRow
from servicekit.iso_times import text_of_days

BINS = 20
DAYS = "(extract(epoch FROM {column}) / 86400)::float8"
"""SQL: a date or time as days since 1970."""

MOST_VALUES = 10
LONGEST_VALUE = 200


class ProfileRepository:
    """Makes and keeps profiles, in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def get(self, dataset: Dataset) -> list[dict[str, Any]]:
        """Return one entry per column, in order; made from all rows when first asked for.

        Numbers have `minimum`, `maximum`, `mean`, `deviation` (population) and a `histogram` of
        equal bins; dates and times the first, the last and the histogram; all but numbers with
        fractions their most frequent values.
        """
        row = self._session.get(DatasetRow, dataset.id)
        if row is not None and row.profile is not None:
            return row.profile
        profile = [self._column(dataset, column) for column in dataset.columns]
        self._session.execute(
            update(DatasetRow).where(DatasetRow.id == dataset.id).values(profile=profile)
        )
        return profile

    def _column(self, dataset: Dataset, column: Column) -> dict[str, Any]:
        names = {
            "column": sql.Identifier(column.name),
            "table": source_table_name(dataset.name, dataset.version),
            "largest": sql.Literal(LARGEST_SUMMED),
        }
        found: dict[str, Any] = {"name": column.name, "type": column.type}
        if column.type in {"number", "integer"}:
            found |= self._numbers(names)
        elif column.type in {"date", "timestamp"}:
            found |= self._times(names)
        else:
            ((found["missing"],),) = self._rows(
                "SELECT count(*) - count({column}) FROM {table}", names
            )
        if column.type != "number":
            found |= self._values(names)
        return found

    def _numbers(self, names: dict[str, sql.Composable]) -> dict[str, Any]:
        ((missing, least, most, mean, deviation),) = self._rows(
            "SELECT count(*) - count({column}), min({column}), max({column}),"
            " avg({column}::float8) FILTER (WHERE abs({column}) < {largest}),"
            " stddev_pop({column}::float8) FILTER (WHERE abs({column}) < {largest}) FROM {table}",
            names,
        )
        found = {
            "missing": missing,
            "minimum": least,
            "maximum": most,
            "mean": mean,
            "deviation": deviation,
        }
        if least is None or max(abs(least), abs(most)) >= LARGEST_SUMMED:
            return found
        # Long whole numbers may be equal as these.
        low, high = float(least), float(most)
        if low == high:
            return found
        edges, counts = self._histogram(low, high, _with_value("{column}::float8", names))
        return found | {"histogram": {"edges": edges, "counts": counts}}

    def _times(self, names: dict[str, sql.Composable]) -> dict[str, Any]:
        names = _with_value(DAYS, names)
        ((missing, first, last, least, most),) = self._rows(
            "SELECT count(*) - count({column}), min({column}), max({column}),"
            " min({value}), max({value}) FROM {table}",
            names,
        )
        found = {"missing": missing, "minimum": json_value(first), "maximum": json_value(last)}
        if least is None or least == most:
            return found
        edges, counts = self._histogram(least, most, names)
        return found | {"histogram": {"edges": list(map(text_of_days, edges)), "counts": counts}}

    def _histogram(
        self, low: float, high: float, names: dict[str, sql.Composable]
    ) -> tuple[list[float], list[int]]:
        """Return the edges and the counts of equal bins of the float8 `value` among the names."""
        bounds: dict[str, sql.Composable] = {
            "low": sql.Literal(low),
            "high": sql.Literal(high),
            "bins": sql.Literal(BINS),
        }
        bins: dict[int, int] = dict(
            self._rows(
                "SELECT least(width_bucket({value}, {low}, {high}, {bins}), {bins}),"
                " count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1",
                names | bounds,
            )
        )
        width = (high - low) / BINS
        edges = [low + width * number for number in range(BINS)] + [high]
        return edges, [bins.get(number, 0) for number in range(1, BINS + 1)]

    def _values(self, names: dict[str, sql.Composable]) -> dict[str, Any]:
        frequent = self._rows(
            "SELECT {column}, count(*), count(*) OVER () FROM {table} WHERE {column} IS NOT NULL"
            " GROUP BY {column} ORDER BY 2 DESC, 1 LIMIT {most}",
            names | {"most": sql.Literal(MOST_VALUES)},
        )
        return {
            "distinct": frequent[0][2] if frequent else 0,
            "frequent": [
                {
                    "value": _shown(value),
                    "count": count,
                }
                for value, count, _ in frequent
            ],
        }

    def _rows(self, statement: str, names: dict[str, sql.Composable]) -> Sequence[tuple[Any, ...]]:
        connection = cast(PgConnection, self._session.connection().connection.driver_connection)
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(**names))
            return cursor.fetchall()


def _with_value(value: str, names: dict[str, sql.Composable]) -> dict[str, sql.Composable]:
    return {**names, "value": sql.SQL(value).format(**names)}


def _shown(value: Any) -> Any:
    return value[:LONGEST_VALUE] if isinstance(value, str) else json_value(value)
