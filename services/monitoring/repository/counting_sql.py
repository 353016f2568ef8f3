"""How what is counted of a set is written in SQL; `set_counts` asks it. Pure."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from psycopg2 import sql

from contracts.vocabulary import ColumnType
from monitoring.service.set_statistics import QUANTILES, NumberCells, TruthCells
from schema.number_limits import LARGEST_SQUARED, LARGEST_SUMMED
from schema.samples import Column, nulls_in_row, table_name
from schema.sets import SetLoad

ItemT = TypeVar("ItemT")

COLUMNS_AT_ONCE = 100
"""PostgreSQL's limit is 1,664 results of a query."""

RANGE_ROWS = 100_000
"""Rows that one statement counts: half a second's work, so that many share a long set evenly."""

AFTER_LAST_NUMBER = 2**31
"""Rows are numbered from 0 by an int4."""

NUMBER_FORMS: Mapping[ColumnType, str] = {"number": "{}", "integer": "{}::float8"}
TIME_FORM = "(extract(epoch FROM {}) / 86400)::float8"
"""How a column is read as numbers. What is no number, text or truth value is a date or a time, as
days since 1970."""

EDGE_TYPES = {"date": "date", "timestamp": "timestamptz", "integer": "int8", "number": "float8"}

PREDICTION = sql.SQL("p.predicted_value")

NOTHING: sql.Composable = sql.SQL("")


