# ruff: noqa: S608 - columns are called c0, c1, ...; nothing that a file says is in a statement.
"""Files of tables: what types their columns have, and their rows in chunks.

The first rows tell the types, and every later one is looked at when it comes: a file is read once.
Where one of them does not fit, all rows are asked for the types, and the file is read again.

The adapter to DuckDB, which is imported when the first file comes: it takes 30 MiB that a service
at rest does not need. Its memory is limited; what it cannot hold it writes to the given folder.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from contracts.vocabulary import ColumnType
from schema.samples import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    TEXT_OBJECT_BYTES,
    Column,
    bytes_beside_text,
    unusable_names,
)
from servicekit.errors import Unavailable
from servicekit.iso_times import DATE_PATTERN, TIME_PATTERN
from simulator.arrow_rows import chunks_of, frame_of
from simulator.bad_table import BadTable
from simulator.csv_layout import (
    LARGEST_CELL,
    MISSING_WORDS,
    CsvLayout,
    absent_characters,
    check_text,
    ends_in_long_line,
    find_line,
    find_ragged_line,
    read_layout,
)
from simulator.unpacking import Kind

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "384MB"
NUMERIC_TYPES = frozenset({"integer", "number", "boolean"})
NARROW_TYPES: tuple[ColumnType, ...] = ("integer", "number", "boolean", "date", "timestamp")
SQL_TYPES: Mapping[str, str] = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
TIME_TYPES = frozenset({"date", "timestamp"})
BATCH_ROWS = 8192
"""Rows that DuckDB hands over at once, fewer of long ones; `chunks_of` puts them together."""
BATCH_BYTES = CHUNK_BYTES // 4
"""What a batch takes about: it is in memory whole, whatever DuckDB's limit."""
MEASURED_ROWS = 1_000
"""The first rows, which tell how long the texts of a file are."""
FEW_ROWS, FIRST_ROWS = 200, 20_000
COLUMNS_AT_ONCE = 100

MOST_COLUMNS = 900
"""A row of PostgreSQL must fit on a page of 8 kB."""

FEWEST_ROWS = 10
"""So that each of the three sets has some."""

PARQUET_TYPES: Mapping[str, ColumnType] = {
    "BOOLEAN": "boolean",
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "integer"
    ),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "number"),
    **dict.fromkeys(("VARCHAR", "ENUM", "UUID", "TIME"), "text"),
    "DATE": "date",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "timestamp"),
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}


_WRONG: Mapping[ColumnType, str] = {
    "number": "no finite number",
    "integer": "no finite integer",
    "boolean": "neither true nor false",
    "date": "no date like 2026-11-28",
    "timestamp": "no date and time like 2026-11-28T10:00:00Z",
}


LEAST_LONG = 1e16
"""Whole numbers of at least 17 digits are no smaller: a float would lose their last digits."""


class WrongGuess(Exception):
    """A later row may not be of the type that the first rows have."""


class NoRoom(Unavailable):
    """No room to read the file."""

    advice = "The folder for uploads or the memory for reading them is full; try again later."


