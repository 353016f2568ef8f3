"""Rows as Arrow has them, made into those of pandas that the database takes.

Text that comes again and again is made labels: each of these is hashed and encoded once. Nothing is
done here cell by cell.
"""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
import pyarrow as pa

LOOKED_AT = 64
"""Cells of a column of text by which it is told whether they come again and again."""

_MASKED = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def chunks_of(
    batches: Iterable[pa.RecordBatch], most_rows: int, most_bytes: int, bytes_beside_text: int
) -> Iterator[list[pa.Array]]:
    """Yield the columns (n_rows,) of batches put together, in order.

    A chunk is of `most_rows` and of `most_bytes` at most, if no batch is of more: rows may be of
    many columns, or of long text. A cell of text counts with so many bytes beside its own.
    """
    held: list[pa.RecordBatch] = []
    n_rows = n_bytes = 0
    for batch in batches:
        n_texts = sum(map(_is_text, batch.schema.types))
        takes = batch.nbytes + bytes_beside_text * n_texts * batch.num_rows
        if held and (n_rows + batch.num_rows > most_rows or n_bytes + takes > most_bytes):
            yield pa.concat_batches(held).columns
            held, n_rows, n_bytes = [], 0, 0
        held.append(batch)
        n_rows, n_bytes = n_rows + batch.num_rows, n_bytes + takes
    if held:
        yield pa.concat_batches(held).columns


def frame_of(columns: Sequence[pa.Array], names: Sequence[str]) -> pd.DataFrame:
    """Return columns (n_rows,) as a frame, in the types of `schema.samples.PANDAS_TYPES`.

    Text that comes again and again is `Categorical` instead of object. Where nothing is missing,
    the cells may be those of Arrow itself, which cannot be written to.
    """
    rows = pa.RecordBatch.from_arrays([_with_labels(cells) for cells in columns], list(names))
    found: pd.DataFrame = rows.to_pandas(types_mapper=_MASKED.get, split_blocks=True)
    return found


def _with_labels(cells: pa.Array) -> pa.Array:
    if _is_text(cells.type) and len(set(cells[:LOOKED_AT].to_pylist())) < LOOKED_AT // 2:
        return cells.dictionary_encode()
    return cells


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))
