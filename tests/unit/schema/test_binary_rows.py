"""Columns become rows of PostgreSQL's binary COPY format and come back; each byte by hand."""

import struct
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema import binary_rows
from schema.binary_columns import Columns
from schema.binary_rows import HEADER, TRAILER, FieldType, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    "float8": st.floats(allow_nan=False),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "bool": st.booleans(),
    "date": st.dates(),
    "timestamptz": st.datetimes(),
    "text": TEXT | st.sampled_from(["a", "b", "", "Ünïcödé 🍷", "\\N", "\uffff\U0010ffff"]),
}
FORMATS = {"float8": ">d", "int8": ">q", "int4": ">i", "bool": ">?"}
PANDAS = {"float8": "float64", "int8": "Int64", "int4": "Int64", "bool": "boolean"}
PANDAS |= dict.fromkeys(("date", "timestamptz"), "datetime64[us]")

many = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def array_of(values: Sequence[Any], type_: FieldType) -> Any:
    if PANDAS.get(type_) == "datetime64[us]":
        return np.array(values, dtype="datetime64[us]")
    return pd.Series(list(values), dtype=object).astype(PANDAS.get(type_, "object")).values  # type: ignore[call-overload]


def one_by_one(values: Sequence[Any], types: Sequence[FieldType]) -> bytes:
    """Encode a row as the manual says it."""
    row = struct.pack(">h", len(values))
    for value, type_ in zip(values, types, strict=True):
        if value is None:
            row += struct.pack(">i", -1)
            continue
        if type_ == "text":
            sent = value.encode()
        elif type_ == "date":
            sent = struct.pack(">i", (value - date(2000, 1, 1)).days)
        elif type_ == "timestamptz":
            since = value - datetime.fromisoformat("2000-01-01")
            sent = struct.pack(">q", since // timedelta(microseconds=1))
        else:
            sent = struct.pack(FORMATS[type_], value)
        row += struct.pack(">i", len(sent)) + sent
    return row


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[FieldType], list[list[Any]]]:
    """Types, and rows of them: NULL nowhere, anywhere or everywhere in a column."""
    types = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=6))
    n_rows = draw(st.integers(0, 12))
    columns = []
    for type_ in types:
        cells = draw(
            st.sampled_from([VALUES[type_], VALUES[type_] | st.none(), st.none()]).flatmap(
                lambda cell: st.lists(cell, min_size=n_rows, max_size=n_rows)
            )
        )
        columns.append(cells)
    return types, columns


@many
@given(table=tables(), at_once=st.sampled_from([1, 40, 10_000]))
def test_rows_are_what_the_manual_says_and_come_back(
    table: tuple[list[FieldType], list[list[Any]]], at_once: int
) -> None:
    types, columns = table
    n_rows = len(columns[0])
    arrays = [array_of(cells, type_) for cells, type_ in zip(columns, types, strict=True)]
    rows = [one_by_one(row, types) for row in zip(*columns, strict=True)]

    labels = [pd.Categorical(cells) if cells.dtype == object else cells for cells in arrays]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_rows, "BLOCK_BYTES", at_once)
        assert b"".join(encode(arrays, types, n_rows)) == b"".join([HEADER, *rows, TRAILER])
        assert b"".join(encode(labels, types, n_rows)) == b"".join([HEADER, *rows, TRAILER])

    read = Columns(types)
    for first in range(0, n_rows, 5):
        read.append(rows[first : first + 5])
    for found, expected in zip(read.take(), arrays, strict=True):
        assert found.dtype == expected.dtype
        if found.dtype == np.float64:
            assert np.asarray(found).tobytes() == expected.tobytes()
        else:
            pd.testing.assert_series_equal(pd.Series(found), pd.Series(expected))


@pytest.mark.parametrize("length", [0, 1, 3, binary_rows.SHORT_TEXT * 50])
def test_short_and_long_texts_come_back(length: int) -> None:
    texts = np.array(["é" * length, None, "x" * (length + 1), "🍷"], dtype=object)
    _, block, _ = encode([texts, 1.5, texts], ["text", "float8", "text"], 4)
    assert block == b"".join(
        one_by_one([text, 1.5, text], ["text", "float8", "text"]) for text in texts
    )
    read = Columns(["text", "float8", "text"])
    read.append([one_by_one([text, 1.5, text], ["text", "float8", "text"]) for text in texts])
    first, numbers, second = read.take()
    assert list(first) == list(second) == texts.tolist()
    assert list(numbers) == [1.5] * 4


