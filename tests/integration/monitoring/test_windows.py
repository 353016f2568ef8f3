"""A production set in windows: counted in one go, kept, and judged one by one."""

import itertools
import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import monitoring.app
import monitoring.settings
from monitoring.service.set_statistics import as_json
from tests.support.counted_tables import ROWS, Counter, rows_of, store, table_of
from tests.support.databases import TestDatabase

TIME = "bottled at"
SVG = "{http://www.w3.org/2000/svg}"


def order_by_time(database: TestDatabase) -> None:
    with database.connection("cellar_simulator") as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE datasets SET time_column = %s", (TIME,))
        connection.commit()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_windows_add_up_to_the_set(counter: Counter, task: str) -> None:
    store(counter.database, table_of(rows_of(0), rows_of(1, moved=0.5), task))
    whole = counter.read()[0].current
    windowed, _ = counter.read_windows(7)
    assert [span.rows for span in windowed.spans] == [572, 571, 572, 571, 572, 571, 571]
    assert [window.features.rows for window in windowed.windows] == [
        span.rows for span in windowed.spans
    ]
    assert sum(span.rows for span in windowed.spans) == ROWS
    parts = [window.features for window in windowed.windows]
    per_row = np.sum([part.missing_per_row for part in parts], axis=0)
    assert per_row.tolist() == list(whole.features.missing_per_row)
    for place, column in enumerate(whole.features.columns):
        mine = [part.columns[place] for part in parts]
        assert np.sum([each.counts for each in mine], axis=0).tolist() == list(column.counts)
        assert sum(each.missing for each in mine) == column.missing
        if column.minimum is not None:
            assert min(each.minimum for each in mine) == column.minimum
            assert max(each.maximum for each in mine) == column.maximum
    predictions = [window.predictions for window in windowed.windows]
    if task == "regression":
        counts = np.sum([part.predicted.counts for part in predictions], axis=0)
        assert counts.tolist() == list(whole.predictions.predicted.counts)
        assert sum(part.labelled for part in predictions) == whole.predictions.labelled
        mean = sum(part.labelled * part.mean_error for part in predictions)
        assert mean / whole.predictions.labelled == pytest.approx(whole.predictions.mean_error)
    else:
        found: dict[Any, int] = {}
        for part in predictions:
            for answer in part.answers:
                key = (answer.actual, answer.predicted)
                found[key] = found.get(key, 0) + answer.rows
        assert found == {(a.actual, a.predicted): a.rows for a in whole.predictions.answers}


def test_windows_follow_the_time_column(counter: Counter) -> None:
    rows = rows_of(1)
    store(counter.database, table_of(rows_of(0), rows))
    order_by_time(counter.database)
    windowed, _ = counter.read_windows(6)
    times = rows[TIME].dropna().dt.tz_localize("UTC")
    # A row without a time is in none of them.
    assert sum(span.rows for span in windowed.spans) == len(times) < len(rows)
    assert len(windowed.spans) == 6
    assert max(span.rows for span in windowed.spans) - len(times) / 6 < 2
    ends = [(pd.Timestamp(span.first), pd.Timestamp(span.last)) for span in windowed.spans]
    assert ends[0][0] == times.min() and ends[-1][1] == times.max()
    for (_, last), (first, _) in itertools.pairwise(ends):
        assert last < first
    for span, (first, last) in zip(windowed.spans, ends, strict=True):
        assert span.rows == times.between(first, last).sum()


def test_rows_of_the_same_time_stay_together(counter: Counter) -> None:
    rows = rows_of(1, 400)
    days = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]).as_unit("us")
    rows[TIME] = days[np.repeat([0, 1, 2], [250, 100, 50])]
    store(counter.database, table_of(rows_of(0), rows))
    order_by_time(counter.database)
    windowed, _ = counter.read_windows(10)
    assert [span.rows for span in windowed.spans] == [250, 100, 50]
    rows[TIME] = days[0]
    store_again = table_of(rows_of(0), rows)
    with counter.database.connection("cellar_simulator") as connection:
        ((dataset_id, version),) = counter.database.rows(
            "SELECT d.id, m.id FROM datasets d JOIN model_versions m ON m.dataset_id = d.id"
        )
        moved, predicted = store_again.sets["production"]
        store_again.load(connection, dataset_id, "production", moved, "other")
        store_again.score(connection, dataset_id, version, "production", predicted, "other")
        connection.commit()
    windowed, _ = counter.read_windows(10)
    assert [span.rows for span in windowed.spans] == [400]


