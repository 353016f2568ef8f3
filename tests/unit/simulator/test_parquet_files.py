"""Parquet files as pyarrow and pandas write them: read the quick way and the careful one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.bad_table import BadTable
from simulator.table_files import BATCH_BYTES, TableFile, open_table


def both_ways(table: TableFile) -> list[pd.DataFrame]:
    """Return the rows with guessed types and with those that all rows have."""
    quick = list(table.guessed_chunks(table.guess_types({})))
    careful = list(table.chunks(table.find_types({})))
    return [pd.concat(chunks, ignore_index=True) for chunks in (quick, careful)]


@pytest.mark.parametrize("type_", [pa.float64(), pa.float32()])
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("gaps", [[39], [0], [0, 1, 2], list(range(39))])
def test_nan_is_a_missing_value(
    tmp_path: Path, type_: pa.DataType, statistics: bool, gaps: list[int]
) -> None:
    numbers = np.tile([1.0, 2.0], 20)
    numbers[gaps] = np.nan
    path = tmp_path / "table.parquet"
    table = pa.table({"a": pa.array(numbers, type_), "b": pa.array(range(40))})
    pq.write_table(table, path, write_statistics=statistics)
    with open_table(path, "parquet", tmp_path) as opened:
        for rows in both_ways(opened):
            assert rows["a"].isna().to_numpy().nonzero()[0].tolist() == gaps
            assert rows["b"].tolist() == list(range(40))


def test_an_infinity_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [1.0, np.nan, np.inf, 2.0], "b": [1, 2, 3, 4]}), path)
    with open_table(path, "parquet", tmp_path) as opened, pytest.raises(BadTable) as found:
        opened.find_types({})
    assert "Row 3, column 'a'" in str(found.value)


def test_text_that_is_not_utf_8_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    raw = pa.array([b"fine"] * 39 + [b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"a": raw, "b": range(40)}), path)
    with open_table(path, "parquet", tmp_path) as opened, pytest.raises(BadTable, match="UTF-8"):
        list(opened.chunks(opened.find_types({})))


def test_a_row_group_that_is_too_large_is_no_matter_of_trying_again(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    texts = [np.random.default_rng(place).bytes(50_000).hex() for place in range(3_000)]
    pq.write_table(pa.table({"a": texts, "b": range(3_000)}), path, row_group_size=3_000)
    with (
        open_table(path, "parquet", tmp_path) as opened,
        pytest.raises(BadTable, match="row group"),
    ):
        list(opened.guessed_chunks(opened.guess_types({})))
    pq.write_table(pa.table({"a": texts, "b": range(3_000)}), path, row_group_size=100)
    with open_table(path, "parquet", tmp_path) as opened:
        lengths = [len(chunk) for chunk in opened.guessed_chunks(opened.guess_types({}))]
    assert sum(lengths) == 3_000
    assert max(lengths) <= 4 * BATCH_BYTES / 100_000


def test_rows_of_many_short_texts_come_in_chunks_of_few(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    header = ",".join(f"c{place}" for place in range(300))
    path.write_text(header + "\n" + (",".join(["x"] * 300) + "\n") * 4_000)
    with open_table(path, "csv", tmp_path) as opened:
        lengths = [len(chunk) for chunk in opened.guessed_chunks(opened.guess_types({}))]
    assert sum(lengths) == 4_000
    assert max(lengths) <= 4 * BATCH_BYTES / (300 * 68)