@pytest.mark.parametrize("n_lengths", [binary_rows.FEW_LENGTHS - 1, binary_rows.FEW_LENGTHS + 5])
def test_texts_of_few_and_of_many_lengths_are_what_the_manual_says(n_lengths: int) -> None:
    texts = np.array([None, *("x" * length for length in range(n_lengths))] * 2, dtype=object)
    types: list[FieldType] = ["float8", "text"]
    _, block, _ = encode([2.5, texts], types, len(texts))
    assert block == b"".join(one_by_one([2.5, text], types) for text in texts)


def test_a_repeated_text_is_in_memory_once_per_block() -> None:
    read = Columns(["text"])
    read.append([one_by_one([word], ["text"]) for word in ("red", "white") * 100])
    (words,) = read.take()
    assert len({id(word) for word in words}) == 2


def test_a_plain_value_stands_in_every_row() -> None:
    types: list[FieldType] = ["text", "int4", "int8", "float8", "bool", "text", "float8", "text"]
    values: list[Any] = ["training", 7, -(2**63), -0.0, True, None, np.nan, ""]
    rows = [one_by_one([*values[:6], None, ""], types)] * 3
    assert b"".join(encode(values, types, 3)) == b"".join([HEADER, *rows, TRAILER])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_what_is_missing_in_text_is_null_and_all_else_is_its_str(missing: Any) -> None:
    cells = np.array([missing, 1, np.str_("a"), "b"], dtype=object)
    expected = [one_by_one([text], ["text"]) for text in (None, "1", "a", "b")]
    assert b"".join(encode([cells], ["text"], 4)) == b"".join([HEADER, *expected, TRAILER])


def test_nan_is_null_in_a_column_and_nan_in_an_array() -> None:
    numbers = np.array([np.nan, np.inf])
    _, block, _ = encode([numbers, numbers[:, None]], ["float8", "float8[]"], 2)
    array = struct.pack(">5i", 1, 0, 701, 1, 1) + struct.pack(">i", 8)
    assert block == (
        struct.pack(">hii", 2, -1, 32) + array + struct.pack(">d", np.nan)
        + struct.pack(">hidi", 2, 8, np.inf, 32) + array + struct.pack(">d", np.inf)
    )  # fmt: skip


@pytest.mark.parametrize("n_items", [0, 1, 3])
def test_arrays_come_back_as_lists(n_items: int) -> None:
    items = np.arange(4.0 * n_items).reshape(4, n_items) / 3
    _, block, _ = encode([items], ["float8[]"], 4)
    size = len(block) // 4
    rows = [block[place : place + size] for place in range(0, len(block), size)]
    read = Columns(["float8[]"])
    read.append(rows)
    read.append([rows[1], one_by_one([None], ["float8"]), *rows[:1]])
    (found,) = read.take()
    lists = items.tolist()
    assert found.tolist() == [*lists, lists[1], None, lists[0]]


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">5i2i", 1, 1, 701, 2, 1, -1, -1),
        struct.pack(">5iid", 1, 0, 700, 1, 1, 8, 1.0),
        struct.pack(">7iid", 2, 0, 701, 1, 1, 1, 1, 8, 1.0),
        struct.pack(">i", 0),
    ],
    ids=["NULL inside", "other type", "two dimensions", "cut"],
)
def test_an_array_that_is_no_list_of_numbers_is_refused(sent: bytes) -> None:
    with pytest.raises(ValueError, match="no plain list"):
        Columns(["float8[]"]).append([struct.pack(">hi", 1, len(sent)) + sent])


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (["int4"], ["int8"]),
        (["int4"], ["int4", "int4"]),
        (["int4", "int4"], ["int4"]),
        (["text"], ["bool"]),
    ],
)
@pytest.mark.parametrize("uneven", [False, True])
def test_rows_of_other_types_are_refused(
    sent: list[FieldType], read: list[FieldType], uneven: bool
) -> None:
    full = ["four" if type_ == "text" else 5 for type_ in sent]
    rows = [one_by_one(full, sent)] * 2
    if uneven:
        rows.insert(0, one_by_one([None] * len(sent), sent))
    with pytest.raises(ValueError, match="other fields"):
        Columns(read).append(rows)


