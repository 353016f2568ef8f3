"""What a CSV file looks like, and on which line something stands."""

import tracemalloc
from mmap import ALLOCATIONGRANULARITY
from pathlib import Path

import pytest

from simulator import csv_layout
from simulator.bad_table import BadTable
from simulator.csv_layout import (
    BLOCK_BYTES,
    CsvLayout,
    absent_characters,
    check_text,
    ends_in_long_line,
    find_line,
    find_ragged_line,
    read_layout,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    ("head", "names", "delimiter"),
    [
        ("a,b\n", ("a", "b"), ","),
        ("a;b;c,d\n1;2;3,5\n", ("a", "b", "c,d"), ";"),
        ('"a;b;c",d\n', ("a;b;c", "d"), ","),
        ("a\tb\tc", ("a", "b", "c"), "\t"),
        ("a|b\r\n", ("a", "b"), "|"),
        ('\ufeff"a","say ""hi"""\n', ("a", 'say "hi"'), ","),
        ("a\x0cx,b\u2028\n", ("a\x0cx", "b\u2028"), ","),
    ],
)
def test_names_and_delimiter_are_found(
    path: Path, head: str, names: tuple[str, ...], delimiter: str
) -> None:
    path.write_text(head, encoding="utf-8", newline="")
    layout = read_layout(path)
    assert (layout.names, layout.delimiter) == (names, delimiter)


def test_lines_count_line_ends_within_quotes(path: Path) -> None:
    path.write_text('a,b\n1,"x\ny"\n\n2,z\n3\n', newline="")
    layout = read_layout(path)
    assert find_line(path, layout, 1, "z".__eq__) == 5
    assert find_line(path, layout, 1, "nothing".__eq__) is None
    ragged = find_ragged_line(path, layout)
    assert ragged is not None and ragged.message == "Line 6: 1 cells, where the header has 2"


@pytest.mark.parametrize(
    ("record", "column"),
    [
        ("7" * 80, "a"),
        ('7,"' + "8" * 80 + '"', "b"),
        ('"' + "8\n" * 40 + '",7', "a"),
        ('"say ""x,y""",' + "8" * 70, "b"),
        ("7,8" + ",9" * 40, ""),
    ],
)
@pytest.mark.parametrize("behind", ["", "\n", "\n1,2\n"])
def test_a_record_that_is_too_long_is_told_with_line_and_column(
    path: Path, monkeypatch: pytest.MonkeyPatch, record: str, column: str, behind: str
) -> None:
    monkeypatch.setattr(csv_layout, "LARGEST_CELL", 64)
    path.write_text(f'a,b\n1,"x\ny"\n{record}{behind}', newline="")
    found = find_ragged_line(path, CsvLayout(("a", "b"), ",", 0))
    place = f"Line 4, column {column!r}" if column else "Line 4"
    assert found is not None and found.message.startswith(f"{place}: a line or a cell is longer")


def test_no_more_of_a_long_line_is_in_memory_than_may_be(path: Path) -> None:
    path.write_bytes(b"a,b\n" + b"7" * 2**26)
    tracemalloc.start()
    try:
        assert ends_in_long_line(path)
        assert find_ragged_line(path, CsvLayout(("a", "b"), ",", 0)) is not None
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_last_line_that_is_too_long_is_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(csv_layout, "LARGEST_CELL", 64)
    for length, is_long in ((63, False), (66, True)):
        path.write_text(f"a,b\n1,2{end or chr(10)}{'7' * length}{end}", newline="")
        assert ends_in_long_line(path) is is_long


@pytest.mark.parametrize("before", [0, 10, BLOCK_BYTES - 2, BLOCK_BYTES - 1, BLOCK_BYTES + 5])
def test_a_wrong_byte_is_found_wherever_it_stands(path: Path, before: int) -> None:
    path.write_bytes(b"a,b\n" + b"x" * before + b"\n" + "é".encode() + b"\xff\n")
    with pytest.raises(BadTable, match="Line 3: the text is not UTF-8"):
        check_text(path)


@pytest.mark.parametrize("before", [BLOCK_BYTES - 6, BLOCK_BYTES - 5, BLOCK_BYTES - 4])
def test_a_character_across_two_blocks_is_right(path: Path, before: int) -> None:
    path.write_bytes(b"a,b\n" + b"x" * before + "é€🍷".encode() * 3)
    check_text(path)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('a_1,"b\n_c_d"\n1,2\n', {"_", "\0"}),
        ("a_1,b\n", {"_", "\0"}),
        ("a_1,b", {"_", "\0"}),
        ("ä,b\r\n_,1\r\n", {"\0"}),
        ("ä,b\r1,2\r1,_", {"\0"}),
        (f"a,b\n{'1,2' * 100_000}\n1,\0", {"_"}),
        (f"a_b,c\n{'1,2' * 100_000}\n1_0,\0\n", set()),
    ],
)
def test_characters_are_absent_where_no_row_has_them(
    path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, content: str, expected: set[str]
) -> None:
    monkeypatch.setattr(csv_layout, "WINDOW_BYTES", ALLOCATIONGRANULARITY)
    monkeypatch.setattr(csv_layout, "LARGEST_CELL", 1000)
    path.write_text(mark + content, encoding="utf-8", newline="")
    assert absent_characters(path, read_layout(path), "_\0") == expected
