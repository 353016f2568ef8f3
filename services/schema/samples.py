"""The wide, typed tables of a dataset version, written and read by binary COPY.

`samples.wine_v1` has one real column per feature and one for the target, NULL where a value is
missing, so that a person can `SELECT alcohol, proline FROM samples.wine_v1 WHERE set_name =
'training'`. Beside it stands `samples.wine_v1_source`: every row of the version, once, in the order
it came in, from which the sets are cut. Functions here take a psycopg2 connection inside the
caller's transaction and never commit. Knows the tables; what COPY takes is known to `binary_copy`.
Knows nothing of HTTP or of models.

Values stand in the statements as literals: the driver would read a `%` in a column's name as the
place of a value, were any given beside the statement.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from contracts.vocabulary import ColumnType
from schema.binary_copy import copy_in, copy_out
from schema.binary_rows import Cells, FieldType
from schema.tables import SAMPLES_SCHEMA
from servicekit.iso_times import time_text

SQL_TYPES: Mapping[str, str] = {
    "number": "double precision",
    "integer": "bigint",
    "text": "text",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}

PANDAS_TYPES: Mapping[str, str] = {
    "number": "float64",
    "integer": "Int64",
    "text": "object",
    "boolean": "boolean",
    "date": "datetime64[us]",
    "timestamp": "datetime64[us]",
}
"""Dates are their midnights; both are in UTC, without a zone."""

FIELD_TYPES: Mapping[str, FieldType] = {
    "number": "float8",
    "integer": "int8",
    "text": "text",
    "boolean": "bool",
    "date": "date",
    "timestamp": "timestamptz",
}
"""The short names of `SQL_TYPES`."""

RESERVED_COLUMNS = frozenset(
    {"sample_id", "set_name", "row_number", "loaded_at", "batch_id"}
    # Every table of PostgreSQL's has these.
    | {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
)
LONGEST_NAME_BYTES = 63
"""PostgreSQL cuts longer names off."""

CHUNK_ROWS = 50_000
"""Rows that are in memory at the same time while a table of any length is written or read."""

CHUNK_BYTES = 32 * 2**20
"""What they hold at most, about: fewer rows of a table of many columns, or of long text."""

TEXT_OBJECT_BYTES = 60
"""What a text takes in memory beside its own bytes."""

MEASURED_ROWS = 1_000
"""So many rows tell how long the texts of a table are."""

MOST_ARGUMENTS = 100
"""Of a function of PostgreSQL's."""

LARGEST_PART_CELLS = 2_000_000
"""Cells of a part of a set: 16 MB as numbers, of which a pipeline makes some copies."""


@dataclass(frozen=True)
class Column:
    """One column of a dataset: its name as people wrote it, and its type."""

    name: str
    type: ColumnType

    def as_json(self) -> dict[str, str]:
        """Return the form kept in `datasets.columns`."""
        return {"name": self.name, "type": self.type}


def table_name(dataset_name: str, version: int) -> sql.Identifier:
    """Return the quoted name of a dataset version's table."""
    return sql.Identifier(SAMPLES_SCHEMA, f"{dataset_name}_v{version}")


def source_table_name(dataset_name: str, version: int) -> sql.Identifier:
    """Return the quoted name of the table that holds all rows of a dataset version."""
    return sql.Identifier(SAMPLES_SCHEMA, f"{dataset_name}_v{version}_source")


def unusable_names(names: Sequence[str]) -> list[str]:
    """Return those names that no column of a sample table can have.

    They are given twice, taken by the table itself, empty, longer than 63 bytes in UTF-8, or hold
    a NUL.
    """
    counts = Counter(names)
    return sorted(
        name
        for name, count in counts.items()
        if name in RESERVED_COLUMNS
        or count > 1
        or not 0 < len(name.encode()) <= LONGEST_NAME_BYTES
        or "\0" in name
    )


def create_table(
    connection: PgConnection, dataset_name: str, version: int, columns: Sequence[Column]
) -> None:
    """Create the table of the sets unless it is there.

    Raises
    ------
    ValueError
        A name cannot be a column's, see `unusable_names`.
    """
    statement = sql.SQL(
        "CREATE TABLE IF NOT EXISTS {table} ("
        "sample_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "set_name text NOT NULL, row_number integer NOT NULL, "
        "batch_id bigint NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now(), {columns}, "
        "UNIQUE (set_name, row_number))"
    ).format(table=table_name(dataset_name, version), columns=_definitions(columns))
    with connection.cursor() as cursor:
        cursor.execute(statement)


