"""The wide, typed table of a dataset version, written and read by COPY.

`samples.wine_v1` has one real column per feature and one for the target, NULL where a value is
missing, so that a person can `SELECT alcohol, proline FROM samples.wine_v1 WHERE set_name =
'training'`. Functions here take a psycopg2 connection inside the caller's transaction and never
commit. Knows pandas and COPY; knows nothing of HTTP or of models.
"""

import csv
import io
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema.tables import SAMPLES_SCHEMA

ColumnType = Literal["number", "integer", "text", "boolean"]

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


def create_table(
    connection: PgConnection, dataset_name: str, version: int, columns: Sequence[Column]
) -> None:
    """Create the table unless it is there.

    Raises
    ------
    ValueError
        Two columns share a name, or one has a name that the table needs for itself, that is empty,
        longer than 63 bytes in UTF-8 or holds a NUL.
    """
    names = [column.name for column in columns]
    unusable = {
        name
        for name in names
        if name in RESERVED_COLUMNS
        or names.count(name) > 1
        or not 0 < len(name.encode()) <= LONGEST_NAME_BYTES
        or "\0" in name
    }
    if unusable:
        raise ValueError(f"Column name(s) not usable: {', '.join(map(repr, sorted(unusable)))}")
    definitions = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(SQL_TYPES[column.type]))
        for column in columns
    ]
    statement = sql.SQL(
        "CREATE TABLE IF NOT EXISTS {table} ("
        "sample_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "set_name text NOT NULL, row_number integer NOT NULL, "
        "batch_id bigint NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now(), {columns}, "
        "UNIQUE (set_name, row_number))"
    ).format(table=table_name(dataset_name, version), columns=sql.SQL(", ").join(definitions))
    with connection.cursor() as cursor:
        cursor.execute(statement)


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
    table = table_name(dataset_name, version)
    names = [column.name for column in columns]
    frame = rows.loc[:, names].astype({c.name: PANDAS_TYPES[c.type] for c in columns})
    frame.insert(0, "set_name", set_name)
    frame.insert(1, "row_number", np.arange(len(frame)))
    frame.insert(2, "batch_id", batch_id)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DELETE FROM {} WHERE set_name = %s").format(table), (set_name,))
    _copy_in(connection, table, ["set_name", "row_number", "batch_id", *names], frame)


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
