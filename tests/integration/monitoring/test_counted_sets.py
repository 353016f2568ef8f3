"""Long sets: counted where they are, on a real PostgreSQL, against the same rows in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg2 import sql

import monitoring.app
import monitoring.settings
from monitoring.repository import counting_sql
from monitoring.repository.set_scans import fetched
from monitoring.service.counted_rule import judge_counted, precision
from monitoring.service.retraining_rule import feature_drift, judge
from monitoring.service.retraining_signals import RetrainingRule
from monitoring.service.set_statistics import CountedSets, as_json
from schema.number_limits import LARGEST_SUMMED
from schema.samples import Column
from tests.support.counted_tables import Counter, rows_of, store, table_of
from tests.support.databases import TestDatabase
from tests.support.scored_tables import ScoredTable

RULE = RetrainingRule()


def kept_of(counted: CountedSets) -> list[dict[str, Any]]:
    """Return all that is kept of two sets."""
    sets = (counted.reference, counted.current)
    return [as_json(part) for each in sets for part in (each.features, each.predictions)]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("moved", [0.0, 0.5])
def test_counts_say_what_the_rows_say(counter: Counter, task: str, moved: float) -> None:
    store(counter.database, table_of(rows_of(0), rows_of(1, moved=moved), task, 0.1 + moved))
    counted, _ = counter.read()
    comparison = counter.sets.compare(counter.sets.get("cellar", None))
    exact, ours = judge(comparison, RULE), judge_counted(counted, RULE)
    assert ours.retraining_needed == exact.retraining_needed == bool(moved)
    within = precision(counted)
    assert max(within.values()) < 0.01
    for before, after in zip(exact.signals, ours.signals, strict=True):
        assert (after.name, after.fired, after.limit) == (before.name, before.fired, before.limit)
        assert list(after.columns) == list(before.columns)
        assert after.statement == before.statement
        if after.name == "prediction_drift" and task == "regression":
            assert after.value is not None and before.value is not None
            assert before.value - 0.01 <= after.value <= before.value + 1e-12
        else:
            assert after.value == pytest.approx(before.value)
        if after.name in ("missing_values", "accuracy_drop"):
            assert after.p_value == pytest.approx(before.p_value, rel=1e-6)
    for cells, before, after in zip(
        counted.reference.features.cells,
        counted.reference.features.columns,
        counted.current.features.columns,
        strict=True,
    ):
        values = comparison.current[cells.name]
        assert after.missing == values.isna().sum()
        assert after.present == values.notna().sum()
        if cells.kind == "number" and after.present:
            assert after.minimum == values.min() and after.maximum == values.max()
            assert after.mean == pytest.approx(values.mean())
            assert after.deviation == pytest.approx(values.std())
        assert before.missing == comparison.reference[cells.name].isna().sum()
        found = feature_drift(comparison, cells.name)
        assert (found is None) == (not before.present or not after.present)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_ranges_say_together_what_one_says(
    counter: Counter, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(counter.database, table_of(rows_of(0), rows_of(1, moved=0.5), task))
    by_range, _ = counter.read()
    windows_by_range, _ = counter.read_windows(3)
    monkeypatch.setattr(counting_sql, "RANGE_ROWS", 10**6)
    counter.database.execute("DELETE FROM set_statistics")
    at_once, fresh = counter.read()
    assert len(fresh) == 4
    windows_at_once, fresh = counter.read_windows(3)
    assert len(fresh) == 2
    for found, expected in zip(kept_of(by_range), kept_of(at_once), strict=True):
        assert_same(found, expected)
    for found, expected in zip(windows_by_range.windows, windows_at_once.windows, strict=True):
        assert_same(as_json(found.features), as_json(expected.features))
        assert_same(as_json(found.predictions), as_json(expected.predictions))


def assert_same(found: Any, expected: Any) -> None:
    """Compare values in lists and mappings; numbers that were added up in other order nearly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        for one, another in zip(found, expected, strict=True):
            assert_same(one, another)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    else:
        assert found == expected


@pytest.mark.parametrize("row_count", [0, 1, 699, 700, 701, 2100, 2101])
def test_each_row_is_in_one_range(counter: Counter, row_count: int) -> None:
    """Also one whose number is larger than it should be."""
    which = counting_sql.ranges(row_count)
    assert len(which) == max(1, -(-row_count // 700))
    statement = sql.SQL("SELECT DISTINCT {} FROM generate_series(0, {}) AS s (row_number)").format(
        sql.SQL(" + ").join(sql.SQL("({})::int").format(condition) for condition in which),
        sql.Literal(row_count + 5),
    )
    with counter.database.connection() as connection:
        assert fetched(statement, connection) == [(1,)]


def test_a_value_that_cannot_be_squared_is_counted_and_has_no_mean(counter: Counter) -> None:
    rows = rows_of(2, 500)
    rows.loc[:2, "even"] = [1e200, np.inf, -np.inf]
    store(counter.database, table_of(rows, rows))
    counted, _ = counter.read()
    column = counted.reference.features.columns[0]
    assert column.present == rows["even"].notna().sum()
    assert (column.maximum, column.minimum, column.mean, column.deviation) == (None,) * 4


@pytest.mark.parametrize("large", [9e139, 9e149, 1.7e308])
def test_large_numbers_in_long_sets_are_counted(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, large: float
) -> None:
    monkeypatch.setattr(counting_sql, "RANGE_ROWS", 100_000)
    n_rows = 101_000
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"x": draw.normal(size=n_rows), "target": draw.normal(size=n_rows)})
    predicted = rows["target"].to_numpy() + 0.1
    rows.loc[:3, "x"], rows.loc[:1, "target"] = large, [large, -large]
    predicted[:2] = [-large, large]
    columns = [Column("x", "number"), Column("target", "number")]
    sets = dict.fromkeys(("testing", "production"), (rows, predicted))
    store(counter.database, ScoredTable("cellar", columns, "target", "regression", [], sets))
    counted, _ = counter.read()
    assert not judge_counted(counted, RULE).retraining_needed
    (column,) = counted.reference.features.columns
    assert (column.missing, column.maximum) == (0, large)
    assert (column.mean is None) == (large > LARGEST_SUMMED)


