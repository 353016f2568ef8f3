"""Counts the rows of a long set where they are, in PostgreSQL.

A statement reads the wide table once for up to `COLUMNS_AT_ONCE` columns, by as many parallel
workers as the server allows; what comes back are counts, so that memory stays flat on both sides.
The windows of a set are told apart in the same statements. Knows which SQL counts what; what
follows from the counts is known to `service.counted_rule`.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import ColumnType
from monitoring.service.set_statistics import (
    MOST_CATEGORIES,
    QUANTILES,
    AnswerCount,
    CategoryCells,
    Cells,
    ClassCounts,
    ColumnCounts,
    ErrorCounts,
    FeatureCounts,
    NumberCells,
    Span,
    TruthCells,
    number_cells,
)
from schema.samples import Column, table_name
from schema.sets import SetLoad

ItemT = TypeVar("ItemT")

COLUMNS_AT_ONCE = 100
"""PostgreSQL's limits are 100 arguments of a function and 1,664 results of a query."""

LARGEST_SUMMED = 1e150
"""Squares of larger numbers cannot be added up in double precision."""

NUMBER_FORMS: Mapping[ColumnType, str] = {"number": "{}", "integer": "{}::float8"}
TIME_FORM = "(extract(epoch FROM {}) / 86400)::float8"
"""How a column is read as numbers. What is no number, text or truth value is a date or a time, as
days since 1970."""


@dataclass(frozen=True)
class Windows:
    """Consecutive parts of a set: `number` says in SQL in which of `spans` a row is, from 0 on.

    It is NULL for a row that has no time.
    """

    number: sql.Composable
    spans: Sequence[Span]

    @classmethod
    def whole(cls, load: SetLoad) -> "Windows":
        """Return the set as one part."""
        return cls(sql.Literal(0), (Span(load.row_count),))


