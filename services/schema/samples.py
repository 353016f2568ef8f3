"""The wide, typed tables of a dataset version, written and read by COPY.

`samples.wine_v1` has one real column per feature and one for the target, NULL where a value is
missing, so that a person can `SELECT alcohol, proline FROM samples.wine_v1 WHERE set_name =
'training'`. Beside it stands `samples.wine_v1_source`: every row of the version, once, in the order
it came in, from which the sets are cut. Functions here take a psycopg2 connection inside the
caller's transaction and never commit. Knows pandas and COPY; knows nothing of HTTP or of models.
"""

import csv
import io
import json
import math
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from contracts.vocabulary import ColumnType
from schema.tables import SAMPLES_SCHEMA

SQL_TYPES: Mapping[str, str] = {
    "number": "double precision",
    "integer": "bigint",
    "text": "text",
    "boolean": "boolean",
}

PANDAS_TYPES: Mapping[str, str] = {
    "number": "float64",
    "integer": "Int64",
    "text": "object",
    "boolean": "boolean",
}

RESERVED_COLUMNS = frozenset({"sample_id", "set_name", "row_number", "loaded_at", "batch_id"})
LONGEST_NAME_BYTES = 63
"""PostgreSQL cuts longer names off."""

CHUNK_ROWS = 50_000
"""Rows that are in memory at the same time while a table of any length is written or read."""

TEXT_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
"""What COPY's text format would take for its own marks."""


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
    """Create the table of all rows, numbered from 0; raises like `create_table`."""
    statement = sql.SQL("CREATE TABLE {table} (row_number bigint PRIMARY KEY, {columns})").format(
        table=source_table_name(dataset_name, version), columns=_definitions(columns)
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
    """Add `rows` (n_rows, the given columns) behind those that are there already."""
    names = [column.name for column in columns]
    frame = _typed(rows, columns)
    frame.insert(0, "row_number", np.arange(first_row_number, first_row_number + len(frame)))
    _copy_in(connection, source_table_name(dataset_name, version), ["row_number", *names], frame)


def read_source(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    columns: Sequence[Column],
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[pd.DataFrame]:
    """Yield all rows in their order, at most `chunk_rows` at a time, indexed by `row_number`.

    Types are those of `read_rows`. Ends before the first chunk that would be empty.
    """
    table = source_table_name(dataset_name, version)
    null_mark = _new_null_mark()
    types = {column.name: PANDAS_TYPES[column.type] for column in columns}
    first = 0
    while True:
        query = sql.SQL(
            "COPY (SELECT {columns} FROM {table} WHERE row_number >= {first}"
            " AND row_number < {end} ORDER BY row_number) "
            "TO STDOUT WITH (FORMAT csv, HEADER, NULL {null})"
        ).format(
            columns=sql.SQL(", ").join(sql.Identifier(name) for name in ("row_number", *types)),
            table=table,
            first=sql.Literal(first),
            end=sql.Literal(first + chunk_rows),
            null=sql.Literal(null_mark),
        )
        chunk = _copy_out(connection, query, {"row_number": "int64", **types}, null_mark)
        if chunk.empty:
            return
        yield chunk.set_index("row_number")
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
    statement = sql.SQL("DELETE FROM {} WHERE set_name = %s").format(
        table_name(dataset_name, version)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, (set_name,))


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
    frame = _typed(rows, columns)
    frame.insert(0, "set_name", set_name)
    frame.insert(1, "row_number", row_numbers)
    frame.insert(2, "batch_id", batch_id)
    names = ["set_name", "row_number", "batch_id", *(column.name for column in columns)]
    _copy_in(connection, table_name(dataset_name, version), names, frame)


def read_page(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str | None,
    columns: Sequence[Column],
    first: int,
    limit: int,
) -> list[list[Any]]:
    """Return rows from row number `first` on, of all rows or of a set, as plain values.

    None where a value is missing or is no finite number.
    """
    statement = sql.SQL("SELECT {} {} AND row_number >= %s ORDER BY row_number LIMIT %s").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        _rows_of(dataset_name, version, set_name),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, (first, limit))
        return [
            [None if isinstance(x, float) and not math.isfinite(x) else x for x in row]
            for row in cursor.fetchall()
        ]


def write_csv(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str | None,
    columns: Sequence[Column],
    file: BinaryIO,
) -> None:
    """Write all rows or those of a set in their order, with a header.

    Text is in quotes, NULL is nothing without quotes, truth values are `true` and `false`; numbers
    come back exactly.
    """
    # COPY would write t and f.
    cells = [
        sql.SQL("{0}::text AS {0}" if column.type == "boolean" else "{0}").format(
            sql.Identifier(column.name)
        )
        for column in columns
    ]
    texts = [sql.Identifier(column.name) for column in columns if column.type == "text"]
    quoting = sql.SQL(", FORCE_QUOTE ({})").format(sql.SQL(", ").join(texts))
    query = sql.SQL(
        "COPY (SELECT {cells} {rows} ORDER BY row_number) TO STDOUT"
        " WITH (FORMAT csv, HEADER{quoting})"
    ).format(
        cells=sql.SQL(", ").join(cells),
        rows=_rows_of(dataset_name, version, set_name),
        quoting=quoting if texts else sql.SQL(""),
    )
    with connection.cursor() as cursor:
        cursor.copy_expert(query.as_string(cursor), file)


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
    missing = sql.SQL(" + ").join(
        sql.SQL("count(*) - count({})").format(sql.Identifier(column.name)) for column in columns
    )
    statement = sql.SQL("SELECT {} FROM {} WHERE set_name = %s").format(
        missing, table_name(dataset_name, version)
    )
    return _scalar(connection, statement, (set_name,))


def _scalar(
    connection: PgConnection, statement: sql.Composable, values: tuple[str, ...] = ()
) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchone()
    return int(found[0]) if found else 0


def _typed(rows: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    types = {column.name: PANDAS_TYPES[column.type] for column in columns}
    return rows.loc[:, list(types)].astype(types).reset_index(drop=True)


def read_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    columns: Sequence[Column],
) -> pd.DataFrame:
    """Return a set's rows in their first order, indexed by `sample_id` (int64).

    Columns come in the given order as float64, Int64, object or boolean; NULL is NaN, <NA> or
    None. Floats are exactly those that were written. An empty set gives an empty frame.
    """
    names = [sql.Identifier(column.name) for column in columns]
    null_mark = _new_null_mark()
    query = sql.SQL(
        "COPY (SELECT {columns} FROM {table} WHERE set_name = {set_name} ORDER BY row_number) "
        "TO STDOUT WITH (FORMAT csv, HEADER, NULL {null})"
    ).format(
        columns=sql.SQL(", ").join([sql.Identifier("sample_id"), *names]),
        table=table_name(dataset_name, version),
        set_name=sql.Literal(set_name),
        null=sql.Literal(null_mark),
    )
    types = {column.name: PANDAS_TYPES[column.type] for column in columns}
    frame = _copy_out(connection, query, {"sample_id": "int64", **types}, null_mark)
    return frame.set_index("sample_id")


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
    kind = "predicted_value" if task == "regression" else "predicted_class"
    frame = pd.DataFrame(
        {
            "model_version_id": model_version_id,
            "dataset_id": dataset_id,
            "sample_id": sample_ids,
            "set_name": set_name,
            kind: predicted if task == "regression" else [str(label) for label in predicted],
        }
    )
    if probabilities is not None:
        frame["probabilities"] = [
            "{" + ",".join(map(repr, row)) + "}" for row in probabilities.tolist()
        ]
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM predictions"
            " WHERE model_version_id = %s AND dataset_id = %s AND set_name = %s",
            (model_version_id, dataset_id, set_name),
        )
    _copy_in(connection, sql.Identifier("predictions"), list(frame.columns), frame)


