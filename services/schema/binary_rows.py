"""Columns made into rows of PostgreSQL's binary COPY format; `binary_columns` is the way back.

A row is its number of fields (int16), then for each field the length of its value in bytes (int32,
-1 for NULL) and the value, all big-endian. Rows whose fields have the same lengths are one array of
records. Otherwise numpy counts the place of each field in all rows at once. Only long text is gone
through cell by cell. Knows numpy and pandas; knows nothing of connections, tables or datasets.

See https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal, NamedTuple, TypeGuard, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

FieldType = Literal["bool", "int4", "int8", "float8", "text", "float8[]", "date", "timestamptz"]
Cells = NDArray[Any] | ExtensionArray | str | float | None
"""A column: an array of cells, or one value for all rows."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

WIRE_FORMATS: Mapping[str, str] = {
    "bool": "u1",
    "int4": ">i4",
    "int8": ">i8",
    "float8": ">f8",
    "date": ">i4",
    "timestamptz": ">i8",
}
"""The types of one length, and numpy's name for what is sent."""

TIME_UNITS: Mapping[str, str] = {"date": "D", "timestamptz": "us"}
"""What the number of a date or time counts, from the first moment of 2000 on, in UTC."""

FIRST_MOMENT = np.datetime64("2000-01-01")

ARRAY_ITEM = np.dtype([("length", ">i4"), ("value", ">f8")])
FLOAT8_OID = 701

BLOCK_BYTES = 1 << 20
"""What a block of rows of numbers takes about: little memory, and few enough calls of numpy."""

BLOCK_TEXT_BYTES = 16 << 20
"""What the text of a block takes at most, about, where it is long; twice that for a moment."""

MEASURED_CELLS = 64
"""So many cells of a column tell how long its texts are."""

SHORT_TEXT = 64
"""Bytes per cell up to which the bytes of all cells of a block are moved at once."""

FEW_LENGTHS = 16
"""Up to so many different lengths, short texts of one length are moved at once."""


class _Field(NamedTuple):
    """A column's part of a block.

    `lengths` is one for all rows, or (n_rows,) with -1 for NULL. `contents` are (n_rows,) in
    `wire_format` or one such value. Of text of several lengths they are bytes, in which each cell
    begins at its place in `starts`.
    """

    lengths: int | NDArray[np.int64]
    contents: Any
    wire_format: str = ""
    starts: NDArray[np.int64] | None = None