def test_what_was_counted_of_windows_is_kept_beside_the_whole(counter: Counter) -> None:
    store(counter.database, table_of(rows_of(0), rows_of(1)))
    first, fresh = counter.read_windows(5)
    assert [item.counting.window_count for item in fresh] == [None, None, 5, 5]
    # What is kept of windows does not repeat the cells for each.
    written = json.dumps(fresh[2].statistics)
    assert written.count('"edges"') == json.dumps(fresh[0].statistics).count('"edges"') > 0
    again, fresh = counter.read_windows(5)
    assert fresh == ()
    assert [as_json(window.features) for window in again.windows] == [
        as_json(window.features) for window in first.windows
    ]
    assert again.spans == first.spans
    _, fresh = counter.read()
    assert [item.counting.load.set_name for item in fresh] == ["production", "production"]
    assert counter.read_windows(5)[1] == () and counter.read()[1] == ()
    assert len(counter.read_windows(4)[1]) == 2


@pytest.fixture
def ask(cellar_database: TestDatabase) -> Callable[..., Any]:
    """Ask a service with its usual limits: these sets are read whole, their windows counted."""
    settings = cellar_database.settings(monitoring.settings.Settings)
    client = monitoring.app.create_app(settings).test_client()

    def send(status: int = 200, **body: Any) -> Any:
        question = {"dataset_name": "cellar", "metric": "verdict", **body}
        answer = client.post("/root/monitoring", json=question)
        assert answer.status_code == status, answer.text
        return answer.get_json() if answer.mimetype == "application/json" else answer

    return send


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_window_in_which_it_began_is_named(
    cellar_database: TestDatabase, ask: Callable[..., Any], task: str
) -> None:
    changed = pd.concat([rows_of(1, 3000), rows_of(2, 2000, moved=1.0)], ignore_index=True)
    store(cellar_database, table_of(rows_of(0), changed, task))
    plain = ask()
    answer = ask(windows=10)
    assert {key: answer[key] for key in ("signals", "reasons", "retraining_needed")} == {
        key: plain[key] for key in ("signals", "reasons", "retraining_needed")
    }
    assert "windows" not in plain and "windows" not in plain["message"]
    windows = answer["windows"]
    assert [window["number"] for window in windows] == list(range(1, 11))
    assert [window["rows"] for window in windows] == [500] * 10
    assert [window["retraining_needed"] for window in windows] == [False] * 6 + [True] * 4
    assert answer["first_alarm"] == 7
    assert "even" in windows[6]["drifted_features"] and windows[0]["drifted_features"] == []
    measured = "accuracy" if task == "classification" else "mean_absolute_error"
    assert all(window[measured] is not None for window in windows)
    share = changed.iloc[:500].isna().to_numpy().mean()
    assert windows[0]["missing_share"] == pytest.approx(share)
    assert ask(windows=10) == answer


def test_clean_windows_raise_no_alarm(
    cellar_database: TestDatabase, ask: Callable[..., Any]
) -> None:
    store(cellar_database, table_of(rows_of(0), rows_of(1)))
    answer = ask(windows=20)
    assert answer["first_alarm"] is None
    assert not any(window["retraining_needed"] for window in answer["windows"])


def test_a_picture_has_a_bar_for_each_window(
    cellar_database: TestDatabase, ask: Callable[..., Any]
) -> None:
    store(cellar_database, table_of(rows_of(0), rows_of(1, moved=1.0)))
    order_by_time(cellar_database)
    answer = ask(windows=8, format="svg")
    assert answer.mimetype == "image/svg+xml"
    picture = ElementTree.fromstring(answer.text)  # noqa: S314 - our own
    titles = [item.text or "" for item in picture.iter(f"{SVG}title")]
    assert [title.split(",")[0] for title in titles] == [f"Window {n}" for n in range(1, 9)] * 3
    times = ask(windows=8)["windows"]
    assert times[0]["first"] in titles[0] and times[0]["last"] in titles[0]
    assert any("have no time and are in no window" in note for note in ask(windows=8)["notes"])


def test_windows_that_cannot_be_are_refused(
    cellar_database: TestDatabase, ask: Callable[..., Any]
) -> None:
    store(cellar_database, table_of(rows_of(0, 200), rows_of(1, 100)))
    refused = ask(400, windows=4)
    assert refused["error"] == "Too many windows"
    assert "100 rows" in refused["message"] and "3 at most" in refused["message"]
    assert len(ask(windows=3)["windows"]) == 3
    for body in ({"windows": 1}, {"windows": 101}, {"format": "svg"}, {"metric": "report"}):
        assert ask(400, **{"windows": 2, **body} if "metric" in body else body)["details"]
