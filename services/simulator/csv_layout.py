"""What a CSV file looks like, and on which of its lines something stands.

The table itself is read by `table_files`; this finds the header, and the exact place of what is
wrong, by Python's own CSV reader.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TextIO

from simulator.bad_table import BadTable

DELIMITERS = (",", ";", "\t", "|")
BLOCK_BYTES = 1024 * 1024
WINDOW_BYTES = 32 * 1024 * 1024
"""Of a file that is looked through in place; a whole one would count as memory of the process."""

LARGEST_CELL = 2_000_000
"""Characters of one line, hence also of one cell."""

MISSING_WORDS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None")
"""What stands for a missing value where it stands without quotes."""


@dataclass(frozen=True)
class CsvLayout:
    """The names in the header, and what stands between them."""

    names: tuple[str, ...]
    delimiter: str
    rows_at: int
    """The byte at which the rows begin, or one a little before."""


def read_layout(path: Path) -> CsvLayout:
    """Return the layout of a file.

    Raises
    ------
    BadTable
        It is empty, its header cannot be read, or its beginning is no text, see `check_text`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.read(LARGEST_CELL)
    except UnicodeDecodeError:
        check_text(path)
        raise
    if "\0" in head:
        check_text(path)
    if not head.strip():
        raise BadTable.at("the file is empty")
    delimiter = max(DELIMITERS, key=_first_record(head).count)
    csv.field_size_limit(LARGEST_CELL)
    text = io.StringIO(head, newline="")
    reader = csv.reader(text, delimiter=delimiter)
    try:
        names = next(reader)
    except csv.Error as error:
        raise BadTable.at(f"the header cannot be read: {error}", line=1) from None
    # A mark of the byte order, which is not in this text, has them begin three bytes later.
    rows_at = len(head[: text.tell()].encode())
    if len(head) == LARGEST_CELL and next(reader, None) is None:
        raise BadTable.at(
            f"the header is longer than {LARGEST_CELL} characters; a line end is missing, or a"
            " quote is not closed",
            line=1,
        )
    return CsvLayout(tuple(names), delimiter, rows_at)


def _first_record(head: str) -> str:
    """Return the first line without what is in quotes."""
    outside, quoted = [], False
    for character in head:
        if character == '"':
            quoted = not quoted
        elif character in "\r\n" and not quoted:
            break
        elif not quoted:
            outside.append(character)
    return "".join(outside)


def ends_in_long_line(path: Path) -> bool:
    """Tell whether the last line is longer than `LARGEST_CELL` bytes."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - LARGEST_CELL - len(b"\r\n")))
        end = file.read().rstrip(b"\r\n")
    return len(end) >= LARGEST_CELL and b"\n" not in end and b"\r" not in end


def absent_characters(path: Path, layout: CsvLayout, characters: str) -> set[str]:
    """Return those of these characters, all of them ASCII, that are nowhere below the header."""
    absent, size = set(characters), path.stat().st_size
    with path.open("rb") as file:
        for first in range(0, size, WINDOW_BYTES):
            length, start = min(WINDOW_BYTES, size - first), max(0, layout.rows_at - first)
            with mmap(file.fileno(), length, access=ACCESS_READ, offset=first) as content:
                absent = {one for one in absent if content.find(one.encode(), start) < 0}
    return absent


def check_text(path: Path) -> None:
    """Refuse a file that is not UTF-8 or holds a NUL, naming the line."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        start = file.read(4)
        if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise BadTable.at("the file is UTF-16; save it as UTF-8")
        file.seek(0)
        while block := file.read(BLOCK_BYTES):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                # Of a character that began in the block before, the place is before this block.
                line += block[: max(0, error.start)].count(b"\n")
                raise BadTable.at("the text is not UTF-8; save it as UTF-8", line=line) from None
            if b"\0" in block:
                line += block[: block.index(b"\0")].count(b"\n")
                raise BadTable.at("there is a NUL character in the text", line=line)
            line += block.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise BadTable.at("the text ends within a character; it was cut off", line=line) from None


def find_ragged_line(path: Path, layout: CsvLayout) -> BadTable | None:
    """Return the refusal of the first record that is too long, or has too many or too few cells."""
    width, line = len(layout.names), 2
    try:
        for line, behind, cells in _records(path, layout):
            if len(cells) != width:
                return BadTable.at(f"{len(cells)} cells, where the header has {width}", line=line)
            line = behind
    except csv.Error:
        return BadTable.at(
            f"a line or a cell is longer than {LARGEST_CELL} characters; a quote may not be closed",
            line=line,
            column=_column_beyond(path, layout, line),
        )
    return None


def _column_beyond(path: Path, layout: CsvLayout, line: int) -> str:
    """Return the name of the column that is too long in the record at a line; "" if there is none.

    It is the one in which the last character stands that a record may have.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        for _ in range(line - 1):
            file.readline()
        start = file.read(LARGEST_CELL)
    cell = re.compile(rf'("[^"]*(""[^"]*)*("|$))?[^{re.escape(layout.delimiter)}\r\n]*')
    place = 0
    for name in layout.names:
        found = cell.match(start, place)
        place = len(start) if found is None else found.end()
        if place == len(start):
            return name
        place += 1
    return ""


def find_line(
    path: Path, layout: CsvLayout, column: int, wanted: Callable[[str], bool]
) -> int | None:
    """Return the line of the first record whose cell in that column is `wanted`, or None."""
    try:
        for line, _, cells in _records(path, layout):
            if len(cells) > column and wanted(cells[column]):
                return line
    except csv.Error:
        return None
    return None


def _records(path: Path, layout: CsvLayout) -> Iterator[tuple[int, int, list[str]]]:
    """Yield each record after the header with the numbers of its first line and of the next one."""
    csv.field_size_limit(LARGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_lines(file), delimiter=layout.delimiter)
        next(reader, None)
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                yield line, reader.line_num + 1, cells
            line = reader.line_num + 1


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines; however long one is, no more of it is in memory than may be."""
    while line := file.readline(LARGEST_CELL + 1):
        if len(line) > LARGEST_CELL:
            raise csv.Error
        yield line