def create_source_table(
    connection: PgConnection, dataset_name: str, version: int, columns: Sequence[Column]
) -> None:
    """Create the table of all rows, numbered from 0; raises like `create_table`.

    It has no index before `index_source_table`.
    """
    statement = sql.SQL("CREATE TABLE {table} (row_number bigint NOT NULL, {columns})").format(
        table=source_table_name(dataset_name, version), columns=_definitions(columns)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)


def index_source_table(connection: PgConnection, dataset_name: str, version: int) -> None:
    """Make the key of a table of all rows, when they are in: a quarter of the time otherwise."""
    statement = sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (row_number)").format(
        source_table_name(dataset_name, version)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _definitions(columns: Sequence[Column]) -> sql.Composable:
    unusable = unusable_names([column.name for column in columns])
    if unusable:
        raise ValueError(f"Column name(s) not usable: {', '.join(map(repr, unusable))}")
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(SQL_TYPES[column.type]))
        for column in columns
    )


def drop_tables(connection: PgConnection, dataset_name: str, version: int) -> None:
    """Remove both tables of a dataset version, as far as they are there."""
    tables = (table_name(dataset_name, version), source_table_name(dataset_name, version))
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def append_source_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    columns: Sequence[Column],
    first_row_number: int,
    rows: pd.DataFrame,
) -> None:
    """Add `rows` (n_rows, the given columns) behind those that are there already.

    Text may be `Categorical`.
    """
    numbers = np.arange(first_row_number, first_row_number + len(rows))
    copy_in(
        connection,
        source_table_name(dataset_name, version),
        {"row_number": ("int8", numbers), **_cells(rows, columns)},
        len(rows),
    )


def rows_per_chunk(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    columns: Sequence[Column],
    n_rows: int,
) -> int:
    """Return how many of the `n_rows` rows of a version are taken at once.

    `CHUNK_ROWS`, fewer where those would hold more than `CHUNK_BYTES` on average. How long texts
    are is looked up in rows at equal distances, so the same rows have the same chunks.
    """
    row_bytes = float(bytes_beside_text(columns))
    texts = [sql.Identifier(column.name) for column in columns if column.type == "text"]
    if texts:
        lengths = [sql.SQL("coalesce(octet_length({}), 0)").format(text) for text in texts]
        measured = np.linspace(0, max(n_rows - 1, 0), MEASURED_ROWS).astype(np.int64)
        statement = sql.SQL("SELECT coalesce(avg({}), 0) FROM {} WHERE true{}").format(
            sql.SQL(" + ").join(lengths),
            source_table_name(dataset_name, version),
            _one_of("row_number", "int8", np.unique(measured)),
        )
        row_bytes += float(_scalar(connection, statement))
    return min(CHUNK_ROWS, max(1, int(CHUNK_BYTES / row_bytes)))


def bytes_beside_text(columns: Sequence[Column]) -> int:
    """Return what a row takes in memory beside the bytes of its texts."""
    return sum(8 + TEXT_OBJECT_BYTES * (column.type == "text") for column in columns)


def read_source(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    columns: Sequence[Column],
    chunk_rows: int,
) -> Iterator[pd.DataFrame]:
    """Yield all rows in their order, at most `chunk_rows` at a time, indexed by `row_number`.

    Types are those of `read_rows`. Ends before the first chunk that would be empty.
    """
    table = source_table_name(dataset_name, version)
    types: dict[str, FieldType] = {"row_number": "int8", **_field_types(columns)}
    first = 0
    while True:
        query = sql.SQL(
            "SELECT {columns} FROM {table} WHERE row_number >= {first} AND row_number < {end}"
            " ORDER BY row_number"
        ).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, types)),
            table=table,
            first=sql.Literal(first),
            end=sql.Literal(first + chunk_rows),
        )
        chunk = copy_out(connection, query, types, index="row_number")
        if len(chunk) == 0:
            return
        yield chunk
        first += chunk_rows


def replace_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    batch_id: int,
    columns: Sequence[Column],
    rows: pd.DataFrame,
) -> None:
    """Put `rows` (n_rows, the given columns; NaN and None are missing) in place of a set's rows.

    `batch_id` is the load (`set_loads.id`) that the rows belong to.
    """
    clear_set(connection, dataset_name, version, set_name)
    numbers = np.arange(len(rows))
    append_rows(connection, dataset_name, version, set_name, batch_id, columns, numbers, rows)


