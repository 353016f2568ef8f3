"""Sets cut inside the database."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from contracts.vocabulary import ColumnType
from schema import samples, source_cuts
from schema.samples import Column
from tests.support.databases import TestDatabase
from tests.support.odd_rows import COLUMNS, odd_rows


def pieces_of(places: NDArray[np.int64], n_rows: int, at_once: int) -> list[NDArray[np.int64]]:
    """Return each row's number in the set of the rows at `places`, so many rows at a time."""
    numbers = np.full(n_rows, -1)
    numbers[places] = np.arange(len(places))
    return [numbers[first : first + at_once] for first in range(0, n_rows, at_once)]


def test_a_set_is_cut_as_it_is_said(connection: PgConnection) -> None:
    # Names that the statement has uses of its own for.
    names = [column.name for column in COLUMNS]
    taken = dict(zip(names, ["number", "place", "cut", "source", 'say "hi"'], strict=False))
    columns = [Column(taken.get(column.name, column.name), column.type) for column in COLUMNS]
    rows = odd_rows().rename(columns=taken)
    samples.create_table(connection, "odd", 1, columns)
    samples.create_source_table(connection, "odd", 1, columns)
    samples.append_source_rows(connection, "odd", 1, columns, 0, rows)
    samples.index_source_table(connection, "odd", 1)
    order = np.random.default_rng(0).permutation(len(rows))
    for set_name, places in (("training", order[:9]), ("testing", order[9:])):
        pieces = pieces_of(places, len(rows), 4)
        source_cuts.copy_source_rows(
            connection, "odd", 1, set_name, 7, columns, pieces, len(places)
        )
        found = samples.read_rows(connection, "odd", 1, set_name, columns)
        expected = rows.iloc[places].reset_index(drop=True)
        pd.testing.assert_frame_equal(
            found.reset_index(drop=True), expected, check_exact=True, check_like=True
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_name, count(*), min(batch_id) FROM samples.odd_v1 GROUP BY 1")
        assert sorted(cursor.fetchall()) == [("testing", len(rows) - 9, 7), ("training", 9, 7)]


def test_a_long_set_lies_in_its_order(cellar_database: TestDatabase) -> None:
    columns, n_rows = [Column("number", "number"), Column("name", "text")], 300_000
    with cellar_database.connection() as connection, connection.cursor() as cursor:
        samples.create_table(connection, "long", 1, columns)
        samples.create_source_table(connection, "long", 1, columns)
        cursor.execute(
            "INSERT INTO samples.long_v1_source SELECT place, place / 7.0, 'bottle ' || place"
            " FROM generate_series(0, %s) AS place",
            (n_rows - 1,),
        )
        samples.index_source_table(connection, "long", 1)
        places = np.random.default_rng(0).permutation(n_rows)[: n_rows * 6 // 10]
        pieces = pieces_of(places, n_rows, 50_000)
        source_cuts.copy_source_rows(
            connection, "long", 1, "training", 7, columns, pieces, len(places)
        )
        cursor.execute("SELECT row_number, name FROM samples.long_v1 ORDER BY sample_id")
        assert cursor.fetchall() == [(row, f"bottle {place}") for row, place in enumerate(places)]
        cursor.execute(
            "SELECT bool_and(before < row_number) FROM (SELECT row_number,"
            " lag(row_number) OVER (ORDER BY ctid) AS before FROM samples.long_v1) AS lying"
        )
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("integer", [30, 10, 20, 10, 30, 20, 10]),
        ("number", [3.5, -np.inf, 2.0, -np.inf, 3.5, 2.0, -np.inf]),
        ("date", pd.to_datetime([f"2024-0{month}-01" for month in (3, 1, 2, 1, 3, 2, 1)])),
    ],
)
@pytest.mark.parametrize("at_once", [2, 100])
def test_rows_are_put_in_the_order_of_a_column(
    connection: PgConnection,
    type_: ColumnType,
    values: list[float],
    at_once: int,
) -> None:
    column = Column('when "it" was', type_)
    samples.create_source_table(connection, "mine", 1, [column])
    rows = pd.DataFrame({column.name: pd.Series(values, dtype=samples.PANDAS_TYPES[type_])})
    samples.append_source_rows(connection, "mine", 1, [column], 0, rows)

    def numbers(places: range) -> list[int]:
        found = source_cuts.numbers_in_order(connection, "mine", 1, column, 7, places, at_once)
        return np.concatenate(list(found)).tolist()

    # Of equal values the row in front comes first.
    assert numbers(range(7)) == [5, 0, 3, 1, 6, 4, 2]
    assert numbers(range(4)) == [-1, 0, 3, 1, -1, -1, 2]
    assert numbers(range(4, 7)) == [1, -1, -1, -1, 2, 0, -1]
    assert numbers(range(2, 2)) == [-1] * 7
