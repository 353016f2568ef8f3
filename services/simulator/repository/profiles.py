"""What the columns of a dataset version look like, counted where the rows are."""

from collections.abc import Sequence
from typing import Any, cast

from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import update
from sqlalchemy.orm import Session, scoped_session

from schema.samples import Column, json_value, source_table_name
from schema.sets import Dataset
from schema.tables import DatasetRow

BINS = 20
MOST_VALUES = 10
LONGEST_VALUE = 200
LARGEST = 1e150
"""The square of a larger number is beyond all numbers; such are left out of mean and deviation."""


class ProfileRepository:
    """Makes and keeps profiles, in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def get(self, dataset: Dataset) -> list[dict[str, Any]]:
        """Return one entry per column, in order; made from all rows when first asked for.

        Numbers have `minimum`, `maximum`, `mean`, `deviation` (population) and a `histogram` of
        equal bins; dates and times the first and the last; all but numbers with fractions their
        most frequent values.
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
            "largest": sql.Literal(LARGEST),
        }
        found: dict[str, Any] = {"name": column.name, "type": column.type}
        if column.type in {"number", "integer"}:
            found |= self._numbers(names)
        elif column.type in {"date", "timestamp"}:
            ((missing, first, last),) = self._rows(
                "SELECT count(*) - count({column}), min({column}), max({column}) FROM {table}",
                names,
            )
            found |= {"missing": missing, "minimum": json_value(first), "maximum": json_value(last)}
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
        if least is None or least == most or max(abs(least), abs(most)) >= LARGEST:
            return found
        low, width = float(least), (float(most) - float(least)) / BINS
        bounds: dict[str, sql.Composable] = {
            "low": sql.Literal(low),
            "high": sql.Literal(float(most)),
            "bins": sql.Literal(BINS),
        }
        bins: dict[int, int] = dict(
            self._rows(
                "SELECT least(width_bucket({column}::float8, {low}, {high}, {bins}), {bins}),"
                " count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1",
                names | bounds,
            )
        )
        edges = [low + width * number for number in range(BINS)] + [float(most)]
        counts = [bins.get(number, 0) for number in range(1, BINS + 1)]
        return found | {"histogram": {"edges": edges, "counts": counts}}

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


def _shown(value: Any) -> Any:
    return value[:LONGEST_VALUE] if isinstance(value, str) else json_value(value)
