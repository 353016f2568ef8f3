"""A CSV file whose text is wrong far behind its beginning, where it is read and not looked at."""

from pathlib import Path

import pytest

from simulator import csv_layout
from simulator.bad_table import BadTable
from simulator.csv_layout import check_text
from simulator.table_files import WrongGuess, open_table

PLAIN = {
    "integer": "7",
    "number": "0.5",
    "boolean": "true",
    "date": "2026-11-28",
    "timestamp": "2026-11-28T10:00:00Z",
    "text": "red",
}
BROKEN = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"a\xf5", b"\0", b"7\0", b"a\0b"]
N_PLAIN = 5_000


def read_all(path: Path) -> None:
    """Read as an upload does."""
    with open_table(path, "csv", path.parent) as table:
        try:
            columns = table.guess_types({})
            for _ in table.guessed_chunks(columns):
                pass
        except WrongGuess:
            for _ in table.chunks(table.find_types({})):
                pass


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("type_", PLAIN)
def test_wrong_text_is_refused_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: str, quote: str
) -> None:
    monkeypatch.setattr(csv_layout, "LARGEST_CELL", 64)
    path = tmp_path / "table.csv"
    plain = f"{quote}{PLAIN[type_]}{quote},1\n".encode()
    path.write_bytes(b"a,b\n" + plain * N_PLAIN)
    read_all(path)
    for broken in BROKEN:
        cell = quote.encode() + broken + quote.encode()
        path.write_bytes(b"a,b\n" + plain * N_PLAIN + cell + b",2\n" + plain)
        with pytest.raises(BadTable) as expected:
            check_text(path)
        assert expected.value.message.startswith(f"Line {N_PLAIN + 2}: the")
        with pytest.raises(BadTable) as found:
            read_all(path)
        assert found.value.message == expected.value.message
