"""Lines of the prediction log: what COPY reads back is what was answered."""

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_model.prediction_rows import COLUMNS, answered_lines, failed_lines

_MARKS = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
values = st.one_of(
    st.floats(allow_infinity=False), st.integers(-(2**53), 2**53), st.booleans(), texts, st.none()
)


def read(lines: str) -> list[dict[str, str | None]]:
    """Read COPY's text format as PostgreSQL does."""
    rows = []
    assert lines.endswith("\n")
    for line in lines[:-1].split("\n"):
        fields = line.split("\t")
        assert len(fields) == len(COLUMNS)
        rows.append(
            {
                name: None if field == "\\N" else _unescaped(field)
                for name, field in zip(COLUMNS, fields, strict=True)
            }
        )
    return rows


def _unescaped(field: str) -> str:
    parts, position = [], 0
    while position < len(field):
        pair = field[position : position + 2]
        known = _MARKS.get(pair)
        assert known is not None or field[position] != "\\", field
        parts.append(field[position] if known is None else known)
        position += 1 if known is None else 2
    return "".join(parts)


@given(st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=4), st.data())
def test_rows_come_back(inputs: list[list[Any]], data: st.DataObject) -> None:
    labels = data.draw(st.lists(texts, min_size=len(inputs), max_size=len(inputs)))
    shares = [[0.25, 0.75]] * len(inputs)
    lines = answered_lines("id", "next", 7, inputs, labels, shares, 2**40, is_class=True)
    for number, row in enumerate(read(lines)):
        assert row["row_number"] == str(number)
        expected = [
            None if isinstance(value, float) and math.isnan(value) else value
            for value in inputs[number]
        ]
        assert json.loads(row["inputs"] or "") == expected
        assert row["predicted_class"] == str(labels[number])
        assert row["predicted_value"] is None
        assert row["probabilities"] == "{0.25,0.75}"
        assert row["latency_us"] == str(2**31 - 1)
        assert row["error"] is None


@given(st.floats(allow_nan=False))
def test_a_number_keeps_every_bit(value: float) -> None:
    (row,) = read(answered_lines("id", "current", 1, [[1]], [value], None, 5, is_class=False))
    assert float(row["predicted_value"] or "") == value
    assert row["predicted_class"] is None
    assert row["probabilities"] is None


@given(st.text(max_size=2_000))
def test_a_failure_says_why(why: str) -> None:
    (row,) = read(failed_lines("id", "shadow", 1, [[1.0, None]], why, 5))
    assert row["error"]
    assert "\0" not in row["error"]
    assert len(row["error"]) <= 500
    assert [row[name] for name in ("predicted_class", "predicted_value", "probabilities")] == [
        None
    ] * 3
