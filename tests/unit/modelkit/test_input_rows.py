"""What of a request's rows reaches a model, and how the rest is refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkit.input_rows import MOST_DETAILS, InputColumn, InputRows, InvalidRows

WINE = InputRows([InputColumn("alcohol", "double"), InputColumn("ash", "double", required=False)])
MIXED = InputRows(
    [
        InputColumn("size", "double"),
        InputColumn("count", "integer"),
        InputColumn("fresh", "boolean"),
        InputColumn("colour", "string", categories=("red", "blue")),
        InputColumn("note", "string", required=False),
    ]
)
GOOD: dict[str, Any] = {"size": 1.5, "count": 3, "fresh": True, "colour": "red", "note": None}

finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


def problems(call: Any, *arguments: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(InvalidRows) as refusal:
        call(*arguments, **more)
    return {detail.path: detail.problem for detail in refusal.value.details}


@given(st.lists(st.tuples(finite, finite | st.none()), min_size=1, max_size=20))
def test_rows_and_records_of_numbers_become_the_same_array(rows: list[tuple[Any, Any]]) -> None:
    lists = [list(row) for row in rows]
    expected = np.array([[float(a), math.nan if b is None else float(b)] for a, b in rows])
    array = WINE.from_lists(lists)
    assert isinstance(array, np.ndarray) and array.dtype == np.float64
    np.testing.assert_array_equal(array, expected)
    records = [{"ash": ash, "alcohol": alcohol} for alcohol, ash in lists]
    np.testing.assert_array_equal(WINE.from_records(records), expected)


@given(
    st.lists(
        st.lists(
            finite
            | st.none()
            | st.booleans()
            | st.text(max_size=3)
            | st.sampled_from([math.nan, math.inf, -math.inf, 10**400, [], {}]),
            min_size=1,
            max_size=3,
        )
        | st.sampled_from([None, "row", 5, {}]),
        max_size=4,
    )
)
def test_whatever_comes_is_an_array_of_finite_numbers_or_refused(rows: list[Any]) -> None:
    try:
        array = WINE.from_lists(rows)
    except InvalidRows:
        found = problems(WINE.from_lists, rows)
        assert found and all(path.startswith("data") for path in found)
        return
    assert isinstance(array, np.ndarray)
    assert array.shape == (len(rows), 2)
    for row, given_row in zip(array.tolist(), rows, strict=True):
        assert math.isfinite(row[0])
        assert math.isfinite(row[1]) or given_row[1] is None


def test_missing_values_go_where_the_column_is_not_required() -> None:
    given = [{"alcohol": 1, "ash": None}]
    np.testing.assert_array_equal(WINE.from_records(given), [[1, math.nan]])
    assert problems(WINE.from_records, [{"alcohol": 1}]) == {
        "records.0.ash": "is missing; send null where it is not known"
    }
    assert problems(WINE.from_lists, [[None, 1]]).keys() == {"data.0.alcohol"}
    # NaN is a number that is none, not a missing value.
    assert problems(WINE.from_lists, [[1, math.nan]]) == {"data.0.ash": "must be a finite number"}


@pytest.mark.parametrize(
    "value, word",
    [
        (True, "not true or false"),
        ("5.1", "not text ('5.1')"),
        ("x" * 100, "…"),
        ([1], "not a list"),
        ({}, "not an object"),
        (math.inf, "finite"),
        (10**400, "finite"),
        (None, "null"),
    ],
)
def test_what_is_no_number_is_named_with_row_and_column(value: Any, word: str) -> None:
    found = problems(WINE.from_lists, [[1.0, 2.0], [value, 2.0]])
    assert list(found) == ["data.1.alcohol"]
    assert word in found["data.1.alcohol"]


def test_the_message_names_the_first_place_and_counts_the_rest() -> None:
    with pytest.raises(InvalidRows, match=r"Row 1, column alcohol must be a number.*\(1 more"):
        WINE.from_lists([[1.0, 2.0], ["x", "y"]])


def test_details_have_an_end() -> None:
    assert len(problems(WINE.from_lists, [["x", "y"]] * 100)) == MOST_DETAILS


def test_rows_of_another_length_and_kind() -> None:
    found = problems(WINE.from_lists, [[1.0], [1.0, 2.0, 3.0], {"alcohol": 1}, 7])
    assert found["data.0"] == "has 1 value, the model takes 2: alcohol, ash"
    assert found["data.1"].startswith("has 3 values")
    assert found["data.2"] == found["data.3"] == "must be a list of 2 values"


def test_missing_and_extra_keys() -> None:
    assert problems(WINE.from_records, [{"ash": 1, "color": 2}]) == {
        "records.0.alcohol": "is missing",
        "records.0.color": "is no column of the model, which takes alcohol, ash",
    }
    assert problems(WINE.from_records, [[1, 2]]).keys() == {"records.0"}


def test_no_rows() -> None:
    for call in (WINE.from_lists, WINE.from_records, MIXED.from_lists):
        with pytest.raises(InvalidRows, match="at least one row"):
            call([])


def test_a_single_row_has_no_number_in_its_path() -> None:
    found = problems(WINE.from_lists, [["x", 1]], path="features", single=True)
    assert list(found) == ["features.alcohol"]
    found = problems(WINE.from_lists, [[1]], path="features", single=True)
    assert list(found) == ["features"]


def test_mixed_columns_stay_as_they_are() -> None:
    assert not MIXED.numeric
    assert MIXED.from_records([GOOD]) == [[1.5, 3, True, "red", None]]
    assert MIXED.from_lists([list(GOOD.values())]) == [[1.5, 3, True, "red", None]]


@pytest.mark.parametrize(
    "column, value, word",
    [
        ("count", 1.5, "whole number"),
        ("count", True, "not true or false"),
        ("count", 2**53 + 2, "between"),
        ("count", -(2.0**80), "between"),
        ("fresh", 1, "true or false"),
        ("fresh", "true", "true or false"),
        ("colour", 5, "must be text"),
        ("colour", "green", "one of red, blue, not 'green'"),
        ("colour", None, "null"),
        ("note", 5, "must be text"),
    ],
)
def test_each_type_refuses_the_others(column: str, value: Any, word: str) -> None:
    found = problems(MIXED.from_records, [{**GOOD, column: value}])
    assert list(found) == [f"records.0.{column}"]
    assert word in found[f"records.0.{column}"]


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert MIXED.from_records([{**GOOD, "count": 3.0}])


def test_truth_values_and_categories_of_numeric_models() -> None:
    rows = InputRows(
        [InputColumn("fresh", "boolean"), InputColumn("grade", "integer", categories=(1, 2))]
    )
    assert rows.numeric
    np.testing.assert_array_equal(rows.from_lists([[True, 2], [False, 1]]), [[1, 2], [0, 1]])
    assert problems(rows.from_lists, [[True, 3]]) == {"data.0.grade": "must be one of 1, 2, not 3"}


def test_long_lists_of_names_are_cut() -> None:
    wide = InputRows([InputColumn(f"c{number}", "double") for number in range(64)])
    assert problems(wide.from_lists, [[1]])["data.0"].endswith("and 52 more")