class SetCounts:
    """Counts in the caller's session; its snapshot says which rows there are."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def begin(self) -> None:
        """Prepare the transaction for counting; to be called first in each.

        Of rows that came a moment ago PostgreSQL has no statistics yet, and takes a million for a
        handful: it would look for each prediction by itself.
        """
        self._session.execute(text("SET LOCAL enable_nestloop = off"))

    def cells(self, load: SetLoad, row_numbers: NDArray[np.int64]) -> Sequence[Cells]:
        """Return the cells of every feature, from the rows of these numbers."""
        features = load.dataset.features
        found: dict[str, Cells] = {
            column.name: TruthCells(column.name) for column in features if column.type == "boolean"
        }
        chosen = sql.SQL("{} AND row_number = ANY({})").format(
            _rows_of(load), _numbered(row_numbers)
        )
        for columns in _at_once(_numbers(features)):
            (row,) = self._fetch("SELECT {} {}", _listed(_quantiles(c) for c in columns), chosen)
            for column, quantiles in zip(columns, row, strict=True):
                found[column.name] = number_cells(column.name, quantiles or ())
        for column in _texts(features):
            name = sql.Identifier(column.name)
            rows = self._fetch(
                "SELECT {0} {1} AND {0} IS NOT NULL GROUP BY 1"
                ' ORDER BY count(*) DESC, {0} COLLATE "C" LIMIT {2}',
                name,
                chosen,
                sql.Literal(MOST_CATEGORIES),
            )
            found[column.name] = CategoryCells(column.name, tuple(category for (category,) in rows))
        return [found[column.name] for column in features]

    def windows(self, load: SetLoad, count: int) -> Windows:
        """Return parts of a set of nearly equally many rows, in the order of its time column.

        Rows of the same time are in the same part, so there may be fewer than `count`. Without a
        time column the order is that in which the rows are stored.
        """
        if load.dataset.time_column is None:
            number = sql.SQL("(s.row_number::int8 * {} / {})::int4").format(
                sql.Literal(count), sql.Literal(load.row_count)
            )
            starts = [-(-part * load.row_count // count) for part in range(count + 1)]
            spans = [Span(end - start) for start, end in itertools.pairwise(starts)]
            return Windows(number, spans)
        columns = {column.name: column for column in load.dataset.columns}
        column = columns[load.dataset.time_column]
        time = sql.Identifier("s", column.name)
        ((least, ends),) = self._fetch(
            "SELECT min({0}), percentile_disc({1}::float8[]) WITHIN GROUP (ORDER BY {0}) {2}",
            time,
            sql.Literal([part / count for part in range(1, count)]),
            _rows_of(load),
        )
        # A part begins at a time that a row has, hence none is empty.
        edges = [] if least is None else sorted({end for end in ends if end > least})
        number = sql.SQL("width_bucket({}, {})").format(time, _edges(column, edges))
        if not edges:
            number = sql.SQL("CASE WHEN {} IS NOT NULL THEN 0 END").format(time)
        found = self._fetch(
            "SELECT {} AS part, count(*), min({}), max({}) {} GROUP BY 1 ORDER BY 1",
            *(number, time, time, _rows_of(load)),
        )
        spans = [
            Span(rows, _written(first), _written(last))
            for part, rows, first, last in found
            if part is not None
        ]
        return Windows(number, spans)

    def features(
        self, load: SetLoad, cells: Sequence[Cells], windows: Windows | None = None
    ) -> Sequence[FeatureCounts]:
        """Count every feature of a set in these cells: of each window, by default of the whole."""
        windows = windows or Windows.whole(load)
        features = load.dataset.features
        cells_of = {item.name: item for item in cells}
        figures = self._figures(load, features, windows)
        parts = [_missing_in_row(features)]
        parts += [_part(cells_of[c.name], c) for c in features if c.type != "text"]
        counted = self._counted(load, parts, windows)
        named: list[dict[str, Sequence[int]]] = [{} for _ in windows.spans]
        for columns in _at_once(_texts(features)):
            categories = [cast(CategoryCells, cells_of[column.name]) for column in columns]
            for place, known in enumerate(self._named(load, categories, windows)):
                named[place] |= known
        found = []
        for place, (missing_per_row, *by_cell) in enumerate(counted):
            counts = dict(zip([c.name for c in features if c.type != "text"], by_cell, strict=True))
            for name, in_categories in named[place].items():
                _, present, *_ = figures[place][name]
                counts[name] = [*in_categories, present - sum(in_categories)]
            of_columns = [_column(c.name, counts[c.name], figures[place][c.name]) for c in features]
            found.append(FeatureCounts(cells, of_columns, missing_per_row))
        return found

    def _figures(
        self, load: SetLoad, features: Sequence[Column], windows: Windows
    ) -> Sequence[Mapping[str, tuple[Any, ...]]]:
        """Return rows and `_figures` of every feature, of each window."""
        found: list[dict[str, tuple[Any, ...]]] = [{} for _ in windows.spans]
        for columns in _at_once(features):
            rows = self._fetch(
                "SELECT {} AS part, count(*), {} {} GROUP BY 1",
                windows.number,
                _listed(map(_figures, columns)),
                _rows_of(load),
            )
            by_part = {part: row for part, *row in rows}
            for part, figures in enumerate(found):
                count, *row = by_part[part]
                for place, column in enumerate(columns):
                    figures[column.name] = (count, *row[5 * place : 5 * place + 5])
        return found

    def classes(
        self, load: SetLoad, model_version_id: int, windows: Windows | None = None
    ) -> Sequence[ClassCounts]:
        """Count every pair of class and prediction: of each window, by default of the whole."""
        windows = windows or Windows.whole(load)
        rows = self._fetch(
            "SELECT {part} AS part, s.{target}, p.predicted_class, count(*) {joined}"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            part=windows.number,
            target=sql.Identifier(load.dataset.target.name),
            joined=_joined(load, model_version_id),
        )
        answers: list[list[AnswerCount]] = [[] for _ in windows.spans]
        for part, actual, predicted, count in rows:
            if part is not None:
                # As the frames write classes: 1 and not 1.0, True and not true.
                truth = None if actual is None else str(actual)
                answers[part].append(AnswerCount(truth, predicted, count))
        return [ClassCounts(found) for found in answers]

    def prediction_cells(
        self, load: SetLoad, model_version_id: int, row_numbers: NDArray[np.int64]
    ) -> NumberCells:
        """Return the cells of a regression's predictions, from the rows of these numbers."""
        ((quantiles,),) = self._fetch(
            "SELECT {} {} AND s.row_number = ANY({})",
            _quantiles_of(sql.SQL("p.predicted_value")),
            _joined(load, model_version_id),
            _numbered(row_numbers),
        )
        return number_cells("prediction", quantiles or ())

    def errors(
        self,
        load: SetLoad,
        model_version_id: int,
        cells: NumberCells,
        windows: Windows | None = None,
    ) -> Sequence[ErrorCounts]:
        """Count the predictions of a regression, and add up their errors: of each window."""
        joined = _joined(load, model_version_id)
        # What a whole set was predicted is known without looking at its rows.
        predicted = _predicted(load, model_version_id) if windows is None else joined
        windows = windows or Windows.whole(load)
        errors = self._fetch(
            "SELECT part, count(*), avg(e), var_samp(e), avg(e * e) FROM"
            " (SELECT {part} AS part, least(abs({target} - p.predicted_value), {largest}) AS e"
            " {joined} AND {target} IS NOT NULL AND p.predicted_value IS NOT NULL) AS errors"
            " GROUP BY 1",
            part=windows.number,
            target=_as_number(load.dataset.target, "s"),
            largest=sql.Literal(LARGEST_SUMMED),
            joined=joined,
        )
        value = sql.SQL("p.predicted_value")
        rows = self._fetch(
            "SELECT {} AS part, {} AS cell, count(*) {} GROUP BY 1, 2",
            *(windows.number, _cell(value, cells.edges), predicted),
        )
        figures = self._fetch(
            "SELECT {} AS part, {}, percentile_cont(0.5) WITHIN GROUP (ORDER BY {}) {} GROUP BY 1",
            *(windows.number, _number_figures(value), value, predicted),
        )
        errors_of = {part: found for part, *found in errors}
        figures_of = {part: found for part, *found in figures}
        by_cell = {(part, cell): count for part, cell, count in rows}
        nothing: list[Any] = [0, None, None, None, None, None]
        counted = []
        for part, span in enumerate(windows.spans):
            labelled, mean, variance, mean_square = errors_of.get(part, (0, None, None, None))
            present, *numbers, median = figures_of.get(part, nothing)
            counts = [by_cell.get((part, cell), 0) for cell in range(len(cells.edges) + 1)]
            counted.append(
                ErrorCounts(
                    cells=cells,
                    predicted=ColumnCounts(
                        "prediction", counts, span.rows - present, *_finite(numbers)
                    ),
                    median=median,
                    labelled=labelled,
                    mean_error=mean,
                    error_variance=variance,
                    root_mean_squared_error=None if mean_square is None else math.sqrt(mean_square),
                )
            )
        return counted

    def _counted(
        self, load: SetLoad, parts: Sequence["_Part"], windows: Windows
    ) -> Sequence[Sequence[Sequence[int]]]:
        """Return how often each part of a row has each of its values: `COLUMNS_AT_ONCE` a scan.

        Of each window. A row gives as many numbers, which say part and value in one. NULL is none
        of them.
        """
        counts: list[list[Sequence[int]]] = [[] for _ in windows.spans]
        for some in _at_once(parts):
            starts = [0, *itertools.accumulate(part.size for part in some)]
            numbers = [
                sql.SQL("{} + {}").format(sql.Literal(start), part.value)
                for start, part in zip(starts, some, strict=False)
            ]
            found = np.zeros((len(windows.spans), starts[-1]), dtype=np.int64)
            for part, numbers_found, times in self._each(
                "SELECT part, array_agg(number), array_agg(times) FROM"
                " (SELECT part, number, count(*) AS times FROM"
                " (SELECT {} AS part, unnest(ARRAY[{}]) AS number {}) AS numbers"
                " WHERE part IS NOT NULL AND number IS NOT NULL GROUP BY 1, 2) AS counted"
                " GROUP BY 1",
                windows.number,
                _listed(numbers),
                _rows_of(load),
            ):
                found[part, numbers_found] = times
            for window, by_number in enumerate(found):
                counts[window] += [
                    by_number[start:end].tolist() for start, end in itertools.pairwise(starts)
                ]
        return counts

    def _named(
        self, load: SetLoad, cells: Sequence[CategoryCells], windows: Windows
    ) -> Sequence[Mapping[str, Sequence[int]]]:
        """Return the counts of the known categories by column, of each window: in one scan."""
        known = [
            sql.SQL("CASE WHEN {0} = ANY({1}::text[]) THEN {0} END").format(
                sql.Identifier(item.name), sql.Literal(list(item.categories))
            )
            for item in cells
        ]
        named: list[dict[str, Sequence[int]]] = [
            {item.name: [0] * len(item.categories) for item in cells} for _ in windows.spans
        ]
        for part, places, categories, times in self._each(
            "SELECT part, array_agg(place), array_agg(category), array_agg(times) FROM"
            " (SELECT part, place, category, count(*) AS times FROM"
            " (SELECT {} AS part, unnest({}) AS place, unnest(ARRAY[{}]) AS category {}) AS known"
            " WHERE part IS NOT NULL AND category IS NOT NULL GROUP BY 1, 2, 3) AS counted"
            " GROUP BY 1",
            windows.number,
            sql.Literal(list(range(len(cells)))),
            _listed(known),
            _rows_of(load),
        ):
            by_name = dict(zip(zip(places, categories, strict=True), times, strict=True))
            named[part] = {
                item.name: [by_name.get((place, name), 0) for name in item.categories]
                for place, item in enumerate(cells)
            }
        return named

    def _each(self, statement: str, *parts: sql.Composable) -> Iterator[tuple[Any, ...]]:
        """Yield rows one by one: those of many windows, as Python's numbers, would be large.

        No cursor of the server's, for which it would not count in parallel.
        """
        with self._connection().cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*parts))
            yield from cursor

    def _fetch(
        self, statement: str, *parts: sql.Composable, **named: sql.Composable
    ) -> list[tuple[Any, ...]]:
        with self._connection().cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*parts, **named))
            return list(cursor.fetchall())

    def _connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)