def test_more_columns_than_fit_into_a_statement(counter: Counter) -> None:
    names = [f"x{place}" for place in range(230)]
    draw = np.random.default_rng(0)
    frames = [
        pd.DataFrame({name: draw.normal(size=300) for name in names}).mask(
            draw.random((300, 230)) < 0.1
        )
        for _ in range(2)
    ]
    columns = [*(Column(name, "number") for name in names), Column("target", "integer")]
    answers = np.zeros(300, dtype=int)
    sets = {
        name: (frame.assign(target=answers), answers)
        for name, frame in zip(("testing", "production"), frames, strict=True)
    }
    store(counter.database, ScoredTable("cellar", columns, "target", "classification", [0], sets))
    counted, _ = counter.read()
    found = counted.current.features
    assert [column.missing for column in found.columns] == frames[1].isna().sum().tolist()
    per_row = frames[1].isna().sum(axis=1)
    assert list(found.missing_per_row) == np.bincount(per_row, minlength=231).tolist()


def test_kept_counts_are_read_until_other_rows_or_another_version_come(counter: Counter) -> None:
    table = table_of(rows_of(0, 500), rows_of(1, 500))
    store(counter.database, table)
    first, fresh = counter.read()
    assert len(fresh) == 4
    again, fresh = counter.read()
    assert fresh == ()
    assert kept_of(again) == kept_of(first)
    with counter.database.connection("cellar_simulator") as connection:
        ((dataset_id,),) = counter.database.rows("SELECT id FROM datasets")
        version = table.deploy(connection, dataset_id)
        for set_name in ("testing", "production"):
            predicted = table.sets[set_name][1]
            table.score(connection, dataset_id, version, set_name, predicted, f"h-{set_name}")
        connection.commit()
    _, fresh = counter.read()
    assert [item.counting.model_version_id for item in fresh] == [version, version]
    with counter.database.connection("cellar_simulator") as connection:
        rows, predicted = table_of(rows_of(0, 500), rows_of(2, 600)).sets["production"]
        table.load(connection, dataset_id, "production", rows, "other")
        table.score(connection, dataset_id, version, "production", predicted, "other")
        connection.commit()
    found, fresh = counter.read()
    assert [item.counting.load.set_name for item in fresh] == ["production", "production"]
    assert as_json(found.reference.features) == as_json(first.reference.features)
    assert found.current.features.rows == 600
    # Of the rows that are gone nothing is left.
    kept = "SELECT DISTINCT content_hash FROM set_statistics WHERE set_name = 'production'"
    assert counter.database.rows(kept) == [("other",)]


def test_a_sample_is_the_same_every_time_and_has_its_own_predictions(counter: Counter) -> None:
    store(counter.database, table_of(rows_of(0), rows_of(1)))
    scored = counter.sets.get("cellar", None)
    whole, sample = counter.sets.compare(scored), counter.sets.compare(scored, 300)
    pd.testing.assert_frame_equal(sample.current, counter.sets.compare(scored, 300).current)
    assert len(sample.reference) == len(sample.current) == 300
    pd.testing.assert_frame_equal(sample.current, whole.current.loc[sample.current.index])
    assert sample.current.index.is_unique


@pytest.fixture
def ask(cellar_database: TestDatabase) -> Callable[..., Any]:
    """Ask a service for which every set is long."""
    settings = cellar_database.settings(
        monitoring.settings.Settings, retraining_read_max_rows=0, evidently_max_rows=200
    )
    client = monitoring.app.create_app(settings).test_client()

    def send(**body: Any) -> Any:
        answer = client.post("/root/monitoring", json={"dataset_name": "cellar", **body})
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    return send


def test_answers_say_what_was_counted_and_what_was_sampled(
    cellar_database: TestDatabase, ask: Callable[..., Any]
) -> None:
    store(cellar_database, table_of(rows_of(0), rows_of(1, moved=0.5), off=0.5))
    verdict = ask(metric="verdict")
    assert verdict["retraining_needed"] is True
    assert verdict["message"] == {
        "retraining_needed": True,
        "reasons": verdict["reasons"],
    }
    assert len(verdict["notes"]) == 1
    assert "All 4000 testing and 4000 production rows were counted" in verdict["notes"][0]
    summary = ask(metric="summary", tests={"data_drift": True})
    assert summary["signals"] == verdict["signals"]
    assert summary["total_tests"] > 0
    for name in ("testing", "production"):
        note = f"Evidently saw 200 of the 4000 {name} rows, drawn at random with the seed 42."
        assert note in summary["notes"]
    assert ask(metric="verdict") == verdict
    assert cellar_database.rows("SELECT count(*) FROM set_statistics") == [(4,)]


def test_short_sets_have_a_verdict_of_their_own_too(
    cellar_database: TestDatabase,
) -> None:
    store(cellar_database, table_of(rows_of(0, 60), rows_of(1, 60)))
    settings = cellar_database.settings(monitoring.settings.Settings)
    client = monitoring.app.create_app(settings).test_client()
    answer = client.post("/root/monitoring", json={"metric": "verdict", "dataset_name": "cellar"})
    assert answer.status_code == 200 and answer.get_json()["notes"] == []
    assert cellar_database.rows("SELECT count(*) FROM set_statistics") == [(0,)]