def clear_set(connection: PgConnection, dataset_name: str, version: int, set_name: str) -> None:
    """Take the rows of a set away."""
    statement = sql.SQL("DELETE FROM {} WHERE set_name = {}").format(
        table_name(dataset_name, version), sql.Literal(set_name)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)


def append_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    batch_id: int,
    columns: Sequence[Column],
    row_numbers: NDArray[np.int64],
    rows: pd.DataFrame,
) -> None:
    """Add `rows` to a set under the given numbers (n_rows,), which are the set's order."""
    copy_in(
        connection,
        table_name(dataset_name, version),
        {
            "set_name": ("text", set_name),
            "row_number": ("int4", row_numbers),
            "batch_id": ("int8", batch_id),
            **_cells(rows, columns),
        },
        len(rows),
    )


def read_page(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str | None,
    columns: Sequence[Column],
    first: int,
    limit: int,
) -> list[list[Any]]:
    """Return rows from row number `first` on, of all rows or of a set, as JSON values.

    None where a value is missing or is no finite number; dates and times are ISO texts in UTC.
    """
    statement = sql.SQL("SELECT {} {} AND row_number >= {} ORDER BY row_number LIMIT {}").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        _rows_of(dataset_name, version, set_name),
        sql.Literal(first),
        sql.Literal(limit),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [[json_value(value) for value in row] for row in cursor.fetchall()]


def json_value(value: Any) -> Any:
    """Return a value of the driver's as JSON has it; see `read_page`."""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


WHOLE_NUMBER = "CASE WHEN abs({0}) < 1e15 THEN {0}::text || '.0' ELSE {0}::text END AS {0}"

_CSV_CELLS: Mapping[str, str] = {
    # COPY would write t and f,
    "boolean": "{0}::text AS {0}",
    # and the times of the session's zone.
    "timestamp": "replace(({0} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z' AS {0}",
}


def write_csv(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str | None,
    columns: Sequence[Column],
    file: BinaryIO,
) -> None:
    """Write all rows or those of a set in their order, with a header.

    Text is in quotes, NULL is nothing without quotes, truth values are `true` and `false`, times
    end in `Z`; numbers come back exactly. A column of numbers that are all whole has them as `1.0`:
    it would come back as one of whole numbers.
    """
    rows = _rows_of(dataset_name, version, set_name)
    forms = [
        WHOLE_NUMBER
        if column.type == "number" and _all_whole(connection, column, rows)
        else _CSV_CELLS.get(column.type, "{0}")
        for column in columns
    ]
    cells = [
        sql.SQL(form).format(sql.Identifier(column.name))
        for form, column in zip(forms, columns, strict=True)
    ]
    texts = [sql.Identifier(column.name) for column in columns if column.type == "text"]
    quoting = sql.SQL(", FORCE_QUOTE ({})").format(sql.SQL(", ").join(texts))
    query = sql.SQL(
        "COPY (SELECT {cells} {rows} ORDER BY row_number) TO STDOUT"
        " WITH (FORMAT csv, HEADER{quoting})"
    ).format(
        cells=sql.SQL(", ").join(cells),
        rows=rows,
        quoting=quoting if texts else sql.SQL(""),
    )
    with connection.cursor() as cursor:
        cursor.copy_expert(query.as_string(cursor), file)


def _all_whole(connection: PgConnection, column: Column, rows: sql.Composable) -> bool:
    # Most columns of numbers have a fraction in their first rows, where the search ends.
    statement = sql.SQL("SELECT NOT EXISTS (SELECT {rows} AND {cell} <> trunc({cell}))").format(
        rows=rows, cell=sql.Identifier(column.name)
    )
    return bool(_scalar(connection, statement))


def _rows_of(dataset_name: str, version: int, set_name: str | None) -> sql.Composable:
    if set_name is None:
        return sql.SQL("FROM {} WHERE true").format(source_table_name(dataset_name, version))
    return sql.SQL("FROM {} WHERE set_name = {}").format(
        table_name(dataset_name, version), sql.Literal(set_name)
    )