def at_once(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """Yield as many items as a statement takes."""
    for first in range(0, len(items), COLUMNS_AT_ONCE):
        yield items[first : first + COLUMNS_AT_ONCE]


def listed(parts: Iterable[sql.Composable]) -> sql.Composable:
    """Return parts with commas between."""
    return sql.SQL(", ").join(parts)


def everywhere() -> sql.Composable:
    """Return a condition that keeps all rows of a set."""
    return sql.SQL("true")


def ranges(row_count: int) -> list[sql.Composable]:
    """Return conditions, of which every row of a set meets just one, whatever its number."""
    edges = [*range(0, max(row_count, 1), RANGE_ROWS), AFTER_LAST_NUMBER]
    return [
        sql.SQL("s.row_number >= {} AND s.row_number < {}").format(*map(sql.Literal, pair))
        for pair in itertools.pairwise(edges)
    ]


def numbered(row_numbers: NDArray[np.int64]) -> sql.Composable:
    """Return the condition that a row has one of these numbers."""
    numbers = "{" + ",".join(map(str, row_numbers.tolist())) + "}"
    return sql.SQL("s.row_number = ANY({}::int4[])").format(sql.Literal(numbers))


def rows_of(load: SetLoad, which: sql.Composable) -> sql.Composable:
    """Return FROM and WHERE of a set's rows `s` that meet a condition."""
    dataset = load.dataset
    return sql.SQL("FROM {} AS s WHERE s.set_name = {} AND {}").format(
        table_name(dataset.name, dataset.version), sql.Literal(load.set_name), which
    )


def predicted(load: SetLoad, model_version_id: int) -> sql.Composable:
    """Return FROM and WHERE of a version's predictions `p` of a set."""
    return sql.SQL(
        "FROM predictions AS p WHERE p.model_version_id = {} AND p.dataset_id = {}"
        " AND p.set_name = {}"
    ).format(*map(sql.Literal, (model_version_id, load.dataset.id, load.set_name)))


def joined(
    load: SetLoad,
    model_version_id: int,
    which: sql.Composable,
    of_rows: Mapping[str, sql.Composable],
) -> tuple[sql.Composable, sql.Composable]:
    """Return WITH and FROM of a set's rows `s` that meet a condition, with their predictions `p`.

    `of_rows` are what else the rows have, by name. A row without a prediction has NULL there.
    Predictions are looked for between the first and the last id of the rows alone.
    """
    values = [
        sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in of_rows.items()
    ]
    rows = sql.SQL("WITH s AS MATERIALIZED (SELECT {} {})").format(
        listed([sql.SQL("s.sample_id"), *values]), rows_of(load, which)
    )
    source = sql.SQL(
        "FROM s LEFT JOIN predictions AS p ON p.sample_id = s.sample_id"
        " AND p.model_version_id = {} AND p.dataset_id = {}"
        " AND p.sample_id BETWEEN (SELECT min(sample_id) FROM s) AND (SELECT max(sample_id) FROM s)"
    ).format(sql.Literal(model_version_id), sql.Literal(load.dataset.id))
    return rows, source


def medians(load: SetLoad, model_version_id: int, part: sql.Composable | None) -> sql.Composable:
    """Return a query for the median prediction of each part, by default of the whole set."""
    if part is None:
        # What a whole set was predicted is known without looking at its rows.
        rows, source = NOTHING, predicted(load, model_version_id)
    else:
        rows, source = joined(load, model_version_id, everywhere(), {"part": part})
    return sql.SQL(
        "{} SELECT {} AS part, percentile_cont(0.5) WITHIN GROUP (ORDER BY {}) {} GROUP BY 1"
    ).format(rows, sql.SQL("0" if part is None else "s.part"), PREDICTION, source)


def errors(
    load: SetLoad,
    model_version_id: int,
    which: sql.Composable,
    part: sql.Composable,
    edges: Sequence[float],
) -> sql.Composable:
    """Return a query for what a regression predicted for the rows that meet a condition.

    Its rows are part, cell, whether it is of all cells, rows; how many have a truth, the mean and
    variance of the absolute errors and the mean of their squares; the predictions' figures.
    """
    target = as_number(load.dataset.target)
    rows, source = joined(load, model_version_id, which, {"part": part, "target": target})
    return sql.SQL(
        "{rows} SELECT part, cell, grouping(cell) = 1, count(*), count(error), avg(error),"
        " var_samp(error), avg(error * error), {figures} FROM"
        " (SELECT s.part, {cell} AS cell, {value} AS value,"
        # Of NULL and a number the least is the number. A difference may be beyond all numbers, and
        # an error beyond the limit counts as it.
        " CASE WHEN s.target IS NOT NULL AND {value} IS NOT NULL THEN least(abs("
        "least(greatest(s.target, -{largest}), {largest})"
        " - least(greatest({value}, -{largest}), {largest})), {largest_error}) END AS error"
        " {source} OFFSET 0) AS predicted"
        " GROUP BY GROUPING SETS ((part), (part, cell))"
    ).format(
        rows=rows,
        figures=number_figures(sql.SQL("value")),
        cell=cell(PREDICTION, edges),
        value=PREDICTION,
        largest=sql.Literal(LARGEST_SUMMED),
        largest_error=sql.Literal(LARGEST_SQUARED),
        source=source,
    )


def as_number(column: Column) -> sql.Composable:
    """Return a column of the rows `s` as numbers."""
    return sql.SQL(NUMBER_FORMS.get(column.type, TIME_FORM)).format(
        sql.Identifier("s", column.name)
    )


def named(column: Column) -> sql.Composable:
    """Return a column of the rows `s` as it is."""
    return sql.Identifier("s", column.name)


def quantiles(value: sql.Composable) -> sql.Composable:
    """Return the inner quantiles of a number."""
    levels = [step / QUANTILES for step in range(1, QUANTILES)]
    return sql.SQL("percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {})").format(
        sql.Literal(levels), value
    )


def time_bucket(column: Column, edges: Sequence[Any]) -> sql.Composable:
    """Return the number of the part, between times of the column's own type, that a row is in."""
    if not edges:
        return sql.SQL("CASE WHEN {} IS NOT NULL THEN 0 END").format(named(column))
    return sql.SQL("width_bucket({}, ARRAY[{}]::{}[])").format(
        named(column), listed(map(sql.Literal, edges)), sql.SQL(EDGE_TYPES[column.type])
    )


def cell(value: sql.Composable, edges: Sequence[float]) -> sql.Composable:
    """Return the number of the cell that a number is in, or NULL."""
    # As text, which PostgreSQL reads back exactly.
    written = "{" + ",".join(repr(float(edge)) for edge in edges) + "}"
    return sql.SQL("width_bucket({}, {}::float8[])").format(value, sql.Literal(written))


def category(column: Column, known: Sequence[str]) -> sql.Composable:
    """Return a text if it is a known category, or NULL."""
    return sql.SQL("CASE WHEN {0} = ANY({1}::text[]) THEN {0} END").format(
        named(column), sql.Literal(list(known))
    )


def cell_of(cells: NumberCells | TruthCells, column: Column) -> sql.Composable:
    """Return the number of the cell that a row's value is in, or NULL."""
    if cells.kind == "number":
        return cell(as_number(column), cells.edges)
    return sql.SQL("{}::int4").format(named(column))


def cell_count(cells: NumberCells | TruthCells) -> int:
    """Return how many cells there are."""
    return len(cells.edges) + 1 if cells.kind == "number" else 2


def missing_in_row(columns: Sequence[Column]) -> sql.Composable:
    """Return in how many of the columns a row has no value."""
    return nulls_in_row([named(column) for column in columns])


def figures(column: Column) -> sql.Composable:
    """Return rows with a value, minimum, maximum, mean and variance of a column."""
    if column.type in ("text", "boolean"):
        return sql.SQL("count({}), NULL, NULL, NULL, NULL").format(named(column))
    return number_figures(as_number(column))


def number_figures(value: sql.Composable) -> sql.Composable:
    """Return the same of a number."""
    return sql.SQL(
        "count({0}), min({0}), max({0}), avg({0}) FILTER (WHERE abs({0}) < {1}),"
        " var_samp({0}) FILTER (WHERE abs({0}) < {1})"
    ).format(value, sql.Literal(LARGEST_SUMMED))


def by_each(
    categories: Sequence[sql.Composable], part: sql.Composable, source: sql.Composable
) -> sql.Composable:
    """Return a query that counts rows by each of some texts by itself, in one scan.

    Its rows are the part, the text's place, the text (NULL as well), and how often.
    """
    names = [sql.Identifier(f"c{place}") for place in range(len(categories))]
    which = sql.SQL(" ").join(
        sql.SQL("WHEN grouping({}) = 0 THEN {}").format(name, sql.Literal(place))
        for place, name in enumerate(names)
    )
    # Behind OFFSET nothing is known of the texts, so that few different ones are expected.
    return sql.SQL(
        "SELECT part, CASE {which} END, coalesce({names}), count(*) FROM"
        " (SELECT {part} AS part, {values} {source} OFFSET 0) AS rows"
        " GROUP BY GROUPING SETS ({sets})"
    ).format(
        which=which,
        names=listed(names),
        part=part,
        values=listed(
            sql.SQL("{} AS {}").format(value, name)
            for value, name in zip(categories, names, strict=True)
        ),
        source=source,
        sets=listed(sql.SQL("(part, {})").format(name) for name in names),
    )