@dataclass(frozen=True)
class _RawColumn:
    """A column as the file has it: an SQL expression, and its type unless that is to be found."""

    name: str
    sql: str
    type: ColumnType | None
    is_finer: str = "false"
    """SQL: the cell is a time that PostgreSQL cannot hold exactly."""

    @property
    def _text(self) -> str:
        return f"trim({self.sql}::VARCHAR)"

    @property
    def _words(self) -> str:
        return ", ".join(f"'{word}'" for word in MISSING_WORDS)

    @property
    def has_value(self) -> str:
        """SQL: there is something that could be a number."""
        if self.type in NUMERIC_TYPES | TIME_TYPES:
            return f"({self.sql} IS NOT NULL)"
        return f"({self.sql} IS NOT NULL AND {self._text} NOT IN ({self._words}))"

    def is_plainly(self, type_: ColumnType) -> str:
        """SQL: the cell is so written that nothing is lost when it is taken as this type."""
        text = self._text
        if type_ == "integer":
            return f"coalesce(TRY_CAST({text} AS BIGINT)::VARCHAR = {text}, false)"
        if type_ == "boolean":
            return f"lower({text}) IN ('true', 'false')"
        if type_ in TIME_TYPES:
            time = f"({TIME_PATTERN})?" if type_ == "timestamp" else ""
            written = f"regexp_full_match({text}, '{DATE_PATTERN}{time}')"
            cast = f"TRY_CAST({text} AS {SQL_TYPES[type_]})"
            return f"({written} AND coalesce(year({cast}) BETWEEN 1 AND 9999, false))"
        # 007 is a name; and a long whole number would lose its last digits.
        odd = f"regexp_matches({text}, '^[+-]?(0[0-9xX]|[0-9]{{17,}}$)|_')"
        return f"(coalesce(isfinite(TRY_CAST({text} AS DOUBLE)), false) AND NOT {odd})"

    def typed(self, wanted: ColumnType) -> str:
        """SQL: the cell as that type, NULL where it is missing or cannot be."""
        if wanted == "text":
            return f"{self.sql}::VARCHAR"
        target = SQL_TYPES[wanted]
        if self.type == wanted or (self.type in TIME_TYPES and wanted in TIME_TYPES):
            return f"{self.sql}::{target}"
        return f"CASE WHEN {self.has_value} THEN TRY_CAST({self._text} AS {target}) END"

    def is_wrong(self, wanted: ColumnType) -> str:
        """SQL: there is a value, and it cannot be had as that type."""
        text = self._text
        if self.is_finer != "false":
            return f"coalesce({self.is_finer}, false)"
        if wanted == "text":
            return f"contains({self.sql}::VARCHAR, chr(0))"
        if wanted in TIME_TYPES:
            return f"({self.has_value} AND NOT {self._is_time(wanted)})"
        if wanted == "number":
            return f"({self.has_value} AND NOT coalesce(isfinite({self.typed(wanted)}), false))"
        wrong = f"{self.typed(wanted)} IS NULL"
        if wanted == "integer" and self.type != "integer":
            wrong += f" OR TRY_CAST({text} AS DOUBLE) <> {self.typed(wanted)}"
        return f"({self.has_value} AND ({wrong}))"

    def _is_time(self, wanted: ColumnType) -> str:
        """SQL: the cell, which has a value, is a date or a time and loses nothing as `wanted`."""
        if self.type not in TIME_TYPES:
            return self.is_plainly(wanted)
        same = f"{self.typed(wanted)}::TIMESTAMPTZ = {self.sql}::TIMESTAMPTZ"
        return f"(coalesce(year({self.sql}) BETWEEN 1 AND 9999, false) AND {same})"

    def for_pandas(self, wanted: ColumnType) -> str:
        """SQL: as `typed`, in a type that comes out as one of pandas'."""
        if wanted == "date":
            return f"({self.typed(wanted)})::TIMESTAMP"
        if wanted == "timestamp":
            # In UTC and without a zone.
            return f"make_timestamp(epoch_us({self.typed(wanted)}))"
        return self.typed(wanted)

    def guessed(self, wanted: ColumnType) -> str:
        """SQL: the cell as that type if there are no `doubts`; a third of the time of `typed`."""
        if self.type is None and wanted in {"integer", "number"}:
            return f"TRY_CAST({self.sql} AS {'BIGINT' if wanted == 'integer' else 'DOUBLE'})"
        if self.type is None and wanted == "boolean":
            return f"{self.sql} = 'true' OR {self.sql} IN ('True', 'TRUE')"
        return self.for_pandas(wanted)

    def doubts(self, wanted: ColumnType, absent: Collection[str] = ()) -> Sequence[str]:
        """SQL: the cell may not plainly be of that type; true too often rather than too seldom.

        `absent` are characters that no cell has.
        """
        # Of a CASE only what is needed is looked at, and no cast is made twice.
        if self.type is None and wanted == "text" and "\0" in absent:
            return []
        if self.type is not None or wanted == "text":
            return [self.is_wrong(wanted)]
        if wanted == "integer":
            same = f"{self.guessed(wanted)}::VARCHAR = {self.sql}"
            return [f"CASE WHEN {same} THEN false ELSE {self.sql} IS NOT NULL END"]
        if wanted == "boolean":
            yes, no = f"{self.sql} = 'true'", f"{self.sql} = 'false'"
            other = f"{self.sql} NOT IN ('True', 'False', 'TRUE', 'FALSE')"
            return [f"CASE WHEN {yes} THEN false WHEN {no} THEN false ELSE {other} END"]
        if wanted == "number":
            # As `is_plainly` has it, without an expression: no zero before a digit, no _, not long.
            # Below the minus are the plus and all kinds of space.
            # An AND, OR or coalesce around the cast would have DuckDB make it twice.
            odd_start = (
                f"CASE WHEN {self.sql} < '1' THEN {self.sql} < '-' OR {self.sql} BETWEEN '00' AND"
                f" '0:' OR {self.sql} BETWEEN '-00' AND '-0:' ELSE false END"
            )
            number = self.guessed(wanted)
            return [
                odd_start,
                *([] if "_" in absent else [f"contains({self.sql}, '_')"]),
                f"({self.sql} IS NULL) <> ({number} IS NULL)",
                f"abs({number}) >= {LEAST_LONG}",
            ]
        return [f"({self.sql} IS NOT NULL AND NOT {self.is_plainly(wanted)})"]


