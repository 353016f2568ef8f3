"""The hash of a table is the same however its text is kept, and the one it has always been."""

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from simulator.arrow_rows import LOOKED_AT, frame_of
from simulator.content_hash import row_hashes

N_ROWS = 500
FEW = np.array(["red", "white", "rosé", ""], dtype=object)[np.arange(N_ROWS) % 4]
MANY = np.array([f"bottle {number}" for number in range(N_ROWS)], dtype=object)


def gaps(texts: "np.ndarray[tuple[int], np.dtype[np.object_]]") -> pd.Series:
    return pd.Series([None if number % 7 == 3 else text for number, text in enumerate(texts)])


def with_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as they come out of a file."""
    batch = pa.RecordBatch.from_pandas(rows, preserve_index=False)
    return frame_of(batch.columns, batch.schema.names)


TABLES = {
    "labels": pd.DataFrame({"a": FEW, "b": np.arange(N_ROWS)}),
    "labels with gaps": pd.DataFrame({"a": gaps(FEW), "b": FEW}),
    "names": pd.DataFrame({"a": MANY, "b": np.arange(N_ROWS) / 7}),
    "names with gaps": pd.DataFrame({"a": gaps(MANY), "b": MANY}),
    "labels at first": pd.DataFrame({"a": np.append(FEW[:LOOKED_AT], MANY[LOOKED_AT:])}),
    "all missing": pd.DataFrame({"a": np.full(N_ROWS, None, object), "b": FEW}),
    "no text": pd.DataFrame({"a": pd.array([1, None] * 250, "Int64"), "b": np.arange(N_ROWS) / 3}),
    "no rows": pd.DataFrame({"a": np.empty(0, object)}),
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_have_the_hashes_of_pandas_however_text_is_kept(name: str) -> None:
    rows = TABLES[name]
    expected = pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
    labelled = with_labels(rows)
    assert row_hashes(rows) == row_hashes(labelled) == expected
    kept = [frame.astype(object).where(frame.notna(), None) for frame in (labelled, rows)]
    pd.testing.assert_frame_equal(*kept)


def test_the_hash_of_these_rows_never_changes() -> None:
    rows = pd.DataFrame(
        {"label": FEW, "gap": gaps(FEW), "name": MANY, "number": np.arange(N_ROWS) / 8}
    )
    found = hashlib.sha256(row_hashes(with_labels(rows))).hexdigest()
    assert found == "afef6cfeff25a7d08fce296f111f87aa82071c6cbcacacfaf6429e7d160237d9"
