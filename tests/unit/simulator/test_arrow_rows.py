"""Rows come in chunks that memory has room for, whatever is in them."""

import itertools
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from schema.samples import CHUNK_BYTES, CHUNK_ROWS
from simulator.arrow_rows import LOOKED_AT, chunks_of, frame_of
from simulator.table_files import BATCH_ROWS, open_table


def batches(*sizes: int) -> list[pa.RecordBatch]:
    """Return batches of so many numbers (int64), counted from 0 in all of them."""
    ends = [sum(sizes[:place]) for place in range(len(sizes) + 1)]
    return [
        pa.record_batch({"a": pa.array(range(first, end), pa.int64())})
        for first, end in itertools.pairwise(ends)
    ]


@pytest.mark.parametrize(
    ("sizes", "most_rows", "most_bytes", "expected"),
    [
        ([], 10, 1000, []),
        ([3], 10, 1000, [3]),
        ([3, 3, 3, 3], 9, 1000, [9, 3]),
        ([3, 3, 3, 3], 10, 1000, [9, 3]),
        ([3, 3, 3, 3], 2, 1000, [3, 3, 3, 3]),
        ([3, 3, 3, 3], 100, 1, [3, 3, 3, 3]),
        ([3, 3, 3, 3], 100, 47, [3, 3, 3, 3]),
        ([3, 3, 3, 3], 100, 48, [6, 6]),
        ([9, 3], 100, 48, [9, 3]),
    ],
)
def test_batches_become_chunks(
    sizes: list[int], most_rows: int, most_bytes: int, expected: list[int]
) -> None:
    found = chunks_of(batches(*sizes), most_rows, most_bytes, 60)
    chunks = [cells.to_pylist() for (cells,) in found]
    assert list(map(len, chunks)) == expected
    assert [*itertools.chain(*chunks)] == [*range(sum(sizes))]


def test_a_chunk_of_short_rows_has_as_many_as_it_may(tmp_path: Path) -> None:
    assert CHUNK_ROWS - BATCH_ROWS < sizes_of_chunks(tmp_path, "x", 2 * CHUNK_ROWS)[0] <= CHUNK_ROWS


def test_a_chunk_of_long_rows_has_few(tmp_path: Path) -> None:
    n_bytes, n_rows = 5_000, 20_000
    sizes = sizes_of_chunks(tmp_path, "x" * n_bytes, n_rows)
    assert sum(sizes) == n_rows
    assert max(sizes) < CHUNK_BYTES / n_bytes


def test_short_texts_count_as_they_lie_in_memory() -> None:
    texts = [pa.record_batch({"a": ["x"] * 3, "b": ["y"] * 3}) for _ in range(4)]
    sizes = [len(columns[0]) for columns in chunks_of(texts, 100, 2 * texts[0].nbytes + 720, 60)]
    assert sizes == [6, 6]


def sizes_of_chunks(folder: Path, cell: str, n_rows: int) -> list[int]:
    path = folder / "table.csv"
    path.write_text("a,b\n" + f"{cell},1\n" * n_rows)
    with open_table(path, "csv", folder) as table:
        chunks = list(map(len, table.guessed_chunks(table.guess_types({}))))
        assert table.row_count == n_rows
    return chunks


def test_there_is_nothing_of_no_rows() -> None:
    empty = pa.record_batch({"a": pa.array([], pa.large_string())})
    pd.testing.assert_frame_equal(
        frame_of(empty.columns, ["a"]),
        pd.DataFrame({"a": pd.Categorical([], categories=pd.Index([], dtype=object))}),
    )


@pytest.mark.parametrize("text_type", [pa.string(), pa.large_string()])
def test_text_that_comes_again_and_again_is_labels(text_type: pa.DataType) -> None:
    n_rows = 2 * LOOKED_AT
    again = pa.array(["red", None, "rosé", "red"] * (n_rows // 4), text_type)
    names = pa.array([f"bottle {number}" for number in range(n_rows)], text_type)
    found = frame_of([again, names], ["again", "name"])
    assert list(found["again"].cat.categories) == ["red", "rosé"]
    assert found["again"].cat.codes[:4].tolist() == [0, -1, 1, 0]
    assert found["name"].dtype == object and found["name"].tolist() == names.to_pylist()