class TableFile:
    """A table in a file, opened by `open_table`."""

    def __init__(
        self,
        connection: "duckdb.DuckDBPyConnection",
        path: Path,
        scan: str,
        columns: Sequence[_RawColumn],
        layout: CsvLayout | None,
    ) -> None:
        self._connection = connection
        self._path = path
        self._scan = scan
        self._columns = columns
        self._layout = layout
        self.row_count = 0

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self._columns]

    def guess_types(self, wanted: Mapping[str, ColumnType]) -> list[Column]:
        """Return the columns with their types: those `wanted`, else what the first rows have."""
        said = self._said(self._columns, wanted)
        found = {**said, **self._guess([one for one in self._columns if one not in said])}
        return [Column(column.name, found[column]) for column in self._columns]

    def find_types(self, wanted: Mapping[str, ColumnType]) -> list[Column]:
        """Return the columns with their types: those `wanted`, else the narrowest that fits all.

        Of a CSV file: integer, number, boolean, date, timestamp, text, in this order. Reads the
        whole file.

        Raises
        ------
        BadTable
            The text is not UTF-8 or holds a NUL, a record is ragged, a column has no value at all,
            or a value is not of its column's type; the line or row is named.
        """
        if self._layout is not None:
            check_text(self._path)
        found: list[Column] = []
        for first in range(0, len(self._columns), COLUMNS_AT_ONCE):
            found += self._types_of(self._columns[first : first + COLUMNS_AT_ONCE], wanted)
        return found

    def _types_of(
        self, columns: Sequence[_RawColumn], wanted: Mapping[str, ColumnType]
    ) -> list[Column]:
        said = self._said(columns, wanted)
        # What the first rows are not, the table is not: one question is left for the whole of it.
        guessed = self._guess([one for one in columns if one not in said])
        questions = []
        for column in columns:
            if column in said:
                questions += [column.has_value, column.is_wrong(said[column])]
            elif guessed[column] == "text":
                questions += [column.has_value, "false"]
            else:
                is_wrong = f"{column.sql} IS NOT NULL AND NOT {column.is_plainly(guessed[column])}"
                questions += [f"{column.sql} IS NOT NULL", is_wrong]
        counted = ", ".join(["count(*)", *(f"count_if({one})" for one in questions)])
        self.row_count, *counts = self._one(f"SELECT {counted} FROM {self._scan}")
        unsure = []
        for column, values, wrong in zip(columns, counts[::2], counts[1::2], strict=True):
            if not values and self.row_count:
                raise BadTable.at("has no value at all", column=column.name)
            if wrong and column in said:
                raise self._wrong_value(column, said[column])
            if wrong:
                unsure.append(column)
        every = dict.fromkeys(unsure, NARROW_TYPES)
        found = {**said, **guessed, **_narrowest(self._fitting(every, self._scan))}
        return [Column(column.name, found[column]) for column in columns]

    def _said(
        self, columns: Sequence[_RawColumn], wanted: Mapping[str, ColumnType]
    ) -> dict[_RawColumn, ColumnType]:
        return {
            column: type_
            for column in columns
            if (type_ := wanted.get(column.name, column.type)) is not None
        }

    def _guess(self, columns: Sequence[_RawColumn]) -> dict[_RawColumn, ColumnType]:
        """Return the first type of all that every value in the first rows plainly is, else text."""
        found: dict[_RawColumn, ColumnType] = {}
        for first in range(0, len(columns), COLUMNS_AT_ONCE):
            part = columns[first : first + COLUMNS_AT_ONCE]
            some: Mapping[_RawColumn, Sequence[ColumnType]] = dict.fromkeys(part, NARROW_TYPES)
            # What few rows rule out, which is most, more of them need not be asked for.
            for n_rows in (FEW_ROWS, FIRST_ROWS):
                some = self._fitting(some, f"(SELECT * FROM {self._scan} LIMIT {n_rows})")
            found |= _narrowest(some)
        return found

    def _fitting(
        self, types: Mapping[_RawColumn, Sequence[ColumnType]], relation: str
    ) -> dict[_RawColumn, Sequence[ColumnType]]:
        """Return those `types` of each column that every value in these rows plainly is."""
        questions = [
            question
            for column, some in types.items()
            if some or relation == self._scan
            for question in (column.has_value, *map(column.is_plainly, some))
        ]
        if not questions:
            return dict(types)
        counts = iter(
            self._one(
                f"SELECT {', '.join(f'count_if({one})' for one in questions)} FROM {relation}"
            )
        )
        found: dict[_RawColumn, Sequence[ColumnType]] = {}
        for column, some in types.items():
            values = next(counts) if some or relation == self._scan else 0
            if not values and relation == self._scan:
                raise BadTable.at("has no value at all", column=column.name)
            found[column] = [type_ for type_ in some if next(counts) == values]
        return found

    def _wrong_value(self, column: _RawColumn, wanted: ColumnType) -> BadTable:
        shown, row = self._one(
            f"SELECT {column.sql}::VARCHAR, row FROM (SELECT *, row_number() OVER () AS row"
            f" FROM {self._scan}) WHERE {column.is_wrong(wanted)} ORDER BY row LIMIT 1"
        )
        if wanted == "text":
            return self._at(column, "there is a NUL character in the text", row, shown)
        what = "finer than a microsecond" if column.is_finer != "false" else _WRONG[wanted]
        return self._at(column, f"{shown[:100]!r} is {what}", row, shown)

    def check_complete(self, column: Column) -> None:
        """Raise `BadTable` naming the first line or row in which the column has no value."""
        raw = self._raw(column)
        first = self._one(
            f"SELECT min(row) FROM (SELECT *, row_number() OVER () AS row FROM {self._scan})"
            f" WHERE {raw.typed(column.type)} IS NULL"
        )[0]
        if first is not None:
            raise self._at(raw, "there is no value, and it is needed", first, None)

    def check_unique(self, column: Column) -> None:
        """Raise `BadTable` where a value of the column is missing or there twice."""
        raw = self._raw(column)
        self.check_complete(column)
        typed = raw.typed(column.type)
        if self._one(f"SELECT count(DISTINCT {typed}) FROM {self._scan}") == (self.row_count,):
            return
        twice = self._one(
            f"SELECT {typed} AS id FROM {self._scan} GROUP BY 1 HAVING count(*) > 1"
            " ORDER BY 1 LIMIT 1"
        )[0]
        raise BadTable.at(f"{str(twice)[:100]!r} is there twice, and is the id", column=column.name)

    def labels(self, column: Column, limit: int) -> list[Any]:
        """Return the different values of a column in order, `limit` of them at most."""
        typed = self._raw(column).typed(column.type)
        query = f"SELECT DISTINCT {typed} FROM {self._scan} ORDER BY 1 LIMIT {limit}"
        with self._refusals():
            found = self._connection.execute(query).fetchall()
        return sorted(value for (value,) in found if value is not None)

    def chunks(self, columns: Sequence[Column]) -> Iterator[pd.DataFrame]:
        """Yield all rows in order, `CHUNK_ROWS` at most at a time; see `arrow_rows`."""
        pairs = zip(self._columns, columns, strict=True)
        names = [column.name for column in columns]
        for cells in self._read([raw.for_pandas(column.type) for raw, column in pairs], columns):
            yield frame_of(cells, names)

    def guessed_chunks(self, columns: Sequence[Column]) -> Iterator[pd.DataFrame]:
        """Yield all rows as `chunks` does, if they are of the types that were guessed.

        Raises
        ------
        WrongGuess
            `find_types` is to look at all rows: it may find other types, or what is wrong.
        """
        with self._refusals():
            absent = (
                () if self._layout is None else absent_characters(self._path, self._layout, "_\0")
            )
        pairs = list(zip(self._columns, columns, strict=True))
        doubts = [doubt for raw, column in pairs for doubt in raw.doubts(column.type, absent)]
        doubtful_row = f"greatest({', '.join(['false', *doubts])})"
        cells = [raw.guessed(column.type) for raw, column in pairs]
        names = [column.name for column in columns]
        empty = set(range(len(columns)))
        for *found, doubtful in self._read([*cells, doubtful_row], columns):
            if doubtful.true_count:
                raise WrongGuess
            chunk = frame_of(found, names)
            empty -= {place for place in empty if _has_value(chunk.iloc[:, place])}
            yield chunk
        if empty:
            raise WrongGuess

    def _read(self, cells: Sequence[str], columns: Sequence[Column]) -> "Iterator[list[pa.Array]]":
        """Yield what these expressions give, as `chunks_of` cuts it."""
        batch_rows = self._rows_per_batch(columns)
        aliases = ", ".join(f"{cell} AS c{place}" for place, cell in enumerate(cells))
        self.row_count = 0
        with self._refusals():
            rows = self._connection.sql(f"SELECT {aliases} FROM {self._scan}")
            with closing(rows.to_arrow_reader(batch_rows)) as reader:
                for chunk in chunks_of(reader, CHUNK_ROWS, CHUNK_BYTES, TEXT_OBJECT_BYTES):
                    self.row_count += len(chunk[0])
                    yield chunk

    def _rows_per_batch(self, columns: Sequence[Column]) -> int:
        """Return how many rows `BATCH_BYTES` hold, by the first ones, `BATCH_ROWS` at most."""
        pairs = zip(self._columns, columns, strict=True)
        texts = [raw.typed("text") for raw, column in pairs if column.type == "text"]
        row_bytes = float(bytes_beside_text(columns))
        if texts:
            lengths = " + ".join(f"coalesce(strlen({text}), 0)" for text in texts)
            first = f"(SELECT * FROM {self._scan} LIMIT {MEASURED_ROWS})"
            row_bytes += self._one(f"SELECT coalesce(avg({lengths}), 0) FROM {first}")[0]
        return min(BATCH_ROWS, max(1, int(BATCH_BYTES / row_bytes)))

    def _raw(self, column: Column) -> _RawColumn:
        return next(raw for raw in self._columns if raw.name == column.name)

    def _at(self, column: _RawColumn, problem: str, row: int, shown: str | None) -> BadTable:
        if self._layout is None:
            return BadTable.at(problem, row=row, column=column.name)
        place = self._columns.index(column)
        words = MISSING_WORDS if shown is None else (shown,)
        line = find_line(self._path, self._layout, place, lambda cell: cell in words)
        return BadTable.at(problem, line=line, column=column.name)

    def _one(self, query: str) -> tuple[Any, ...]:
        with self._refusals():
            # All of them, though it is one: the connection is free again then.
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        return found[0] if found else ()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        with _refusals(self._path, self._layout):
            yield


