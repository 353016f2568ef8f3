"""Rows of PostgreSQL's binary COPY format taken apart into columns; see `binary_rows`."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

from schema.binary_rows import (
    ARRAY_ITEM,
    FIRST_MOMENT,
    SHORT_TEXT,
    TIME_UNITS,
    WIRE_FORMATS,
    FieldType,
    array_head,
    at_every_byte,
    put_texts,
    record_type,
)

Lengths = NDArray[np.int64]

MARGIN = bytes(8)
"""Behind the last row, so that the longest number can be read in place of any NULL."""

LOOKED_AT = 64
"""Cells of text by which it is told whether they are labels."""


class _Block(NamedTuple):
    """A column's part of a block: values (n_rows,), and which are NULL if they cannot say so."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]


class Columns:
    """Columns that grow by blocks of rows; `types` are the fields of each row."""

    def __init__(self, types: Sequence[FieldType]) -> None:
        self._types = tuple(types)
        self._blocks: tuple[list[_Block], ...] = tuple([] for _ in types)

    def append(self, rows: Sequence[bytes]) -> None:
        """Add rows, each of them whole and without the format's header and trailer.

        Raises
        ------
        ValueError
            They have other fields than these types, or a float8[] that is no plain list of numbers.
        """
        if not rows:
            return
        data = b"".join([*rows, MARGIN])
        blocks = _read_even(data, rows[0], len(rows), self._types)
        if blocks is None:
            blocks = _read_uneven(data, rows, self._types)
        for kept, block in zip(self._blocks, blocks, strict=True):
            kept.append(block)

    def take(self) -> list[NDArray[Any] | ExtensionArray]:
        """Return the columns (n_rows,) and be empty again.

        float8 is float64 (NULL is NaN), int4 and int8 are Int64, bool is boolean, date and
        timestamptz are datetime64[us] in UTC (NULL is NaT); text is object, and so is float8[],
        as lists of float (NULL is None).
        """
        return [
            _join(blocks, type_) for blocks, type_ in zip(self._blocks, self._types, strict=True)
        ]


def _join(blocks: list[_Block], type_: FieldType) -> NDArray[Any] | ExtensionArray:
    empty = _numbers(np.empty(0), type_) if type_ in WIRE_FORMATS else _objects([], 0)
    values = np.concatenate([empty.values, *(block.values for block in blocks)])
    missing = np.concatenate([empty.missing, *(block.missing for block in blocks)])
    # The blocks of one column are gone before those of the next are joined.
    blocks.clear()
    if type_ == "bool":
        return pd.arrays.BooleanArray(values, missing)
    if type_ in {"int4", "int8"}:
        return pd.arrays.IntegerArray(values, missing)
    return values


def _read_even(
    data: bytes, row: bytes, n_rows: int, types: Sequence[FieldType]
) -> list[_Block] | None:
    """Read rows whose fields have the lengths of those in this `row`; None if they have not."""
    if len(data) != n_rows * len(row) + len(MARGIN):
        return None
    lengths = _lengths_in(row, len(types))
    forms = tuple(
        (length, WIRE_FORMATS.get(type_, f"V{max(length, 0)}"))
        for length, type_ in zip(lengths, types, strict=True)
    )
    record = record_type(len(types), forms)
    _check(record.itemsize == len(row))
    records = np.frombuffer(data, record, n_rows)
    if not (records["count"] == len(types)).all() or not all(
        (records[f"length{place}"] == length).all() for place, length in enumerate(lengths)
    ):
        return None
    starts = np.arange(n_rows) * len(row)
    blocks = []
    for place, (length, type_) in enumerate(zip(lengths, types, strict=True)):
        if type_ in WIRE_FORMATS:
            _check(length in {-1, np.dtype(WIRE_FORMATS[type_]).itemsize})
            values = records[f"value{place}"] if length > 0 else np.zeros(n_rows)
            blocks.append(_numbers(values, type_, None if length > 0 else np.ones(n_rows, bool)))
        else:
            offset = cast(Any, record.fields)[f"length{place}"][1] + 4
            blocks.append(_others(data, starts + offset, np.full(n_rows, length), type_))
    return blocks


def _lengths_in(row: bytes, n_fields: int) -> list[int]:
    _check(int.from_bytes(row[:2], "big", signed=True) == n_fields)
    lengths, place = [], 2
    for _ in range(n_fields):
        lengths.append(int.from_bytes(row[place : place + 4], "big", signed=True))
        place += 4 + max(lengths[-1], 0)
    return lengths


