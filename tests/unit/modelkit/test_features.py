"""A table's columns in the types that pipelines take, and as rows of JSON and of models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelkit.features import (
    columns_of,
    example_of,
    feature_frame,
    has_text,
    json_rows,
    rows_of,
    typed_frame,
)
from modelkit.input_rows import InputColumn, InputRows

ROWS = pd.DataFrame(
    {
        "size": [1.5, np.nan, 3.0],
        "count": pd.array([1, None, 3], dtype="Int64"),
        'so "fresh"': pd.array([True, None, False], dtype="boolean"),
        "лепесток; a": pd.Series(["a", None, ""], dtype=object),
    }
).set_index(pd.Index([7, 8, 9], name="sample_id"))
COLUMNS = (
    InputColumn("size", "double", required=False),
    InputColumn("count", "double", required=False),
    InputColumn('so "fresh"', "boolean", required=False),
    InputColumn("лепесток; a", "string", required=False),
)
JSON = [[1.5, 1.0, True, "a"], [None] * 4, [3.0, 3.0, False, ""]]


def test_types_follow_the_table() -> None:
    frame = feature_frame(ROWS)
    assert [str(kind) for kind in frame.dtypes] == ["float64", "float64", "boolean", "object"]
    assert list(frame.columns) == list(ROWS.columns)
    assert frame.index.equals(ROWS.index)
    assert columns_of(frame) == COLUMNS
    assert has_text(frame)


def test_numbers_alone_are_float64_as_ever() -> None:
    numbers = ROWS[["size", "count"]]
    pd.testing.assert_frame_equal(feature_frame(numbers), numbers.astype("float64"))
    np.testing.assert_array_equal(
        rows_of(feature_frame(numbers)), numbers.astype("float64").to_numpy()
    )


def test_what_looks_like_numbers_but_is_text_stays_text() -> None:
    frame = feature_frame(pd.DataFrame({"zip": pd.Series(["01", "02"], dtype=object)}))
    assert columns_of(frame) == (InputColumn("zip", "string", required=False),)


def test_every_mark_of_a_missing_text_becomes_none() -> None:
    texts = pd.DataFrame({"t": pd.Series([None, np.nan, pd.NA, "a"], dtype=object)})
    assert [value is None for value in feature_frame(texts)["t"]] == [True, True, True, False]


def test_rows_as_json_and_as_models_take_them() -> None:
    frame = feature_frame(ROWS)
    assert json_rows(frame) == rows_of(frame) == JSON
    assert json_rows(frame)[0][2] is True
    assert InputRows(COLUMNS).from_lists(json_rows(frame)) == JSON
    without_text = frame.drop(columns="лепесток; a")
    np.testing.assert_array_equal(
        rows_of(without_text), [[1.5, 1.0, 1.0], [np.nan] * 3, [3.0, 3.0, 0.0]]
    )


@pytest.mark.parametrize("rows", [JSON, JSON[1:2], []], ids=["some", "gaps only", "none"])
def test_json_becomes_the_same_frame(rows: Sequence[Sequence[Any]]) -> None:
    frame = typed_frame(rows, COLUMNS)
    assert columns_of(frame) == COLUMNS
    assert json_rows(frame) == rows
    # Without a warning, which pandas has for frames of other types.
    together = pd.concat([feature_frame(ROWS), frame], ignore_index=True)
    assert json_rows(together) == [*JSON, *rows]


def test_an_example_has_plain_truth_values() -> None:
    example = example_of(feature_frame(ROWS), 2)
    assert example['so "fresh"'].tolist() == [True, None]
    assert example["лепесток; a"].tolist() == ["a", None]
    numbers = feature_frame(ROWS[["size"]])
    pd.testing.assert_frame_equal(example_of(numbers, 5), numbers)