def _rows_of(load: SetLoad) -> sql.Composable:
    dataset = load.dataset
    return sql.SQL("FROM {} AS s WHERE s.set_name = {}").format(
        table_name(dataset.name, dataset.version), sql.Literal(load.set_name)
    )


def _predicted(load: SetLoad, model_version_id: int) -> sql.Composable:
    return sql.SQL(
        "FROM predictions AS p WHERE p.model_version_id = {} AND p.dataset_id = {}"
        " AND p.set_name = {}"
    ).format(*map(sql.Literal, (model_version_id, load.dataset.id, load.set_name)))


def _joined(load: SetLoad, model_version_id: int) -> sql.Composable:
    dataset = load.dataset
    return sql.SQL(
        "FROM {table} AS s LEFT JOIN predictions AS p ON p.sample_id = s.sample_id"
        " AND p.model_version_id = {version} AND p.dataset_id = {dataset}"
        # Known by the sample already; without it the other sets' predictions would be joined too.
        " AND p.set_name = {set_name}"
        " WHERE s.set_name = {set_name}"
    ).format(
        table=table_name(dataset.name, dataset.version),
        version=sql.Literal(model_version_id),
        dataset=sql.Literal(dataset.id),
        set_name=sql.Literal(load.set_name),
    )


def _numbered(row_numbers: NDArray[np.int64]) -> sql.Composable:
    listed = "{" + ",".join(map(str, row_numbers.tolist())) + "}"
    return sql.SQL("{}::int4[]").format(sql.Literal(listed))