def _read_uneven(data: bytes, rows: Sequence[bytes], types: Sequence[FieldType]) -> list[_Block]:
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))
    places = np.concatenate([[0], ends[:-1]])
    content = np.frombuffer(data, np.uint8)
    _check((_get(content, places, ">i2") == len(types)).all())
    places = places + 2
    blocks = []
    for type_ in types:
        if type_ in WIRE_FORMATS:
            fields = _get(content, places, [("length", ">i4"), ("value", WIRE_FORMATS[type_])])
            present = fields["length"] == fields.itemsize - 4
            if present.all():
                blocks.append(_numbers(fields["value"], type_))
                places += fields.itemsize
                continue
            missing = fields["length"] < 0
            _check((present | missing).all())
            blocks.append(_numbers(fields["value"], type_, missing))
            places += np.where(missing, 4, fields.itemsize)
        else:
            lengths = _get(content, places, ">i4").astype(np.int64)
            places += 4
            _check((places + lengths <= ends).all())
            blocks.append(_others(data, places, lengths, type_))
            places += np.maximum(lengths, 0)
    _check((places == ends).all())
    return blocks


def _get(content: NDArray[np.uint8], places: Lengths, wire_format: Any) -> NDArray[Any]:
    return at_every_byte(content, np.dtype(wire_format).itemsize)[places].view(wire_format)


def _check(fits: bool | np.bool_) -> None:
    if not fits:
        raise ValueError("The rows have other fields than the types that were given.")


def _numbers(
    sent: NDArray[Any], type_: FieldType, missing: NDArray[np.bool_] | None = None
) -> _Block:
    if type_ == "float8":
        values = sent.astype(np.float64)
        if missing is not None:
            values[missing] = np.nan
        return _Block(values, np.empty(0, bool))
    if type_ in TIME_UNITS:
        return _times(sent, type_, missing)
    if missing is None:
        missing = np.zeros(len(sent), bool)
    values = sent != 0 if type_ == "bool" else sent.astype(np.int64)
    values[missing] = 0
    return _Block(values, missing)


def _times(sent: NDArray[Any], type_: FieldType, missing: NDArray[np.bool_] | None) -> _Block:
    unit = TIME_UNITS[type_]
    counted = sent.astype(np.int64).view(f"m8[{unit}]")
    values = (FIRST_MOMENT.astype(f"M8[{unit}]") + counted).astype("M8[us]")
    if missing is not None:
        values[missing] = np.datetime64("NaT")
    return _Block(values, np.empty(0, bool))


def _others(data: bytes, starts: Lengths, lengths: Lengths, type_: FieldType) -> _Block:
    cells = (_lists if type_ == "float8[]" else _texts)(data, starts, lengths)
    block = _objects(cells, len(starts))
    block.values[lengths < 0] = None
    return block


def _objects(cells: Iterable[Any], n_rows: int) -> _Block:
    return _Block(np.fromiter(cells, object, n_rows), np.empty(0, bool))


def _texts(data: bytes, starts: Lengths, lengths: Lengths) -> Iterable[Any]:
    sizes = np.maximum(lengths, 0)
    if sizes.sum() > SHORT_TEXT * len(sizes):
        ends = (starts + sizes).tolist()
        return [data[a:b].decode() for a, b in zip(starts.tolist(), ends, strict=True)]
    # Of a text PostgreSQL has no NUL: each gets one behind it, and they are split in one go.
    ends = np.cumsum(sizes + 1)
    content = np.zeros(ends[-1], np.uint8)
    put_texts(content, ends - 1 - sizes, np.frombuffer(data, np.uint8), starts, sizes)
    cells: list[Any] = content.tobytes().decode().split("\0")[:-1]
    if len(set(cells[:LOOKED_AT])) < LOOKED_AT // 2:
        # Labels come again and again: each is in memory once per block.
        seen: dict[str, str] = {}
        return map(seen.setdefault, cells, cells)
    return cells


def _lists(data: bytes, starts: Lengths, lengths: Lengths) -> Iterable[Any]:
    content = np.frombuffer(data, np.uint8)
    lists: list[Any] = [None] * len(starts)
    for length in np.unique(lengths[lengths >= 0]).tolist():
        rows = np.flatnonzero(lengths == length)
        arrays = at_every_byte(content, length)[starts[rows]]
        for row, items in zip(rows.tolist(), _items(arrays), strict=True):
            lists[row] = items
    return lists


def _items(arrays: NDArray[np.void]) -> list[list[float]]:
    """Return the items of float8[]s of one length in bytes."""
    n_items = max(arrays.itemsize - len(array_head(1)), 0) // ARRAY_ITEM.itemsize
    head = array_head(n_items)
    form = np.dtype([("head", f"V{len(head)}"), ("items", ARRAY_ITEM, (n_items,))])
    if form.itemsize == arrays.itemsize:
        read = arrays.view(form)
        if (read["head"] == np.void(head)).all() and (read["items"]["length"] == 8).all():
            items: list[list[float]] = read["items"]["value"].tolist()
            return items
    raise ValueError("A float8[] is no plain list of numbers.")
