"""What a CSV file looks like, and on which line something stands."""

from pathlib import Path

import pytest

from simulator.bad_table import BadTable
from simulator.csv_layout import BLOCK_BYTES, check_text, find_line, find_ragged_line, read_layout


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


@pytest.mark.parametrize("before", [0, 10, BLOCK_BYTES - 2, BLOCK_BYTES - 1, BLOCK_BYTES + 5])
def test_a_wrong_byte_is_found_wherever_it_stands(path: Path, before: int) -> None:
    path.write_bytes(b"a,b\n" + b"x" * before + b"\n" + "é".encode() + b"\xff\n")
    with pytest.raises(BadTable, match="Line 3: the text is not UTF-8"):
        check_text(path)


@pytest.mark.parametrize("before", [BLOCK_BYTES - 6, BLOCK_BYTES - 5, BLOCK_BYTES - 4])
def test_a_character_across_two_blocks_is_right(path: Path, before: int) -> None:
    path.write_bytes(b"a,b\n" + b"x" * before + "é€🍷".encode() * 3)
    check_text(path)
