"""Dates and times as features: the calendar, every model's two forms, and the texts of requests."""

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from modelkit import storage
from modelkit.calendar_parts import CalendarParts
from modelkit.features import columns_of, feature_frame, json_rows, rows_of, typed_frame
from modelkit.input_rows import InputColumn, InputRows, InvalidRows
from modelkit.parity import make_serving_form
from modelkit.pipeline import build_pipeline
from modelkit.registry import registry
from modelkit.servable import ServableModel
from schema.day_numbers import days_since_1970, times_of_days
from servicekit.iso_times import days_of, parse_time, text_of_days, time_text

many = settings(max_examples=300, deadline=None, derandomize=True, database=None)
FIRST = datetime.fromisoformat("2012-01-01")


@many
@given(time=st.datetimes())
def test_the_parts_are_those_of_the_calendar(time: datetime) -> None:
    [parts] = CalendarParts().fit_transform(pd.DataFrame({"t": np.array([time], "M8[us]")}))
    assert parts[0] == days_since_1970(np.array([time], "M8[us]"))[0]
    assert parts[1:4].tolist() == [time.month, time.weekday(), time.timetuple().tm_yday]
    hour = (time - datetime.combine(time.date(), datetime.min.time())) / timedelta(hours=1)
    assert parts[4] == pytest.approx(hour, abs=1e-4)


def test_a_missing_time_has_no_parts() -> None:
    times = pd.DataFrame({"a": np.array(["NaT", "2024-02-29"], "M8[us]"), "b": [1.0, np.nan]})
    parts = CalendarParts().fit_transform(times)
    assert np.isnan(parts[0, ::2]).all() and np.isnan(parts[1, 1::2]).all()
    assert parts[1, ::2].tolist() == [19782.0, 2.0, 3.0, 60.0, 0.0]


@many
@given(time=st.datetimes(max_value=datetime.fromisoformat("2149-01-01")))
def test_days_are_exact_to_the_microsecond(time: datetime) -> None:
    text = f"{time.isoformat()}Z"
    parsed = parse_time(text)
    assert parsed is not None and time_text(parsed) == text
    if time.year > 1790:
        given_back = parse_time(text_of_days(days_of(parsed)))
        assert given_back == parsed
        exact = np.array([time], "M8[us]")
        assert times_of_days(days_since_1970(exact)) == exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("2024-02-29 10:00", "2024-02-29T10:00:00Z"),
        ("2024-02-29T10:00:00.25+05:30", "2024-02-29T04:30:00.250000Z"),
        ("2024-02-29T23:00-0200", "2024-03-01T01:00:00Z"),
        ("2024/02/29", "2024-02-29T00:00:00Z"),
        ("2024/02/29 10:00:00+01", "2024-02-29T09:00:00Z"),
        ("2024/02-29", None),
        ("02/29/2024", None),
        ("0001-01-01T00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00+01", None),
        ("2023-02-29", None),
        ("0000-01-01", None),
        ("2024-02-29T24:00", None),
        ("2024-02-29T10", None),
        ("2024-2-9", None),
        ("20240229", None),
        ("2024-W09-4", None),
        ("29.02.2024", None),
        ("٢٠٢٤-٠٢-٢٩", None),
        ("2024-02-29T10:00:00.1234567", None),
        ("2024-02-29T10:00+99:00", None),
        ("now", None),
        ("", None),
    ],
)
def test_texts_are_read_strictly(text: str, expected: str | None) -> None:
    found = parse_time(text)
    assert (None if found is None else time_text(found)) == expected


def table(n_rows: int, *, text: bool) -> pd.DataFrame:
    """Rows whose label is the half of the year of `day`; all columns have gaps."""
    draw = np.random.default_rng(7)
    days = np.datetime64("2012-01-01", "us") + draw.integers(0, 2000, n_rows) * np.timedelta64(
        1, "D"
    )
    moments = days + draw.integers(0, 86_400_000_000, n_rows).astype("m8[us]")
    frame = pd.DataFrame({"day": days, "moment": moments, "size": draw.normal(size=n_rows)})
    if text:
        frame["colour"] = draw.choice(["red", "white", "rosé"], n_rows).astype(object)
    for place, name in enumerate(frame.columns):
        frame.loc[frame.index[place::23], name] = None
    return feature_frame(frame)


def labels_of(features: pd.DataFrame, task: str) -> np.ndarray[Any, Any]:
    month = features["day"].dt.month.fillna(1).to_numpy()
    return month.astype(float) * 1.5 if task == "regression" else np.where(month > 6, "b", "a")


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
@pytest.mark.parametrize(
    ("task", "model"),
    [(entry.task, entry.name) for entry in registry().values()],
)
def test_both_forms_of_every_model_say_the_same(task: str, model: str, text: bool) -> None:
    features = table(260, text=text)
    columns = columns_of(features)
    assert [column.type for column in columns][:3] == ["datetime", "datetime", "double"]
    labels = labels_of(features, task)
    pipeline = build_pipeline(model, {}, columns, ["a", "b"] if task == "classification" else ())
    pipeline.fit(features[:200], labels[:200])
    loaded = storage.loads(storage.dumps(pipeline))
    assert isinstance(loaded, Pipeline)
    held_out = features[200:]
    form = make_serving_form(loaded, columns, rows_of(held_out), None, "held out")
    assert form.runtime == "onnx", form.parity
    assert form.parity["precision"] == "float64"

    served = ServableModel(form)
    assert served.numeric is not text
    # What a request sends gives what the pipeline says of the table.
    taken = served.rows_from_lists(json_rows(held_out))
    predicted = served.predict(taken).labels
    expected = pipeline.predict(held_out).tolist()
    if task == "regression":
        np.testing.assert_allclose(predicted, expected, rtol=1e-5)
        assert np.corrcoef(predicted, labels[200:])[0, 1] > 0.5
    else:
        assert predicted == expected
        assert np.mean(np.array(predicted) == labels[200:]) > 0.8


def test_rows_of_requests_are_read_and_written_back() -> None:
    columns = [InputColumn("when", "datetime", required=False), InputColumn("x", "double")]
    inputs = InputRows(columns)
    assert inputs.numeric
    rows = inputs.from_records([{"when": "1970-01-02T12:00+00:00", "x": 1}, {"when": None, "x": 2}])
    assert isinstance(rows, np.ndarray)
    assert rows[0].tolist() == [1.5, 1.0] and math.isnan(rows[1, 0])
    assert inputs.as_json(rows) == [["1970-01-02T12:00:00Z", 1.0], [None, 2.0]]
    with_text = InputRows([*columns, InputColumn("name", "string")])
    listed = with_text.from_lists([["1970-01-02", 1, "a"]])
    assert listed == [[1.0, 1, "a"]]
    assert with_text.as_json(listed) == [["1970-01-02", 1, "a"]]


@pytest.mark.parametrize("value", ["tomorrow", "2024-02-30", 19000, True, ["2024-01-01"], ""])
def test_what_is_no_time_is_refused_by_its_place(value: Any) -> None:
    columns = [InputColumn("x", "double"), InputColumn("when", "datetime")]
    with pytest.raises(InvalidRows) as caught:
        InputRows(columns).from_lists([[1, "2024-01-01"], [1, value]])
    [detail] = caught.value.details
    assert detail.path == "data.1.when"
    assert "date or time" in detail.problem


def test_rows_that_were_stored_as_json_are_the_same_frame() -> None:
    features = table(50, text=True)
    pd.testing.assert_frame_equal(typed_frame(json_rows(features), columns_of(features)), features)
