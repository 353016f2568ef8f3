"""What goes in comes out: any values, any names, any types, through CSV and Parquet."""

import csv
import io
import itertools
import math
import string
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from contracts.vocabulary import ColumnType
from schema import samples
from schema.samples import LONGEST_NAME_BYTES, PANDAS_TYPES, RESERVED_COLUMNS, Column
from simulator import table_files
from simulator.bad_table import BadTable
from simulator.csv_layout import MISSING_WORDS
from simulator.table_files import TableFile, WrongGuess, csv_to_parquet, open_table
from tests.support.databases import TestDatabase

N_ROWS = 12
VERSIONS = itertools.count(1)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ODD_TEXTS = [*MISSING_WORDS, "007", "1e5", "true", '"', "a,b", "line\r\nline", "\\N", " x "]
ANY_CHARACTER = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.text(ANY_CHARACTER, max_size=20) | st.sampled_from(ODD_TEXTS)
NAMES = TEXT.filter(
    lambda name: (
        0 < len(name.encode()) <= LONGEST_NAME_BYTES
        and name not in RESERVED_COLUMNS
        and not {"\r", "\n"} & set(name)
    )
)
VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "number": FINITE,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "text": TEXT,
    "date": st.dates().map(lambda day: datetime.combine(day, time())),
    "timestamp": st.datetimes(),
}

many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def has_value(cells: list[Any]) -> bool:
    return any(cell is not None and str(cell).strip() not in MISSING_WORDS for cell in cells)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], list[list[Any]]]:
    """Columns of any names and types, and the cells of each; None is a missing value."""
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique_by=str.lower))
    columns = [Column(name, draw(st.sampled_from(list(VALUES)))) for name in names]
    cells = [
        draw(
            st.lists(VALUES[column.type] | st.none(), min_size=N_ROWS, max_size=N_ROWS).filter(
                has_value
            )
        )
        for column in columns
    ]
    return columns, cells


def series_of(values: list[Any], dtype: str) -> "pd.Series[Any]":
    if dtype.startswith("datetime64"):
        # Made an array first: pandas would look whether it fits nanoseconds.
        return pd.Series(np.array(values, dtype=dtype))
    return pd.Series(values, dtype=object).astype(dtype)  # type: ignore[call-overload, no-any-return]


