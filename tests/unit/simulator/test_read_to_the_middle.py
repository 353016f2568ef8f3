"""What is found in the middle of a table comes by way of Arrow, and is said as at its beginning."""

from pathlib import Path

import duckdb
import pytest

from simulator.bad_table import BadTable
from simulator.csv_layout import read_layout
from simulator.table_files import NoRoom, _refusals, open_table

N_ROWS = 1_000_000
"""So many that DuckDB, which reads ahead, has not met the middle when the first rows are there."""


def test_a_parquet_file_that_is_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    duckdb.execute(
        f"COPY (SELECT range AS a, hash(range)::VARCHAR AS b FROM range({N_ROWS}))"  # noqa: S608
        f" TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 10240)"
    )
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 10_000] = b"\xff" * 10_000
    path.write_bytes(content)
    rows = []
    with open_table(path, "parquet", path.parent) as table:
        chunks = table.guessed_chunks(table.guess_types({}))
        with pytest.raises(BadTable, match="Parquet file is damaged"):
            rows.extend(chunks)
    assert 0 < sum(map(len, rows)) < N_ROWS


def test_no_memory_in_the_middle_does_not_make_a_table_bad(tmp_path: Path) -> None:
    connection = duckdb.connect(config={"memory_limit": "1MB", "temp_directory": ""})
    with pytest.raises(duckdb.OutOfMemoryException) as found:
        connection.execute("SELECT range FROM range(1000000) ORDER BY hash(range)")
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    # Arrow knows the words alone.
    for error in (found.value, OSError(str(found.value))):
        with pytest.raises(NoRoom), _refusals(path, read_layout(path)):
            raise error


def test_a_chunk_has_room_for_more_than_two_gib_of_text(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "x,1\n" * 10)
    with open_table(path, "csv", tmp_path) as table:
        ((texts, _),) = table._read(["c0", "c1"], table.guess_types({}))
    assert str(texts.type) == "large_string"