def count_missing(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    columns: Sequence[Column],
) -> int:
    """Return how many cells of a set are NULL."""
    # One sum per row: an aggregate per column takes half as long again.
    missing = nulls_in_row([sql.Identifier(column.name) for column in columns])
    statement = sql.SQL("SELECT coalesce(sum({}), 0) FROM {} WHERE set_name = {}").format(
        missing, table_name(dataset_name, version), sql.Literal(set_name)
    )
    return int(_scalar(connection, statement))


def nulls_in_row(values: Sequence[sql.Composable]) -> sql.Composable:
    """Return SQL for how many of these values, at least one, are NULL."""
    return sql.SQL(" + ").join(
        sql.SQL("num_nulls({})").format(sql.SQL(", ").join(values[first : first + MOST_ARGUMENTS]))
        for first in range(0, len(values), MOST_ARGUMENTS)
    )


def _scalar(connection: PgConnection, statement: sql.Composable) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (found,) = cursor.fetchone() or (None,)
    return found


def _cells(rows: pd.DataFrame, columns: Sequence[Column]) -> dict[str, tuple[FieldType, Cells]]:
    return {
        column.name: (
            FIELD_TYPES[column.type],
            _values(rows[column.name], column.type),
        )
        for column in columns
    }


def _values(cells: "pd.Series[Any]", type_: ColumnType) -> Cells:
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return cells.values
    wanted: Any = PANDAS_TYPES[type_]
    return cells.astype(wanted, copy=False).values


def _field_types(columns: Sequence[Column]) -> dict[str, FieldType]:
    return {column.name: FIELD_TYPES[column.type] for column in columns}


def read_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    columns: Sequence[Column],
    row_numbers: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Return a set's rows in their first order, indexed by `sample_id` (int64).

    All of them, or those of these numbers. Columns come in the given order as float64, Int64,
    object, boolean or datetime64[us] (UTC); NULL is NaN, <NA>, None or NaT. Floats are exactly
    those that were written. An empty set gives an empty frame.
    """
    return _read_samples(
        connection,
        dataset_name,
        version,
        columns,
        sql.SQL("set_name = {}{} ORDER BY row_number").format(
            sql.Literal(set_name), _one_of("row_number", "int4", row_numbers)
        ),
    )


def read_part(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    columns: Sequence[Column],
    ids: range,
) -> pd.DataFrame:
    """Return those rows of a set whose `sample_id` lies in `ids`, by it; types as `read_rows`.

    Rows of a load have ids in the order in which they were written, so a part is read from one
    place of the table, whatever the order of the set's row numbers.
    """
    # The name is compared as an expression, which no index holds: the planner might choose the
    # index on set and row number, and go through the whole set for each of its parts.
    return _read_samples(
        connection,
        dataset_name,
        version,
        columns,
        sql.SQL(
            "sample_id >= {} AND sample_id < {} AND set_name || '' = {} ORDER BY sample_id"
        ).format(sql.Literal(ids.start), sql.Literal(ids.stop), sql.Literal(set_name)),
    )


def _read_samples(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    columns: Sequence[Column],
    condition: sql.Composable,
) -> pd.DataFrame:
    types: dict[str, FieldType] = {"sample_id": "int8", **_field_types(columns)}
    query = sql.SQL("SELECT {columns} FROM {table} WHERE {condition}").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, types)),
        table=table_name(dataset_name, version),
        condition=condition,
    )
    return copy_out(connection, query, types, index="sample_id")


def _one_of(column: str, type_: FieldType, values: NDArray[np.int64] | None) -> sql.Composable:
    """Return the condition that keeps rows with one of these values; nothing for None."""
    if values is None:
        return sql.SQL("")
    # As one text: a list of so many literals would take PostgreSQL longer to read than the rows.
    listed = sql.Literal("{" + ",".join(map(str, values.tolist())) + "}")
    return sql.SQL(" AND {} = ANY({}::{}[])").format(sql.Identifier(column), listed, sql.SQL(type_))


def parts_of_set(
    connection: PgConnection, dataset_name: str, version: int, set_name: str, n_columns: int
) -> list[range]:
    """Return the ranges of `sample_id` in which a set of any length is read, part by part.

    A part holds at most `rows_per_part` rows. The same set has the same parts.
    """
    statement = sql.SQL(
        # With the count it is one pass over the table; without, a walk along the key's index.
        "SELECT min(sample_id), max(sample_id), count(*) FROM {} WHERE set_name = {}"
    ).format(table_name(dataset_name, version), sql.Literal(set_name))
    with connection.cursor() as cursor:
        cursor.execute(statement)
        first, last, row_count = cursor.fetchone() or (None, None, 0)
    if not row_count:
        return []
    at_once = rows_per_part(n_columns)
    return [
        range(start, min(start + at_once, last + 1)) for start in range(first, last + 1, at_once)
    ]


def rows_per_part(n_columns: int) -> int:
    """Return how many rows of so many columns are predicted at once.

    `CHUNK_ROWS`, fewer of a wide table: what a part takes in memory does not grow with the table.
    """
    return min(CHUNK_ROWS, max(1, LARGEST_PART_CELLS // n_columns))


def replace_predictions(
    connection: PgConnection,
    model_version_id: int,
    dataset_id: int,
    set_name: str,
    sample_ids: NDArray[np.int64],
    predicted: NDArray[Any],
    probabilities: NDArray[np.float64] | None,
    task: str = "classification",
) -> None:
    """Store one prediction per sample in place of those this version made of the set before.

    `sample_ids` and `predicted` are (n_rows,), `probabilities` (n_rows, n_classes) or None.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM predictions"
            " WHERE model_version_id = %s AND dataset_id = %s AND set_name = %s",
            (model_version_id, dataset_id, set_name),
        )
    _append_predictions(
        connection,
        model_version_id,
        dataset_id,
        set_name,
        sample_ids,
        predicted,
        probabilities,
        task,
    )


