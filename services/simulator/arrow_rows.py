"""Rows as Arrow has them, made into those of pandas that the database takes.

Text that comes again and again is made labels: each of these is hashed and encoded once. Nothing is
done here cell by cell.
"""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

LOOKED_AT = 64
"""Cells of a column of text by which it is told whether they come again and again."""

_MASKED = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def frame_of(columns: Sequence[pa.Array], names: Sequence[str]) -> pd.DataFrame:
    """Return columns (n_rows,) as a frame, in the types of `schema.samples.PANDAS_TYPES`.

    Text that comes again and again is `Categorical` instead of object. Where nothing is missing,
    the cells may be those of Arrow itself, which cannot be written to.
    """
    rows = pa.RecordBatch.from_arrays([_with_labels(cells) for cells in columns], list(names))
    found: pd.DataFrame = rows.to_pandas(types_mapper=_MASKED.get, split_blocks=True)
    return found


def _with_labels(cells: pa.Array) -> pa.Array:
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    if is_text and len(set(cells[:LOOKED_AT].to_pylist())) < LOOKED_AT // 2:
        return cells.dictionary_encode()
    return cells
