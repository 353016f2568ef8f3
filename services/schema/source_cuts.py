"""A set cut from the table of all rows inside the database: which rows it has, in which order.

The rows' places (their row numbers in the table of all rows) and their numbers in the set are in a
temporary table; neither they nor the rows are in our memory at once. Functions take a psycopg2
connection inside the caller's transaction and never commit.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema.binary_copy import copy_in, copy_out
from schema.binary_rows import Cells, FieldType
from schema.samples import Column, source_table_name, table_name

HASHED_ROW_BYTES = 64
LEAST_HASH_BYTES, MOST_HASH_BYTES = 8 * 2**20, 256 * 2**20
"""What PostgreSQL may take for the hash of a cut: enough for 4 million rows."""

SORT_BYTES = 64 * 2**20
"""What it may take to put rows in order before it does so in files."""


def copy_source_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    batch_id: int,
    columns: Sequence[Column],
    pieces: Iterable[NDArray[np.int64]],
    row_count: int,
) -> None:
    """Add rows of the table of all rows to a set, in its order, without their leaving the database.

    `pieces` say of each row of that table, one after the other, its number in the set, -1 where it
    is not in it; `row_count` are in it.
    """
    cut = sql.Identifier("pg_temp", "cut")
    hash_bytes = min(max(row_count * HASHED_ROW_BYTES, LEAST_HASH_BYTES), MOST_HASH_BYTES)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} (place bigint, number integer)").format(cut)
        )
        first = 0
        for numbers in pieces:
            picked = np.flatnonzero(numbers >= 0)
            cells: dict[str, tuple[FieldType, Cells]] = {
                "place": ("int8", first + picked),
                "number": ("int4", numbers[picked]),
            }
            copy_in(connection, cut, cells, len(picked))
            first += len(numbers)
        # The join hashes the numbers. With too little room for that it would write the rows of the
        # table to files in between. What it may take is twice the setting. That the rows are then
        # put in order, in files if need be, takes less time than an index that grows in random
        # places; and a set that lies in its order is read in one go.
        _allow(connection, hash_bytes // 2)
        statement = sql.SQL(
            "ANALYZE {cut}; INSERT INTO {table} (set_name, row_number, batch_id, {columns})"
            " SELECT {set_name}, cut.number, {batch_id}, {cells}"
            " FROM {source} AS source JOIN {cut} AS cut ON source.row_number = cut.place"
            " ORDER BY cut.number; DROP TABLE {cut}"
        )
        cursor.execute(
            statement.format(
                cut=cut,
                table=table_name(dataset_name, version),
                source=source_table_name(dataset_name, version),
                set_name=sql.Literal(set_name),
                batch_id=sql.Literal(batch_id),
                columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
                cells=sql.SQL(", ").join(
                    sql.Identifier("source", column.name) for column in columns
                ),
            )
        )


def numbers_in_order(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    column: Column,
    n_rows: int,
    places: range,
    chunk_rows: int,
) -> Iterator[NDArray[np.int64]]:
    """Yield of each of the `n_rows` rows there are, `chunk_rows` at a time, its number in a set.

    The set are those rows that stand at `places` when all are in the order of a column, numbered
    from 0; others have -1. Of equal values the row in front comes first; NaN and NULL come last.
    """
    order = sql.Identifier("pg_temp", "row_order")
    _allow(connection, SORT_BYTES)
    with connection.cursor() as cursor:
        statement = sql.SQL(
            "CREATE TEMPORARY TABLE {order} AS SELECT place, number - {start} AS number FROM"
            " (SELECT row_number AS place, row_number() OVER (ORDER BY {column}, row_number) - 1"
            " AS number FROM {source}) AS ranked WHERE number >= {start} AND number < {stop};"
            " ALTER TABLE {order} ADD PRIMARY KEY (place); ANALYZE {order}"
        )
        cursor.execute(
            statement.format(
                order=order,
                column=sql.Identifier(column.name),
                source=source_table_name(dataset_name, version),
                start=sql.Literal(places.start),
                stop=sql.Literal(places.stop),
            )
        )
    for first in range(0, n_rows, chunk_rows):
        query = sql.SQL("SELECT place, number FROM {} WHERE place >= {} AND place < {}").format(
            order, sql.Literal(first), sql.Literal(first + chunk_rows)
        )
        found = copy_out(connection, query, {"place": "int8", "number": "int8"}, index="place")
        numbers = np.full(min(chunk_rows, n_rows - first), -1, dtype=np.int64)
        numbers[found.index.to_numpy() - first] = found["number"].to_numpy(np.int64)
        yield numbers
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP TABLE {}").format(order))


def _allow(connection: PgConnection, memory_bytes: int) -> None:
    """Let this transaction's sorts and hashes take so much memory before they go to files."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", (f"{memory_bytes // 1024}kB",))
