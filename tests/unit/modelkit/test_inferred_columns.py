"""What columns are, by the JSON values of their rows."""

from typing import Any

import pytest

from modelkit.inferred_columns import inferred_columns
from modelkit.input_rows import InputColumn


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, 2.5, None], "double"),
        ([None, None], "double"),
        ([], "double"),
        ([True, None, False], "boolean"),
        (["a", None, "2024-01-01"], "string"),
        (["2024-01-01", None, "2024-01-01T10:00:00Z"], "datetime"),
        (["2024-01-01", "2024-13-01"], "string"),
        (["1", "2"], "string"),
        (["01/02/2024", "02/02/2024"], "string"),
        # One value of another kind is the one that is wrong.
        ([1, "x", 2], "double"),
        (["x", 1, 2], "double"),
        (["x", 1, "y"], "string"),
        ([True, 1, False], "boolean"),
        # Of equally many the first.
        ([1, "x"], "double"),
        (["x", 1], "string"),
        ([[1], {}], "double"),
    ],
)
def test_a_column_is_what_most_of_its_values_are(values: list[Any], type_: Any) -> None:
    [found] = inferred_columns([[value] for value in values], ["a"])
    assert found == InputColumn("a", type_, required=False)
    [found] = inferred_columns([{"a": value} for value in values], ["a"])
    assert found == InputColumn("a", type_, required=False)


def test_columns_are_told_apart_and_rows_of_other_forms_passed_over() -> None:
    rows = [["x", 1], 3, ["y"], None, ["z", 2], {"b": 3}, "text"]
    assert [column.type for column in inferred_columns(rows, ["a", "b"])] == ["string", "double"]
