"""Columns into a table and rows out of a query by PostgreSQL's binary COPY.

Functions take a psycopg2 connection inside the caller's transaction and never commit. Knows the
driver; what the bytes mean is known to `binary_rows` and `binary_columns`.
"""

from collections.abc import Generator, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema.binary_columns import Columns
from schema.binary_rows import HEADER, Cells, FieldType, encode, rows_per_block


def copy_in(
    connection: PgConnection,
    table: sql.Composable,
    columns: Mapping[str, tuple[FieldType, Cells]],
    n_rows: int,
) -> None:
    """Append rows to a table; its columns have these types, and others their defaults.

    `columns` are the type and the cells of each, as `binary_rows.encode` takes them, and raise as
    it does. What PostgreSQL refuses, a NUL in text or a key that is there already, is the driver's
    error. A block of `binary_rows` is in memory beside the columns.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT binary)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    blocks = _Blocks(
        encode(
            [cells for _, cells in columns.values()],
            [type_ for type_, _ in columns.values()],
            n_rows,
        )
    )
    with connection.cursor() as cursor:
        try:
            cursor.copy_expert(statement.as_string(cursor), cast(Any, blocks))
        except psycopg2.Error:
            if blocks.error is not None:
                raise blocks.error from None
            raise


class _Blocks:
    """A file whose `read` gives the next block: the driver sends what it gets, however long."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.error: Exception | None = None

    def read(self, _size: int) -> bytes:
        try:
            return next(self._blocks, b"")
        except Exception as error:
            # The driver makes it a text and cancels the COPY.
            self.error = error
            raise


def copy_out(
    connection: PgConnection,
    query: sql.Composable,
    types: Mapping[str, FieldType],
    index: str,
) -> pd.DataFrame:
    """Return what a query answers, in its order, by the columns in `types`.

    `index` names the one of them, int4 or int8 without NULL, that becomes the index (int64). The
    others are as `binary_columns.Columns.take` gives them, also where the query has no rows.

    Raises
    ------
    ValueError
        The query's columns are of other types.
    """
    columns = Columns(list(types.values()))
    statement = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT binary)").format(query)
    rows: list[bytes] = []
    collector = _collect(columns, rows, rows_per_block(len(types)))
    next(collector)
    file: Any = SimpleNamespace(write=collector.send)
    with connection.cursor() as cursor:
        cursor.copy_expert(statement.as_string(cursor), file)
    columns.append(rows[:-1])
    cells: dict[str, Any] = dict(zip(types, columns.take(), strict=True))
    numbers = cells.pop(index).to_numpy(np.int64)
    return pd.DataFrame(cells, index=pd.Index(numbers, name=index))


def _collect(columns: Columns, rows: list[bytes], at_once: int) -> Generator[None, bytes, None]:
    """Take what the driver is sent, and put it into the columns block by block.

    PostgreSQL sends each row by itself (see "COPY Operations" in its protocol), with the header in
    front of the first. The last of `rows` is always kept back, as it may be the trailer. The driver
    calls the file's `write` for each: a generator's `send` takes half the time of a method.
    """
    rows.append((yield).removeprefix(HEADER))
    while True:
        for _ in range(at_once):
            rows.append((yield))
        columns.append(rows[:-1])
        del rows[:-1]