def _texts(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.type == "text"]


def _numbers(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.type not in ("text", "boolean")]


def _at_once(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    for first in range(0, len(items), COLUMNS_AT_ONCE):
        yield items[first : first + COLUMNS_AT_ONCE]


def _listed(parts: Any) -> sql.Composable:
    return sql.SQL(", ").join(parts)


def _as_number(column: Column, table: str | None = None) -> sql.Composable:
    names = (column.name,) if table is None else (table, column.name)
    return sql.SQL(NUMBER_FORMS.get(column.type, TIME_FORM)).format(sql.Identifier(*names))


def _quantiles(column: Column) -> sql.Composable:
    return _quantiles_of(_as_number(column))


def _quantiles_of(value: sql.Composable) -> sql.Composable:
    levels = [step / QUANTILES for step in range(1, QUANTILES)]
    return sql.SQL("percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {})").format(
        sql.Literal(levels), value
    )


def _edges(column: Column, edges: Sequence[Any]) -> sql.Composable:
    """Return times as an array of the column's own type."""
    types = {"date": "date", "timestamp": "timestamptz", "integer": "int8", "number": "float8"}
    listed = _listed(map(sql.Literal, edges))
    return sql.SQL("ARRAY[{}]::{}[]").format(listed, sql.SQL(types[column.type]))


def _written(time: Any) -> str:
    """Return a time as people write it; a number in its shortest form."""
    return str(time.isoformat()) if isinstance(time, date) else repr(time)


def _cell(value: sql.Composable, edges: Sequence[float]) -> sql.Composable:
    # As text, which PostgreSQL reads back exactly.
    listed = "{" + ",".join(repr(float(edge)) for edge in edges) + "}"
    return sql.SQL("width_bucket({}, {}::float8[])").format(value, sql.Literal(listed))


@dataclass(frozen=True)
class _Part:
    """Something that a row has, as a whole number from 0 below `size`, or NULL."""

    value: sql.Composable
    size: int


def _part(cells: Cells, column: Column) -> _Part:
    if cells.kind == "number":
        return _Part(_cell(_as_number(column), cells.edges), len(cells.edges) + 1)
    return _Part(sql.SQL("{}::int4").format(sql.Identifier(column.name)), 2)


def _missing_in_row(columns: Sequence[Column]) -> _Part:
    missing = sql.SQL(" + ").join(
        sql.SQL("num_nulls({})").format(_listed(sql.Identifier(c.name) for c in some))
        for some in _at_once(columns)
    )
    return _Part(missing, len(columns) + 1)


def _figures(column: Column) -> sql.Composable:
    """Return rows with a value, minimum, maximum, mean and deviation of a column."""
    if column.type in ("text", "boolean"):
        name = sql.Identifier(column.name)
        return sql.SQL("count({}), NULL, NULL, NULL, NULL").format(name)
    return _number_figures(_as_number(column))


def _number_figures(value: sql.Composable) -> sql.Composable:
    return sql.SQL(
        "count({0}), min({0}), max({0}), avg({0}) FILTER (WHERE abs({0}) < {1}),"
        " stddev_samp({0}) FILTER (WHERE abs({0}) < {1})"
    ).format(value, sql.Literal(LARGEST_SUMMED))


def _finite(figures: Sequence[float | None]) -> list[float | None]:
    """Return minimum, maximum, mean and deviation as far as they can be told."""
    least, largest, *moments = figures
    if max(abs(least or 0.0), abs(largest or 0.0)) >= LARGEST_SUMMED:
        moments = [None, None]
    return [
        value if value is not None and math.isfinite(value) else None
        for value in (least, largest, *moments)
    ]


def _column(name: str, counts: Sequence[int], figures: Sequence[Any]) -> ColumnCounts:
    rows, present, *numbers = figures
    return ColumnCounts(name, counts, rows - present, *_finite(numbers))