def rows_per_block(n_fields: int) -> int:
    """Return how many rows are made or taken apart at once."""
    return max(1, BLOCK_BYTES // (2 + 12 * n_fields))


def encode(columns: Sequence[Cells], types: Sequence[FieldType], n_rows: int) -> Iterator[bytes]:
    """Yield the format's header, the rows in blocks, and its trailer.

    Parameters
    ----------
    columns
        One per type: cells (n_rows,), or a plain value for all rows, None for NULL. float8 takes
        floats, NaN is NULL; int4 and int8 take whole numbers or `Int64`; bool takes bool or
        `boolean`; date and timestamptz take datetime64 in UTC, NaT is NULL; text takes objects, of
        which None, NaN and <NA> are NULL and all others go in as `str`, or a `Categorical` of
        them; float8[] takes floats (n_rows, n_items), where NaN stays NaN.

    Raises
    ------
    ValueError
        A column has not `n_rows` cells.
    TypeError
        A value would be changed: floats for whole numbers, say, or a time of day for a date.
    OverflowError
        A number is beyond int4.
    UnicodeEncodeError
        Text holds a lone surrogate.
    """
    for cells, type_ in zip(columns, types, strict=True):
        if _is_array(cells) and len(cells) != n_rows:
            raise ValueError(f"A column of type {type_} has {len(cells)} cells, not {n_rows}.")
    text_bytes = max(1.0, sum(map(_text_bytes, columns)))
    at_once = max(1, min(rows_per_block(len(types)), int(BLOCK_TEXT_BYTES / text_bytes)))
    records, columns = _Records(), [_few_labels(cells, at_once) for cells in columns]
    yield HEADER
    for first in range(0, n_rows, at_once):
        end = min(first + at_once, n_rows)
        fields = [
            _field(cells[first:end] if _is_array(cells) else cells, type_)
            for cells, type_ in zip(columns, types, strict=True)
        ]
        yield _encode_block(fields, end - first, records)
    yield TRAILER


def _is_array(cells: Cells) -> TypeGuard[NDArray[Any] | ExtensionArray]:
    return isinstance(cells, np.ndarray | ExtensionArray)


def _few_labels(cells: Cells, at_once: int) -> Cells:
    """Return cells as they are, or those of a `Categorical` where a block has fewer rows."""
    if isinstance(cells, pd.Categorical) and len(cells.categories) > at_once:
        return np.asarray(cells, dtype=object)
    return cells


def _text_bytes(cells: Cells) -> float:
    """Return how long the texts of a column are, about; 0 for what is no text."""
    if isinstance(cells, np.ndarray | pd.Categorical) and cells.dtype.kind == "O" and len(cells):
        measured = cells[:: -(-len(cells) // MEASURED_CELLS)]
        texts = [cell for cell in measured if isinstance(cell, str)]
        return sum(len(text.encode(errors="replace")) for text in texts) / len(measured)
    return 0.0


def _field(cells: Any, type_: FieldType) -> _Field:
    if cells is None:
        return _Field(-1, None)
    if type_ == "text":
        return _text_field(cells)
    if type_ == "float8[]":
        return _array_field(cells)
    values: NDArray[Any]
    if type_ == "float8":
        values = np.asarray(cells).astype(np.float64, casting="same_kind", copy=False)
        missing = np.isnan(values)
    elif type_ in TIME_UNITS:
        values, missing = _times(cells, type_)
    else:
        values, missing = _whole_values(cells, type_)
    wire_format = WIRE_FORMATS[type_]
    length = np.dtype(wire_format).itemsize
    if not missing.any():
        return _Field(length, values, wire_format)
    if missing.all():
        return _Field(-1, None)
    return _Field(np.where(missing, -1, length), values, wire_format)


def _whole_values(cells: Any, type_: FieldType) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    native = np.dtype(bool if type_ == "bool" else np.int64)
    if isinstance(cells, ExtensionArray):
        missing = np.asarray(cells.isna())
        values = cells.to_numpy(native, na_value=0)
    else:
        missing = np.zeros(1, bool)
        values = np.asarray(cells).astype(native, casting="safe", copy=False)
    if type_ == "int4" and values.size and not -(2**31) <= values.min() <= values.max() < 2**31:
        raise OverflowError("A number is beyond int4.")
    return values, missing


def _times(cells: Any, type_: FieldType) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    given = np.asarray(cells)
    if given.dtype.kind != "M":
        raise TypeError(f"{given.dtype} is no time.")
    unit = TIME_UNITS[type_]
    kept = given.astype(f"M8[{unit}]")
    missing = np.isnat(given)
    if not (missing | (kept == given)).all():
        raise TypeError(f"A time has parts that a {type_} cannot hold.")
    values = (kept - FIRST_MOMENT.astype(f"M8[{unit}]")).astype(np.int64)
    values[missing] = 0
    return values, missing


def _text_field(cells: Any) -> _Field:
    if isinstance(cells, str):
        text = cells.encode()
        return _Field(len(text), np.void(text) if text else None, f"V{len(text)}")
    if isinstance(cells, pd.Categorical):
        content, starts, lengths = _encode_texts(np.asarray(cells.categories, dtype=object))
        # The code of what is missing is -1.
        starts, lengths = np.append(starts, 0)[cells.codes], np.append(lengths, -1)[cells.codes]
    else:
        content, starts, lengths = _encode_texts(np.asarray(cells, dtype=object))
    length = int(lengths[0])
    if not (lengths == length).all():
        return _Field(lengths, content, starts=starts)
    if length <= 0:
        return _Field(length, None)
    return _Field(length, at_every_byte(content, length)[starts], f"V{length}")


def _encode_texts(
    cells: NDArray[np.object_],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Return texts in UTF-8: all their bytes, where each begins, and its length, -1 for NULL."""
    texts, missing = cells.tolist(), None
    try:
        joined = "\0".join(texts)
    except TypeError:
        missing = np.asarray(pd.isna(cells))
        texts = np.where(missing, "", cells).tolist()
        if set(map(type, texts)) != {str}:
            texts = list(map(str, texts))
        joined = "\0".join(texts)
    content = np.frombuffer(joined.encode(), np.uint8)
    ends = np.append(np.flatnonzero(content == 0), len(content))
    if len(ends) == len(texts):
        starts = np.append(0, ends[:-1] + 1)
        lengths = ends - starts
    else:
        # There is a NUL in a text, which PostgreSQL is to refuse; or there is no text at all.
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        starts = np.cumsum(lengths) - lengths
        content = np.frombuffer(b"".join(encoded), np.uint8)
    if missing is not None:
        lengths[missing] = -1
    return content, starts, lengths


def _array_field(cells: NDArray[np.float64]) -> _Field:
    n_rows, n_items = cells.shape
    head = array_head(n_items)
    arrays = np.empty(n_rows, [("head", f"V{len(head)}"), ("items", ARRAY_ITEM, (n_items,))])
    arrays["head"] = np.void(head)
    arrays["items"]["length"], arrays["items"]["value"] = 8, cells
    wire_format = f"V{arrays.itemsize}"
    return _Field(arrays.itemsize, arrays.view(wire_format), wire_format)


def array_head(n_items: int) -> bytes:
    """Return what stands before the items of a float8[]: dimensions, NULLs, type, size, lowest."""
    head = [1, 0, FLOAT8_OID, n_items, 1] if n_items else [0, 0, FLOAT8_OID]
    return np.array(head, ">i4").tobytes()


@lru_cache(maxsize=16)
def record_type(n_fields: int | None, forms: tuple[tuple[int, str], ...]) -> "np.dtype[np.void]":
    """Return the type of rows, or of parts of rows (`n_fields` None), by lengths and formats.

    Its parts are `count`, and per field `length0` and, unless that is 0 or NULL, `value0`.
    """
    parts: list[tuple[str, str]] = [] if n_fields is None else [("count", ">i2")]
    for place, (length, wire_format) in enumerate(forms):
        parts.append((f"length{place}", ">i4"))
        if length > 0:
            parts.append((f"value{place}", wire_format))
    return np.dtype(parts)


class _Records:
    """Arrays of records, kept from block to block: most of these differ in the values only."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Any, NDArray[np.void]]] = {}

    def fill(
        self, fields: Sequence[_Field], n_rows: int, first: int = 0, n_fields: int | None = None
    ) -> NDArray[np.void]:
        """Return fields of even lengths as records (n_rows,); `first` is the first one's place.

        With `n_fields` they are whole rows.
        """
        forms = tuple((int(field.lengths), field.wire_format) for field in fields)
        form = (n_rows, n_fields, forms)
        kept, records = self._kept.get(first, (None, np.empty(0, np.void)))
        if kept != form:
            records = np.empty(n_rows, record_type(n_fields, forms))
            self._kept[first] = (form, records)
            if n_fields is not None:
                records["count"] = n_fields
            for place, (length, _) in enumerate(forms):
                records[f"length{place}"] = length
        for place, field in enumerate(fields):
            if field.contents is not None:
                records[f"value{place}"] = field.contents
        return records


def _encode_block(fields: Sequence[_Field], n_rows: int, records: _Records) -> bytes:
    parts: list[NDArray[np.void] | _Field] = []
    for is_even, run in groupby(enumerate(fields), lambda item: isinstance(item[1].lengths, int)):
        places, together = zip(*run, strict=True)
        if len(together) == len(fields) and is_even:
            return records.fill(together, n_rows, n_fields=len(fields)).tobytes()
        parts += [records.fill(together, n_rows, places[0])] if is_even else together
    return _join(parts, n_rows, len(fields))


def _join(parts: Sequence[NDArray[np.void] | _Field], n_rows: int, n_fields: int) -> bytes:
    counts = np.full(n_rows, n_fields, ">i2")
    sizes: list[Any] = [
        4 + np.maximum(part.lengths, 0) if isinstance(part, _Field) else part.itemsize
        for part in parts
    ]
    row_sizes = counts.itemsize + np.zeros(n_rows, np.int64) + sum(sizes)
    ends = np.cumsum(row_sizes)
    block = np.empty(ends[-1], np.uint8)
    places = ends - row_sizes
    _put(block, places, counts)
    places += counts.itemsize
    behind = sum(4 if isinstance(part, _Field) else part.itemsize for part in parts)
    for part, size in zip(parts, sizes, strict=True):
        if isinstance(part, _Field):
            behind -= 4
            _put_uneven(block, places, part, behind)
        else:
            behind -= part.itemsize
            _put(block, places, part)
        places += size
    return block.tobytes()


def _put_uneven(
    block: NDArray[np.uint8], places: NDArray[np.int64], field: _Field, behind: int
) -> None:
    """Put a field into all rows; `behind` it each row has at least so many bytes, put later."""
    lengths = np.asarray(field.lengths)
    if field.wire_format and np.dtype(field.wire_format).itemsize <= behind:
        # What stands behind a NULL is no value, and is written over by the fields that follow.
        whole = np.empty(len(lengths), [("length", ">i4"), ("value", field.wire_format)])
        whole["length"], whole["value"] = lengths, field.contents
        _put(block, places, whole)
        return
    _put(block, places, lengths.astype(">i4"))
    places = places + 4
    if field.wire_format:
        present = lengths >= 0
        _put(block, places[present], field.contents[present].astype(field.wire_format))
        return
    put_texts(block, places, field.contents, cast(Any, field.starts), np.maximum(lengths, 0))


def put_texts(
    block: NDArray[np.uint8],
    places: NDArray[np.int64],
    content: NDArray[np.uint8],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Move pieces of `content`, which begin at `starts`, to their places in a block."""
    if sizes.max() <= SHORT_TEXT:
        found = np.flatnonzero(np.bincount(sizes))
        if len(found) <= FEW_LENGTHS:
            for size in found[found > 0].tolist():
                rows = np.flatnonzero(sizes == size)
                pieces = at_every_byte(content, size)[starts[rows]]
                at_every_byte(block, size)[places[rows]] = pieces
            return
    if sizes.sum() <= SHORT_TEXT * len(sizes):
        block[_places_of_bytes(places, sizes)] = content[_places_of_bytes(starts, sizes)]
        return
    for place, start, size in zip(places.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        block[place : place + size] = content[start : start + size]


def _places_of_bytes(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each byte of pieces that begin at `starts`, piece after piece.

    Each takes 16 bytes of memory for a moment: for short pieces only.
    """
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])


def _put(block: NDArray[np.uint8], places: NDArray[np.int64], values: NDArray[Any]) -> None:
    at_every_byte(block, values.itemsize)[places] = values.view(f"V{values.itemsize}")


def at_every_byte(block: NDArray[np.uint8], size: int) -> NDArray[np.void]:
    """Return a view of the `size` bytes that begin at each byte of a block, as one item each."""
    shape = (max(len(block) - size + 1, 0),)
    return np.ndarray(shape, f"V{size}", block, strides=(1,))
