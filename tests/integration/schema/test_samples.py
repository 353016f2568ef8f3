"""What goes into a sample table comes out as it was."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema import samples
from schema.samples import Column
from tests.support.odd_rows import COLUMNS, odd_rows


def test_rows_come_back_exactly(connection: PgConnection) -> None:
    rows = odd_rows()
    samples.create_table(connection, "odd", 1, COLUMNS)
    samples.replace_rows(connection, "odd", 1, "training", 7, COLUMNS, rows)

    found = samples.read_rows(connection, "odd", 1, "training", COLUMNS)

    assert list(found.columns) == [column.name for column in COLUMNS]
    assert found.index.name == "sample_id" and found.index.is_unique
    numbers = found[COLUMNS[0].name].to_numpy()
    assert numbers.dtype == np.float64
    assert numbers.tobytes() == rows[COLUMNS[0].name].to_numpy().tobytes()
    assert found[COLUMNS[1].name].tolist() == rows[COLUMNS[1].name].tolist()
    for column in COLUMNS[2:]:
        pd.testing.assert_series_equal(
            found[column.name].reset_index(drop=True), rows[column.name], check_names=False
        )


def test_a_missing_value_is_null_in_the_database(connection: PgConnection) -> None:
    rows = odd_rows()
    samples.create_table(connection, "odd", 1, COLUMNS)
    samples.replace_rows(connection, "odd", 1, "training", 7, COLUMNS, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT count(*) FILTER (WHERE "od280/od315_of_diluted_wines" IS NULL),'
            " count(*) FILTER (WHERE \"od280/od315_of_diluted_wines\" = 'NaN'),"
            ' count(*) FILTER (WHERE "self" IS NULL) FROM samples.odd_v1'
        )
        assert cursor.fetchone() == (1, 0, 4)


@pytest.mark.parametrize("n_columns", [1, 100, 101, 250])
def test_missing_cells_of_a_set_are_counted(connection: PgConnection, n_columns: int) -> None:
    columns = [Column(f"c{place}", "number") for place in range(n_columns)]
    values = np.arange(3.0 * n_columns).reshape(3, n_columns)
    values[1], values[2, -1] = np.nan, np.nan
    rows = pd.DataFrame(values, columns=[column.name for column in columns])
    samples.create_table(connection, "odd", 1, columns)
    for set_name, some in (("training", rows), ("testing", rows.head(1))):
        samples.replace_rows(connection, "odd", 1, set_name, 1, columns, some)
    counts = [
        samples.count_missing(connection, "odd", 1, name, columns)
        for name in ("training", "testing", "production")
    ]
    assert counts == [n_columns + 1, 0, 0]


def test_replacing_touches_neither_another_set_nor_another_version(
    connection: PgConnection,
) -> None:
    rows = odd_rows()
    for version in (1, 2):
        samples.create_table(connection, "odd", version, COLUMNS)
        for set_name in ("training", "testing"):
            samples.replace_rows(connection, "odd", version, set_name, 1, COLUMNS, rows)
    before = samples.read_rows(connection, "odd", 1, "testing", COLUMNS)

    samples.replace_rows(connection, "odd", 1, "training", 2, COLUMNS, rows.head(3))

    assert len(samples.read_rows(connection, "odd", 1, "training", COLUMNS)) == 3
    assert len(samples.read_rows(connection, "odd", 2, "training", COLUMNS)) == len(rows)
    pd.testing.assert_frame_equal(
        samples.read_rows(connection, "odd", 1, "testing", COLUMNS), before
    )


def test_an_empty_set_is_an_empty_frame_of_the_right_types(connection: PgConnection) -> None:
    samples.create_table(connection, "odd", 1, COLUMNS)
    found = samples.read_rows(connection, "odd", 1, "training", COLUMNS)
    assert found.shape == (0, len(COLUMNS))
    assert list(map(str, found.dtypes)) == ["float64", "object", "Int64", "boolean", "Int64"]


@pytest.mark.parametrize(
    "names",
    [["a", "a"], ["sample_id"], ["set_name"], [""], ["x" * 64], ["é" * 32], ["nul\0"]],
    ids=["twice", "key", "set", "empty", "long", "long in bytes", "NUL"],
)
def test_a_name_that_the_table_cannot_hold_is_refused(
    connection: PgConnection, names: list[str]
) -> None:
    with pytest.raises(ValueError, match="not usable"):
        samples.create_table(connection, "odd", 1, [Column(name, "number") for name in names])


def test_the_longest_name_is_held(connection: PgConnection) -> None:
    columns = [Column("é" * 31 + "x", "number")]
    samples.create_table(connection, "odd", 1, columns)
    rows = pd.DataFrame({columns[0].name: [1.5]})
    samples.replace_rows(connection, "odd", 1, "training", 1, columns, rows)
    pd.testing.assert_frame_equal(
        samples.read_rows(connection, "odd", 1, "training", columns).reset_index(drop=True), rows
    )


def test_a_row_number_is_held_once_per_set(connection: PgConnection) -> None:
    samples.create_table(connection, "odd", 1, COLUMNS)
    samples.replace_rows(connection, "odd", 1, "training", 1, COLUMNS, odd_rows().head(1))
    with connection.cursor() as cursor, pytest.raises(UniqueViolation):
        cursor.execute(
            "INSERT INTO samples.odd_v1 (set_name, row_number, batch_id) VALUES ('training', 0, 1)"
        )


@pytest.mark.parametrize("chunk_rows", [1, 5, 16, 100])
def test_all_rows_come_back_in_chunks(connection: PgConnection, chunk_rows: int) -> None:
    rows = odd_rows()
    samples.create_source_table(connection, "odd", 1, COLUMNS)
    samples.append_source_rows(connection, "odd", 1, COLUMNS, 0, rows.head(7))
    samples.append_source_rows(connection, "odd", 1, COLUMNS, 7, rows.tail(-7))

    chunks = list(samples.read_source(connection, "odd", 1, COLUMNS, chunk_rows))

    assert max(map(len, chunks)) == min(chunk_rows, len(rows))
    found = pd.concat(chunks)
    assert found.index.tolist() == list(range(len(rows)))
    for column in COLUMNS:
        pd.testing.assert_series_equal(
            found[column.name].reset_index(drop=True), rows[column.name], check_exact=True
        )


@pytest.mark.parametrize(
    ("n_numbers", "text", "expected"),
    [
        (3, None, samples.CHUNK_ROWS),
        (3, "short", samples.CHUNK_ROWS),
        (200, None, samples.CHUNK_BYTES // 1600),
        (1, "é" * 5_000, samples.CHUNK_BYTES // 10_076),
        (1, "x" * 10**7, 3),
    ],
)
def test_a_chunk_has_fewer_rows_of_a_wide_table_or_of_long_text(
    connection: PgConnection, n_numbers: int, text: str | None, expected: int
) -> None:
    columns = [Column(f"x{place}", "number") for place in range(n_numbers)]
    cells: dict[str, Any] = {column.name: [1.5, np.nan] for column in columns}
    if text is not None:
        columns.append(Column('say "it"', "text"))
        cells['say "it"'] = [text, text]
    samples.create_source_table(connection, "wide", 1, columns)
    assert 1 <= samples.rows_per_chunk(connection, "wide", 1, columns, 0) <= samples.CHUNK_ROWS
    samples.append_source_rows(connection, "wide", 1, columns, 0, pd.DataFrame(cells))
    assert samples.rows_per_chunk(connection, "wide", 1, columns, 2) == expected


def test_a_text_that_is_missing_takes_nothing(connection: PgConnection) -> None:
    columns = [Column("note", "text"), Column("more", "text")]
    rows = pd.DataFrame({"note": ["x" * 10_000, None, None, None], "more": None})
    samples.create_source_table(connection, "gaps", 1, columns)
    samples.append_source_rows(connection, "gaps", 1, columns, 0, rows)
    expected = samples.CHUNK_BYTES // 2_636
    assert samples.rows_per_chunk(connection, "gaps", 1, columns, len(rows)) == expected


def test_a_page_has_the_rows_of_odd_columns(connection: PgConnection) -> None:
    samples.create_source_table(connection, "odd", 1, COLUMNS)
    samples.append_source_rows(connection, "odd", 1, COLUMNS, 0, odd_rows())
    page = samples.read_page(connection, "odd", 1, None, COLUMNS, 3, 2)
    assert page == [
        [5e-324, "\\.", 2**53 + 1, True, 3],
        [1.7976931348623157e308, "NULL", 2**63 - 1, True, 4],
    ]
    assert samples.rows_per_chunk(connection, "odd", 1, COLUMNS, len(odd_rows())) > 10_000


def test_missing_cells_of_odd_columns_are_counted(connection: PgConnection) -> None:
    rows = odd_rows()
    samples.create_table(connection, "odd", 1, COLUMNS)
    samples.replace_rows(connection, "odd", 1, "training", 1, COLUMNS, rows)
    missing = samples.count_missing(connection, "odd", 1, "training", COLUMNS)
    assert missing == rows.isna().sum().sum() > 0
    samples.clear_set(connection, "odd", 1, "training")
    assert samples.count_missing(connection, "odd", 1, "training", COLUMNS) == 0


def test_dropping_takes_both_tables_and_may_be_repeated(connection: PgConnection) -> None:
    samples.create_table(connection, "odd", 1, COLUMNS)
    samples.create_source_table(connection, "odd", 1, COLUMNS)
    for _ in range(2):
        samples.drop_tables(connection, "odd", 1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'samples'")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_a_set_is_read_part_by_part(
    connection: PgConnection, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(samples, "CHUNK_ROWS", at_once)
    rows = odd_rows()
    samples.create_table(connection, "odd", 1, COLUMNS)
    # Piece by piece in between of another's, last rows first.
    for first in reversed(range(0, len(rows), 4)):
        piece = rows[first : first + 4]
        numbers = np.arange(first, first + len(piece))
        for name in ("training", "testing"):
            samples.append_rows(connection, "odd", 1, name, 1, COLUMNS, numbers, piece)

    ranges = samples.parts_of_set(connection, "odd", 1, "testing", len(COLUMNS))
    parts = [samples.read_part(connection, "odd", 1, "testing", COLUMNS, found) for found in ranges]

    assert all(len(part) <= at_once for part in parts)
    ids = [sample for part in parts for sample in part.index]
    assert ids == sorted(ids)
    whole = samples.read_rows(connection, "odd", 1, "testing", COLUMNS)
    pd.testing.assert_frame_equal(pd.concat([p for p in parts if len(p)]).loc[whole.index], whole)


def test_an_empty_set_has_no_parts(connection: PgConnection) -> None:
    samples.create_table(connection, "odd", 1, COLUMNS)
    assert samples.parts_of_set(connection, "odd", 1, "testing", len(COLUMNS)) == []


def test_parts_of_a_wide_table_are_short() -> None:
    assert samples.rows_per_part(14) == samples.rows_per_part(40) == 50_000
    assert samples.rows_per_part(1_600) == 1_250