def _narrowest(fitting: Mapping[_RawColumn, Sequence[ColumnType]]) -> dict[_RawColumn, ColumnType]:
    return {column: types[0] if types else "text" for column, types in fitting.items()}


def _has_value(cells: "pd.Series[Any]") -> bool:
    """Tell whether there is a value that is no word for a missing one."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.dtype.categories.to_series()
    if cells.dtype != object:
        return bool(cells.notna().any())
    return any(cell is not None and cell.strip() not in MISSING_WORDS for cell in cells)


@contextmanager
def open_table(path: Path, kind: Kind, folder: Path) -> Iterator[TableFile]:
    """Open a file; `folder` takes what is too large for memory.

    Raises
    ------
    BadTable
        It is empty, damaged or cut off, or its header is not UTF-8; it has too many columns or only
        one, a name that no column can have, or a Parquet type that has no place in a table.
    """
    with _connection(folder) as connection:
        if kind == "csv":
            layout = read_layout(path)
            if ends_in_long_line(path):
                # DuckDB would leave a line of more than 16 times the limit out, without a word.
                raise _no_csv(path, layout)
            names = list(layout.names)
            _check_names(names)
            scan = _csv_scan(path, layout.delimiter, len(names))
            columns = [_RawColumn(name, f"c{place}", None) for place, name in enumerate(names)]
            yield TableFile(connection, path, scan, columns, layout)
        else:
            with _refusals(path, None):
                columns = _parquet_columns(connection, path)
            aliases = ", ".join(f"c{place}" for place in range(len(columns)))
            scan = f"read_parquet({_quoted(path)}) AS t({aliases})"
            yield TableFile(connection, path, scan, columns, None)


def csv_to_parquet(source: Path, sink: Path, columns: Sequence[Column], folder: Path) -> None:
    """Write a CSV file of our own, whose columns are known, as Parquet."""
    raw = [_RawColumn(column.name, f"c{place}", None) for place, column in enumerate(columns)]
    typed = ", ".join(
        f'{one.typed(column.type)} AS "{column.name.replace(chr(34), chr(34) * 2)}"'
        for one, column in zip(raw, columns, strict=True)
    )
    scan = _csv_scan(source, ",", len(columns), missing=("",))
    with _connection(folder) as connection, _refusals(source, None):
        connection.execute(f"COPY (SELECT {typed} FROM {scan}) TO {_quoted(sink)} (FORMAT parquet)")


@contextmanager
def _connection(folder: Path) -> "Iterator[duckdb.DuckDBPyConnection]":
    import duckdb

    settings: dict[str, Any] = {
        # Rows come in the file's order, whatever the machine.
        "threads": 1,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(folder),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        # The statistics in a Parquet file leave NaN out; DuckDB would conclude that there is none.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        # Of times that say none, and of dates.
        connection.execute("SET TimeZone = 'UTC'")
        # A column of a chunk may have more than 2 GiB of text.
        connection.execute("SET arrow_large_buffer_size = true")
        yield connection
    finally:
        connection.close()


@contextmanager
def _refusals(path: Path, layout: CsvLayout | None) -> Iterator[None]:
    """Say what DuckDB says of a file in our words, with the exact line."""
    import duckdb

    try:
        yield
    # What goes wrong in the middle of a table comes by way of Arrow.
    except (duckdb.Error, OSError) as error:
        text = str(error)
        if layout is None and "failed to allocate" in text:
            raise BadTable.at(
                "a row group of the Parquet file is too large to be read; write it again with"
                " smaller ones (`row_group_size`), or as CSV"
            ) from error
        if isinstance(error, (duckdb.OutOfMemoryException, duckdb.IOException)) or text.startswith(
            ("Out of Memory Error", "IO Error")
        ):
            raise NoRoom() from error
        if layout is None and "UTF8" in text:
            raise BadTable.at("the Parquet file holds text that is not UTF-8") from error
        if layout is None:
            raise BadTable.at("the Parquet file is damaged or cut off") from error
        line = re.search(r"CSV Error on Line: (\d+)", str(error))
        raise _no_csv(path, layout, int(line[1]) if line else None) from error


def _no_csv(path: Path, layout: CsvLayout, line: int | None = None) -> BadTable:
    """Return the refusal of what cannot be read, in `line` if nothing more exact is found."""
    check_text(path)
    return find_ragged_line(path, layout) or BadTable.at(
        "this is no CSV: a quote that is not closed, a line that is too long, or line ends of"
        " several kinds",
        line=line,
    )


def _csv_scan(
    path: Path, delimiter: str, width: int, missing: Sequence[str] = MISSING_WORDS
) -> str:
    names = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(width))
    words = ", ".join(f"'{word}'" for word in missing)
    return (
        f"read_csv({_quoted(path)}, auto_detect=false, header=true, delim='{delimiter}',"
        f" quote='\"', escape='\"', columns={{{names}}}, nullstr=[{words}],"
        f" allow_quoted_nulls=false, strict_mode=true, max_line_size={LARGEST_CELL})"
    )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _parquet_columns(connection: "duckdb.DuckDBPyConnection", path: Path) -> list[_RawColumn]:
    source = _quoted(path)
    elements = connection.execute(f"SELECT name, num_children FROM parquet_schema({source})")
    names = _parquet_names(elements.fetchall())
    _check_names(names)
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({source})")
    columns = []
    for place, (name, row) in enumerate(zip(names, described.fetchall(), strict=True)):
        type_ = re.sub(r"\(.*", "", str(row[1]))
        sql, known, finer = f"c{place}", PARQUET_TYPES.get(type_), "false"
        if type_ in {"UBIGINT", "HUGEINT", "UHUGEINT"}:
            sql = f"c{place}::VARCHAR"
        elif known is None or str(row[1]).endswith("]"):
            raise BadTable.at(f"has the type {row[1]}, which has no place here", column=name)
        elif type_ in {"FLOAT", "DOUBLE"}:
            sql = f"nullif(c{place}::DOUBLE, 'nan'::DOUBLE)"
        elif known == "text":
            sql = f"c{place}::VARCHAR"
        elif type_ == "TIMESTAMP_NS":
            sql, finer = f"c{place}::TIMESTAMP", f"epoch_ns(c{place}) % 1000 <> 0"
        elif type_.startswith("TIMESTAMP_"):
            sql = f"c{place}::TIMESTAMP"
        columns.append(_RawColumn(name, sql, known, finer))
    return columns


def _parquet_names(elements: Sequence[tuple[str, int | None]]) -> list[str]:
    """Return the names of the top level of a Parquet schema, which is listed depth first."""
    names, below = [], 0
    for name, children in elements[1:]:
        if below == 0:
            names.append(name)
        else:
            below -= 1
        below += children or 0
    return names


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise BadTable.at(f"{len(names)} columns; at most {MOST_COLUMNS} have room")
    if len(names) < 2:
        raise BadTable.at(
            "there is only one column; separate columns by a comma, a semicolon, a tab or a |"
        )
    line = 1
    unusable = unusable_names(names)
    if unusable:
        raise BadTable.at(_name_problem(unusable[0], names), line=line, column=unusable[0])
    seen: dict[str, str] = {}
    for name in names:
        if "\r" in name or "\n" in name:
            raise BadTable.at("the name holds a line end", line=line, column=name)
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise BadTable.at(f"differs from {other!r} in capitals only", line=line, column=name)


def _name_problem(name: str, names: Sequence[str]) -> str:
    if not name:
        return f"column {list(names).index(name) + 1} has no name"
    if list(names).count(name) > 1:
        return "the name is given twice"
    if "\0" in name:
        return "the name holds a NUL character"
    if len(name.encode()) > 63:
        return "the name is longer than 63 bytes in UTF-8"
    return "the name is taken by the sample table itself; rename the column"