@pytest.mark.parametrize(
    ("cells", "type_", "error"),
    [
        (np.zeros(3), "float8", ValueError),
        (np.array([0.5, 1]), "int8", TypeError),
        (np.array([1, 2]), "bool", TypeError),
        (np.array(["1", "2"], dtype=object), "float8", TypeError),
        (np.array([0, 2**31]), "int4", OverflowError),
        (pd.array([None, -(2**31) - 1], "Int64"), "int4", OverflowError),
        (np.array([1, 2]), "date", TypeError),
        (np.array(["2024-01-01", "2024-01-01T00:01"], "M8[s]"), "date", TypeError),
        (
            np.array(["2024-01-01", "NaT"], "M8[ns]") + np.timedelta64(1, "ns"),
            "timestamptz",
            TypeError,
        ),
        (np.array(["\ud800", ""], dtype=object), "text", UnicodeEncodeError),
    ],
)
def test_what_would_be_changed_is_refused(cells: Any, type_: FieldType, error: Any) -> None:
    with pytest.raises(error):
        list(encode([cells], [type_], 2))


def test_a_row_of_a_date_that_is_null_everywhere_comes_back() -> None:
    read = Columns(["date", "timestamptz"])
    read.append([one_by_one([None, None], ["date", "timestamptz"])] * 3)
    assert all(np.isnat(found).all() and len(found) == 3 for found in read.take())


def test_a_text_with_a_nul_is_sent_for_postgresql_to_refuse() -> None:
    texts = np.array(["a\0b", "c"], dtype=object)
    _, block, _ = encode([texts], ["text"], 2)
    assert block == b"".join(one_by_one([text], ["text"]) for text in texts)


@pytest.mark.parametrize("type_", [*VALUES, "float8[]"])
def test_no_rows_are_empty_columns_of_the_same_types(type_: FieldType) -> None:
    (found,) = Columns([type_]).take()
    assert len(found) == 0
    assert str(found.dtype) == PANDAS.get(type_, "object")


def test_rows_are_made_in_blocks_of_bounded_size() -> None:
    n_rows = 3 * binary_rows.rows_per_block(13) + 1
    columns = [np.arange(n_rows, dtype=float)] * 13
    blocks = list(encode(columns, ["float8"] * 13, n_rows))
    assert len(blocks) == 2 + 4
    assert max(map(len, blocks)) <= binary_rows.BLOCK_BYTES


@pytest.mark.parametrize("length", [1, 1_000, 100_000, 20_000_000])
def test_long_text_is_in_blocks_of_few_rows(length: int) -> None:
    n_rows = max(2, min(50_000, 40_000_000 // length))
    cells = np.array(["x" * length, None] * (n_rows // 2), dtype=object)
    blocks = list(encode([cells, 1.5], ["text", "float8"], n_rows))
    assert sum(map(len, blocks)) == len(HEADER) + len(TRAILER) + n_rows * (18 + length / 2)
    assert max(map(len, blocks)) <= max(1.1 * binary_rows.BLOCK_TEXT_BYTES, length + 18)
    # Header and trailer, and as few as may be.
    assert len(blocks) == 2 + 2


@pytest.mark.parametrize("character", ["x", "字"])
def test_long_labels_are_in_blocks_of_few_rows(character: str) -> None:
    texts = [character * 30_000 + str(number) for number in range(5)]
    cells = pd.Categorical.from_codes(np.arange(2_000) % 5, texts)
    blocks = list(encode([cells, 1.5], ["text", "float8"], len(cells)))
    assert max(map(len, blocks)) <= 1.1 * binary_rows.BLOCK_TEXT_BYTES
    as_objects = encode([np.asarray(cells, dtype=object), 1.5], ["text", "float8"], len(cells))
    assert b"".join(blocks) == b"".join(as_objects)
