"""Binary COPY on a real PostgreSQL: what a person sees in SQL, what the naive way would see."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg2 import sql
from psycopg2.errors import CharacterNotInRepertoire, UniqueViolation
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema.binary_copy import copy_in, copy_out
from schema.binary_rows import FieldType, rows_per_block
from tests.support.databases import TestDatabase

TABLE = sql.Identifier("many")
TYPES: dict[str, FieldType] = {
    "key": "int8",
    "number": "float8",
    "small": "int4",
    "text": "text",
    "label": "text",
    "truth": "bool",
    "list": "float8[]",
}
QUERY = sql.SQL("SELECT {} FROM many ORDER BY key").format(
    sql.SQL(", ").join(map(sql.Identifier, TYPES))
)
BLOCK = rows_per_block(len(TYPES))


@pytest.fixture
def connection(cellar_database: TestDatabase) -> Iterator[PgConnection]:
    with cellar_database.connection() as connection, connection.cursor() as cursor:
        columns = ", ".join(f"{name} {type_}" for name, type_ in TYPES.items())
        cursor.execute(f"CREATE TEMPORARY TABLE many ({columns}, PRIMARY KEY (key))")
        connection.commit()
        yield connection


def columns_of(n_rows: int) -> dict[str, tuple[FieldType, Any]]:
    """Return columns that are without NULL in the first block and have some in the others."""
    draw = np.random.default_rng(n_rows)
    missing = (np.arange(n_rows) > BLOCK) & (draw.random(n_rows) < 0.1)
    numbers = draw.normal(size=n_rows) * 10.0 ** draw.integers(-300, 300, n_rows)
    numbers[::7] = -0.0
    numbers[::11] = np.inf
    texts = np.array([f"tab\t{'é🍷' * (row % 5)}\\N\n" for row in range(n_rows)], dtype=object)
    labels = np.array(["red", "white"], dtype=object)[draw.integers(0, 2, n_rows)]
    return {
        "key": ("int8", np.arange(n_rows) - 2**62),
        "number": ("float8", np.where(missing, np.nan, numbers)),
        "small": ("int4", pd.array(np.where(missing, None, np.arange(n_rows)), "Int64")),
        "text": ("text", np.where(missing, None, texts)),
        "label": ("text", labels),
        "truth": ("bool", pd.array(np.where(missing, None, missing), "boolean")),
        "list": ("float8[]", draw.normal(size=(n_rows, 3))),
    }


@pytest.mark.parametrize(
    "n_rows", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK + 7]
)
def test_rows_come_back_whatever_their_number(connection: PgConnection, n_rows: int) -> None:
    columns = columns_of(n_rows)
    copy_in(connection, TABLE, columns, n_rows)
    found = copy_out(connection, QUERY, TYPES, index="key")
    (_, keys), expected = columns.pop("key"), columns
    assert found.index.name == "key" and found.index.dtype == np.int64
    assert np.array_equal(found.index, keys)
    assert list(found.columns) == list(expected)
    assert found.pop("list").tolist() == columns.pop("list")[1].tolist()
    for name, (_, cells) in columns.items():
        pd.testing.assert_series_equal(
            found[name].reset_index(drop=True), pd.Series(cells, name=name), check_exact=True
        )
    assert found["number"].to_numpy().tobytes() == columns["number"][1].tobytes()


def test_a_person_and_the_naive_way_see_the_same(connection: PgConnection) -> None:
    n_rows = 2 * BLOCK
    columns = columns_of(n_rows)
    copy_in(connection, TABLE, columns, n_rows)
    lists = columns.pop("list")[1]
    naive = pd.DataFrame({name: cells for name, (_, cells) in columns.items()})
    naive["list"] = ["{" + ",".join(map(repr, items)) + "}" for items in lists.tolist()]
    text = io.StringIO()
    naive.to_csv(text, index=False, header=False, na_rep="NULL!")
    text.seek(0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE naive (LIKE many)")
        cursor.copy_expert("COPY naive FROM STDIN WITH (FORMAT csv, NULL 'NULL!')", text)
        cursor.execute(
            "SELECT (SELECT count(*) FROM many), (SELECT count(*) FROM naive),"
            " (SELECT count(*) FROM (TABLE many EXCEPT TABLE naive) AS other),"
            " (SELECT count(*) FROM many WHERE number = 'NaN')"
        )
        assert cursor.fetchone() == (n_rows, n_rows, 0, 0)
        cursor.execute("SELECT * FROM many ORDER BY key DESC LIMIT 50")
        for row, expected in zip(cursor, reversed(range(n_rows)), strict=False):
            cells: list[Any] = [cells[expected] for _, cells in columns.values()]
            assert list(row[:-1]) == [None if pd.isna(cell) else cell for cell in cells]
            assert row[-1] == lists[expected].tolist()


@pytest.mark.parametrize(
    ("place", "cell", "error"),
    [(0, "a\0b", CharacterNotInRepertoire), (-1, "\ud800", UnicodeEncodeError)],
    ids=["NUL", "surrogate"],
)
def test_text_that_postgresql_cannot_hold_is_refused_whole(
    connection: PgConnection, place: int, cell: str, error: type[Exception]
) -> None:
    columns = columns_of(2 * BLOCK)
    columns["text"][1][place] = cell
    with pytest.raises(error):
        copy_in(connection, TABLE, columns, 2 * BLOCK)
    connection.rollback()
    assert copy_out(connection, QUERY, TYPES, index="key").empty


def test_what_the_table_refuses_is_the_drivers_error(connection: PgConnection) -> None:
    columns = columns_of(3)
    columns["key"] = ("int8", np.array([1, 2, 1]))
    with pytest.raises(UniqueViolation):
        copy_in(connection, TABLE, columns, 3)


def test_after_a_query_of_other_types_the_connection_can_be_used(connection: PgConnection) -> None:
    copy_in(connection, TABLE, columns_of(3 * BLOCK), 3 * BLOCK)
    connection.commit()
    with pytest.raises(ValueError, match="other fields"):
        copy_out(connection, QUERY, TYPES | {"small": "int8"}, index="key")
    connection.rollback()
    assert len(copy_out(connection, QUERY, TYPES, index="key")) == 3 * BLOCK


def test_dates_and_times_are_those_that_sql_sees(connection: PgConnection) -> None:
    texts = ["0001-01-01", "1999-12-31", None, "2000-01-01", "9999-12-31"]
    days = np.array([text or "NaT" for text in texts], "M8[us]")
    moments = days + np.timedelta64(86_399_999_999, "us")
    types: dict[str, FieldType] = {"key": "int8", "day": "date", "moment": "timestamptz"}
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'Asia/Tokyo'")
        cursor.execute("CREATE TEMPORARY TABLE times (key int8, day date, moment timestamptz)")
        cells = {"key": np.arange(5), "day": days, "moment": moments}
        columns = {name: (type_, cells[name]) for name, type_ in types.items()}
        copy_in(connection, sql.Identifier("times"), columns, 5)
        cursor.execute(
            "SELECT day::text, (moment AT TIME ZONE 'UTC')::text FROM times ORDER BY key"
        )
        assert cursor.fetchall() == [(text, text and f"{text} 23:59:59.999999") for text in texts]
    query = sql.SQL("SELECT key, day, moment FROM times ORDER BY key")
    found = copy_out(connection, query, types, index="key")
    for name in ("day", "moment"):
        assert found[name].dtype == "datetime64[us]"
        np.testing.assert_array_equal(found[name].to_numpy(), cells[name])