def frame_of(columns: list[Column], cells: list[list[Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            column.name: series_of(values, PANDAS_TYPES[column.type])
            for column, values in zip(columns, cells, strict=True)
        }
    )


def read_file(path: Path, kind: Any, columns: list[Column]) -> pd.DataFrame:
    types = {column.name: column.type for column in columns}
    with open_table(path, kind, path.parent) as table:
        assert table.names == list(types)
        found = table.find_types(types)
        assert found == columns == table.guess_types(types)
        rows = whole(table.chunks(found))
        check_guess(table, columns, rows)
        return rows


def whole(chunks: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return all chunks as one frame, labels as the texts they stand for."""
    rows = pd.concat(chunks, ignore_index=True)
    labels = rows.select_dtypes("category")
    return rows.assign(**labels.astype(object).where(labels.notna(), None))


def check_guess(table: TableFile, columns: list[Column], rows: pd.DataFrame) -> bool:
    """Tell whether a first reading was sure of these types; then it must have found these rows."""
    try:
        guessed = whole(table.guessed_chunks(columns))
    except WrongGuess:
        return False
    pd.testing.assert_frame_equal(guessed, rows, check_exact=True)
    return True


@pytest.fixture(scope="module")
def connection(module_database: TestDatabase) -> Any:
    with module_database.connection("cellar_simulator") as connection:
        yield connection


@many
@given(table=tables())
@example(
    (
        [Column('say "hi", ünd', "text"), Column("код", "number")],
        [["", "x", *[None] * 9, "NA"], [-0.0, 5e-324, 1.7976931348623157e308, *[None] * 9]],
    )
)
def test_rows_go_through_the_database_and_both_files_unchanged(
    connection: PgConnection, tmp_path_factory: pytest.TempPathFactory, table: Any
) -> None:
    columns, cells = table
    rows, version = frame_of(columns, cells), next(VERSIONS)
    folder = tmp_path_factory.mktemp("table")
    samples.create_source_table(connection, "any", version, columns)
    samples.append_source_rows(connection, "any", version, columns, 0, rows)
    (stored,) = samples.read_source(connection, "any", version, columns, 1_000)
    pd.testing.assert_frame_equal(stored.reset_index(drop=True), rows, check_exact=True)

    path = folder / "table.csv"
    with path.open("wb") as file:
        samples.write_csv(connection, "any", version, None, columns, file)
    note(f"{columns} {cells}")
    pd.testing.assert_frame_equal(read_file(path, "csv", columns), rows, check_exact=True)

    csv_to_parquet(path, folder / "table.parquet", columns, folder)
    found = read_file(folder / "table.parquet", "parquet", columns)
    pd.testing.assert_frame_equal(found, rows, check_exact=True)


LOCAL_TIMES = st.datetimes(
    datetime.fromisoformat("0001-01-03"),
    datetime.fromisoformat("9999-12-29"),
    timezones=st.integers(-23 * 60, 23 * 60).map(
        lambda minutes: timezone(timedelta(minutes=minutes))
    ),
)


def in_utc(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace("/", "-"))
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def written(cells: list[str], path: Path) -> None:
    """Write a table of two columns as others do: quotes only where they are needed."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["a", "b"], *([cell, "1"] for cell in cells)])
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")


@pytest.mark.parametrize(
    ("strategy", "type_"),
    [
        (st.integers(-(2**63), 2**63 - 1).map(str), "integer"),
        (FINITE.filter(lambda number: "." in repr(number)).map(repr), "number"),
        (st.sampled_from(["true", "false", "True", "FALSE"]), "boolean"),
        (st.text(string.ascii_lowercase, min_size=1).filter(
            lambda text: text not in {"true", "false", "nan", "null", "inf", "infinity"}), "text"),
        (st.integers(0, 999).map(lambda number: f"0{number}"), "text"),
        (st.dates().map(str), "date"),
        (st.dates().map(lambda day: str(day).replace("-", "/")), "date"),
        (st.datetimes().filter(lambda time: time.second).map(str), "timestamp"),
        (st.datetimes().map(lambda time: f"{time.isoformat(timespec='minutes')}Z"), "timestamp"),
        (LOCAL_TIMES.map(lambda time: time.isoformat()), "timestamp"),
    ],
    ids=[
        "integer", "number", "boolean", "text", "leading zero",
        "date", "date with slashes", "time", "time in UTC", "time of a zone",
    ],
)  # fmt: skip
def test_a_type_is_found_with_and_without_gaps(
    tmp_path: Path, strategy: st.SearchStrategy[str], type_: str
) -> None:
    @many
    @given(
        cells=st.lists(strategy, min_size=N_ROWS, max_size=N_ROWS),
        gaps=st.lists(st.sampled_from(MISSING_WORDS), max_size=3),
    )
    def finds(cells: list[str], gaps: list[str]) -> None:
        path = tmp_path / "table.csv"
        written([*cells, *gaps], path)
        with open_table(path, "csv", tmp_path) as table:
            columns = table.find_types({})
            (found,) = table.chunks(columns)
        assert columns == [Column("a", type_), Column("b", "integer")]  # type: ignore[arg-type]
        values = found["a"].astype(object).where(found["a"].notna(), None).tolist()
        assert values[N_ROWS:] == [None] * len(gaps)
        read = {
            "integer": int,
            "number": float,
            "boolean": lambda cell: cell.lower() == "true",
            "text": str,
            "date": in_utc,
            "timestamp": in_utc,
        }[type_]
        for value, cell in zip(values, cells, strict=False):
            expected = read(cell)
            assert value == expected
            if type_ == "number":
                assert math.copysign(1, value) == math.copysign(1, expected)

    finds()


TIMES = ["2024-02-29", "1999-12-31T23:59", "2024/02/29 10:00:00.5+02"]


@many
@given(
    cells=st.lists(
        st.sampled_from(
            ["1", "-7", "2.5", "1e3", "true", "x", "007", "NA", "", " 4 ", "inf", "1_0", *TIMES]
        ),
        min_size=N_ROWS,
        max_size=N_ROWS,
    ).filter(lambda cells: set(cells) - {"NA", ""})
)
def test_a_mixture_is_of_the_narrowest_type_that_holds_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    path = tmp_path_factory.mktemp("mixture") / "table.csv"
    written(cells, path)
    present = {cell.strip() for cell in cells} - {"NA", ""}
    if present <= {"1", "-7", "4"}:
        expected = "integer"
    elif present <= {"1", "-7", "4", "2.5", "1e3"}:
        expected = "number"
    elif present <= set(TIMES):
        expected = "date" if present == {TIMES[0]} else "timestamp"
    else:
        expected = "boolean" if present == {"true"} else "text"
    with open_table(path, "csv", path.parent) as table:
        assert table.find_types({})[0].type == expected


ODD_NUMBERS = [
    *("1", "-7", "2.5", "-0.5", "1e3", "-0.0", ".5", "5.", "+5", "007", "-007", "00", "0", "-00.5"),
    *("0x1F", "0b1", "1_0", "1e1_0", " 4 ", "\t4", "4 ", "inf", "-inf", "1e400", "nan", "-nan"),
    *("9007199254740993", "9223372036854775808", "12345678901234567", "1e16", "1e-400", "1,5"),
    *("true", "False", "TRUE", "tRUE", " true", "t", "yes", "x", "", "NA", " NA", "null", "\u0661"),
]  # fmt: skip


@many
@given(
    cells=st.lists(st.sampled_from(ODD_NUMBERS), min_size=1, max_size=3).flatmap(
        lambda few: st.lists(st.sampled_from(few), min_size=N_ROWS, max_size=N_ROWS)
    ),
    quoted=st.booleans(),
    first=st.integers(1, N_ROWS),
)
def test_a_table_read_once_is_what_it_is_when_all_rows_tell_the_types(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], quoted: bool, first: int
) -> None:
    path = tmp_path_factory.mktemp("guess") / "table.csv"
    lines = [["a", "b"], *([cell, str(number)] for number, cell in enumerate(cells))]
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(lines)
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch, open_table(path, "csv", path.parent) as table:
        patch.setattr(table_files, "FIRST_ROWS", first)
        patch.setattr(table_files, "FEW_ROWS", max(1, first // 2))
        try:
            found = table.find_types({})
        except BadTable:
            # There is no value at all.
            with pytest.raises(WrongGuess):
                list(table.guessed_chunks(table.guess_types({})))
            return
        guessed = table.guess_types({})
        rows = whole(table.chunks(found))
        assert guessed == found or not check_guess(table, guessed, rows)
        check_guess(table, found, rows)


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        ([str(number) for number in range(-5, 20)], "integer"),
        ([repr(number / 7) for number in range(-5, 20)], "number"),
        (["0", "-0.25", "", "1e-5", "12345678.5"] * 5, "number"),
        (["true", "False", "NA"] * 5, "boolean"),
        (["plain", "007", "", "naïve"] * 5, "text"),
    ],
)
def test_plain_tables_are_read_once(tmp_path: Path, cells: list[str], type_: str) -> None:
    path = tmp_path / "table.csv"
    written(cells, path)
    with open_table(path, "csv", tmp_path) as table:
        guessed = table.guess_types({})
        assert guessed[0].type == type_
        assert check_guess(table, guessed, whole(table.chunks(guessed)))


@pytest.mark.parametrize("end", ["", "_"])
def test_a_table_of_nothing_but_text_is_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "red,x\n" * 70 + f"white,y{end}\n", newline="")
    with open_table(path, "csv", tmp_path) as table:
        columns = table.guess_types({})
        assert [column.type for column in columns] == ["text", "text"]
        rows = whole(table.guessed_chunks(columns))
    assert rows["a"].tolist() == ["red"] * 70 + ["white"]
    assert rows["b"].tolist() == ["x"] * 70 + [f"y{end}"]