def replace_part_of_predictions(
    connection: PgConnection,
    model_version_id: int,
    dataset_id: int,
    set_name: str,
    ids: range,
    sample_ids: NDArray[np.int64],
    predicted: NDArray[Any],
    probabilities: NDArray[np.float64] | None,
    task: str,
) -> None:
    """Do as `replace_predictions` to the part of a set whose `sample_id` lies in `ids`."""
    with connection.cursor() as cursor:
        cursor.execute(
            # As in `read_part`: along the key, not along the index on the set.
            "DELETE FROM predictions WHERE model_version_id = %s AND dataset_id = %s"
            " AND sample_id >= %s AND sample_id < %s AND set_name || '' = %s",
            (model_version_id, dataset_id, ids.start, ids.stop, set_name),
        )
    _append_predictions(
        connection,
        model_version_id,
        dataset_id,
        set_name,
        sample_ids,
        predicted,
        probabilities,
        task,
    )


def _append_predictions(
    connection: PgConnection,
    model_version_id: int,
    dataset_id: int,
    set_name: str,
    sample_ids: NDArray[np.int64],
    predicted: NDArray[Any],
    probabilities: NDArray[np.float64] | None,
    task: str,
) -> None:
    columns: dict[str, tuple[FieldType, Cells]] = {
        "model_version_id": ("int8", model_version_id),
        "dataset_id": ("int8", dataset_id),
        "sample_id": ("int8", sample_ids),
        "set_name": ("text", set_name),
        "probabilities": ("float8[]", probabilities),
    }
    if task == "regression":
        columns["predicted_value"] = ("float8", np.asarray(predicted, dtype=np.float64))
    else:
        columns["predicted_class"] = ("text", np.array(list(map(str, predicted)), dtype=object))
    copy_in(connection, sql.Identifier("predictions"), columns, len(sample_ids))


def read_predictions(
    connection: PgConnection,
    model_version_id: int,
    dataset_id: int,
    set_name: str,
    sample_ids: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Return what a version predicted for a set, indexed by `sample_id` (int64).

    For all of it, or for these samples. Columns: `predicted_class` (object of str),
    `predicted_value` (float64) and `probabilities` (object: list of float in the order of the
    dataset's classes, or None).
    """
    types: dict[str, FieldType] = {
        "sample_id": "int8",
        "predicted_class": "text",
        "predicted_value": "float8",
        "probabilities": "float8[]",
    }
    query = sql.SQL(
        "SELECT {columns} FROM predictions"
        " WHERE model_version_id = {version} AND dataset_id = {dataset} AND set_name = {set_name}"
        "{chosen} ORDER BY sample_id"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, types)),
        version=sql.Literal(model_version_id),
        dataset=sql.Literal(dataset_id),
        set_name=sql.Literal(set_name),
        chosen=_one_of("sample_id", "int8", sample_ids),
    )
    return copy_out(connection, query, types, index="sample_id")