def read_predictions(
    connection: PgConnection, model_version_id: int, dataset_id: int, set_name: str
) -> pd.DataFrame:
    """Return what a version predicted for a set, indexed by `sample_id` (int64).

    Columns: `predicted_class` (object of str), `predicted_value` (float64) and `probabilities`
    (object: list of float in the order of the dataset's classes, or None).
    """
    null_mark = _new_null_mark()
    query = sql.SQL(
        "COPY (SELECT sample_id, predicted_class, predicted_value,"
        " array_to_json(probabilities) AS probabilities FROM predictions"
        " WHERE model_version_id = {version} AND dataset_id = {dataset} AND set_name = {set_name}"
        " ORDER BY sample_id) TO STDOUT WITH (FORMAT csv, HEADER, NULL {null})"
    ).format(
        version=sql.Literal(model_version_id),
        dataset=sql.Literal(dataset_id),
        set_name=sql.Literal(set_name),
        null=sql.Literal(null_mark),
    )
    frame = _copy_out(
        connection,
        query,
        {
            "sample_id": "int64",
            "predicted_class": "object",
            "predicted_value": "float64",
            "probabilities": "object",
        },
        null_mark,
    )
    frame["probabilities"] = pd.Series(
        [None if cell is None else json.loads(cell) for cell in frame["probabilities"]],
        index=frame.index,
        dtype=object,
    )
    return frame.set_index("sample_id")


def _copy_in(
    connection: PgConnection,
    table: sql.Composable,
    names: Sequence[str],
    frame: pd.DataFrame,
) -> None:
    # The text format: all its marks can be escaped, where CSV takes the text \N for a NULL.
    escaped = frame.copy()
    for name in frame.select_dtypes("object").columns:
        escaped[name] = frame[name].map(
            lambda cell: str(cell).translate(TEXT_ESCAPES), na_action="ignore"
        )
    buffer = io.StringIO()
    escaped.to_csv(
        buffer, sep="\t", index=False, header=False, na_rep="\\N", quoting=csv.QUOTE_NONE
    )
    buffer.seek(0)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        table, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor() as cursor:
        cursor.copy_expert(statement.as_string(cursor), buffer)


def _new_null_mark() -> str:
    # pandas does not tell a quoted mark from a bare one, so no text may equal it.
    return f"\\N{secrets.token_hex(8)}"


def _copy_out(
    connection: PgConnection, query: sql.Composable, types: Mapping[str, str], null_mark: str
) -> pd.DataFrame:
    buffer = io.StringIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(query.as_string(cursor), buffer)
    buffer.seek(0)
    parsed: Any = {name: "object" if kind == "boolean" else kind for name, kind in types.items()}
    frame: pd.DataFrame = pd.read_csv(
        buffer,
        dtype=parsed,
        na_values=[null_mark],
        keep_default_na=False,
        float_precision="round_trip",
    )
    for name, kind in types.items():
        if kind == "boolean":
            frame[name] = frame[name].map({"t": True, "f": False}).astype("boolean")
        elif kind == "object":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), cast(Any, None))
    return frame
