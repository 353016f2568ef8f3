"""Rows as callers send them, and what is said of those that cannot be compared."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.errors import InvalidRows
from monitoring.repository.drift_references import _values
from monitoring.service.drift_rows import MOST_COLUMNS, pair_columns, read_rows, stored_table


def problems(refused: Any) -> dict[str, str]:
    return {item.path: item.problem for item in refused.value.details}


def test_lists_and_records_give_the_same_columns() -> None:
    lists = read_rows([[1, "a"], [2.5, None]], "data", ["x", "y"])
    records = read_rows([{"x": 1, "y": "a"}, {"y": None, "x": 2.5}], "data")
    assert lists.columns == records.columns == ("x", "y")
    assert [list(column) for column in lists.values] == [[1, 2.5], ["a", None]]
    assert [list(column) for column in records.values] == [[1, 2.5], ["a", None]]


def test_unnamed_columns_get_names() -> None:
    assert read_rows([[1, 2]], "data").columns == ("x0", "x1")


@pytest.mark.parametrize(
    ("rows", "path", "problem"),
    [
        ([], "data", "holds no row"),
        ([[]], "data", "has 0 columns; 1 to 1000 are possible"),
        ([[0] * (MOST_COLUMNS + 1)], "data", "has 1001 columns; 1 to 1000 are possible"),
        ([[1, 2], [3]], "data.1", "has 1 values instead of 2 (x0, x1)"),
        ([[1], {"x": 1}], "data.1", "lists and records are mixed"),
        ([{"x": 1}, [1]], "data.1", "lists and records are mixed"),
        ([[1], 5], "data.1", "is neither a list nor a record"),
        ([7], "data.0", "is neither a list nor a record"),
        ([{"x": 1}, {}], "data.1.x", "is missing; null is a missing value"),
        ([{"x": 1}, {"x": 1, "y": 2}], "data.1.y", "is no column (x)"),
        ([[1], [None], ["a"]], "data.2.x0", "is text; the column held a number before"),
        ([[True], [0.5]], "data.1.x0", "is a number; the column held true or false before"),
        ([[1], [[2]]], "data.1.x0", "is neither number, text, true nor false"),
    ],
)
def test_rows_that_cannot_be_read_are_named(rows: Any, path: str, problem: str) -> None:
    with pytest.raises(InvalidRows) as refused:
        read_rows(rows, "data")
    assert problems(refused) == {path: problem}


def test_columns_that_are_not_the_references_are_named() -> None:
    reference = read_rows([{"x": 1, "y": 2}], "reference")
    with pytest.raises(InvalidRows) as refused:
        pair_columns(reference, read_rows([{"x": 1, "z": 2}], "data"))
    assert problems(refused) == {
        "data.0.y": "is missing",
        "data.0.z": "is no column of the reference",
    }


def test_lists_and_records_cannot_be_compared_without_names() -> None:
    with pytest.raises(InvalidRows, match="send records"):
        pair_columns(read_rows([[1]], "reference"), read_rows([{"x": 1}], "data"))


def test_another_kind_of_value_is_named() -> None:
    reference = read_rows([{"x": 1}, {"x": None}], "reference")
    with pytest.raises(InvalidRows) as refused:
        pair_columns(reference, read_rows([{"x": None}, {"x": "1"}], "data"))
    assert problems(refused) == {"data.1.x": "is text; the reference holds a number"}


def test_texts_that_are_all_times_are_compared_as_numbers() -> None:
    reference = read_rows([["1970-01-02"], [None], ["1970-01-03"]], "reference", ["x"])
    (pair,) = pair_columns(reference, read_rows([["1970-01-02T12:00:00Z"]], "data", ["x"]))
    assert pair.kind == "datetime"
    assert list(pair.current) == [1.5]
    assert list(pair.reference[[0, 2]]) == [1, 2] and np.isnan(pair.reference[1])
    (pair,) = pair_columns(reference, read_rows([["1970-01-02"], ["later"]], "data", ["x"]))
    assert pair.kind == "text"
    (pair,) = pair_columns(reference, read_rows([[None]], "data", ["x"]))
    assert pair.kind == "datetime"


def test_booleans_stored_as_numbers_are_booleans() -> None:
    reference = read_rows([[1.0], [0.0], [None]], "reference", ["x"])
    (pair,) = pair_columns(reference, read_rows([[True], [False]], "data", ["x"]))
    assert pair.kind == "boolean"
    assert list(pair.reference) == ["true", "false", None]
    with pytest.raises(InvalidRows):
        pair_columns(read_rows([[2.0]], "reference", ["x"]), read_rows([[True]], "data", ["x"]))


def test_booleans_of_a_set_are_booleans() -> None:
    values = _values(pd.Series([True, None, False], dtype="boolean"))
    (pair,) = pair_columns(
        stored_table(("x",), (values,), 3), read_rows([[True], [False]], "data", ["x"])
    )
    assert pair.kind == "boolean"
    assert list(pair.reference) == ["true", None, "false"]


def test_a_side_without_values_takes_the_kind_of_the_other() -> None:
    (pair,) = pair_columns(
        read_rows([[None]], "reference", ["x"]), read_rows([["a"]], "data", ["x"])
    )
    assert pair.kind == "text" and list(pair.reference) == [None]
    (empty,) = pair_columns(
        read_rows([[None]], "reference", ["x"]), read_rows([[None]], "data", ["x"])
    )
    assert empty.kind == "unknown" and np.isnan(empty.reference).all()


def test_stored_columns_are_paired_in_their_own_order() -> None:
    reference = stored_table(["b", "a"], [np.array([1.0, np.nan]), ["u", None]], 2)
    pairs = pair_columns(reference, read_rows([{"a": "u", "b": 3}], "data"))
    assert [(pair.name, pair.kind) for pair in pairs] == [("b", "number"), ("a", "text")]
