"""The verdict of a drift check: odd columns, false alarms and power, counted over seeds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.service.drift import ColumnPair, DriftResult, DriftRule, check_drift

RULE = DriftRule()
DRAW = np.random.default_rng


def number(reference: Any, current: Any, name: str = "x") -> ColumnPair:
    return ColumnPair(name, "number", np.array(reference, float), np.array(current, float))


def text(reference: list[str | None], current: list[str | None]) -> ColumnPair:
    return ColumnPair("colour", "text", np.array(reference, object), np.array(current, object))


def check(*pairs: ColumnPair, **rule: float) -> DriftResult:
    return check_drift(pairs, replace(RULE, **rule))


def test_a_shifted_column_is_named_and_the_others_are_not() -> None:
    draw = DRAW(0)
    pairs = [number(draw.normal(size=200), draw.normal(size=100), f"x{i}") for i in range(9)]
    found = check(*pairs, number(draw.normal(size=200), draw.normal(2, size=100), "moved"))
    assert found.verdict == "drift" and found.drifted == ["moved"]
    assert found.share_drifted == pytest.approx(0.1)
    moved = found.columns[-1]
    assert moved.test == "kolmogorov_smirnov_exact" and moved.statistic == moved.distance
    assert moved.p_value is not None and moved.adjusted_p_value is not None
    assert moved.p_value <= moved.adjusted_p_value <= moved.threshold == RULE.false_alarm_rate
    assert found.tests == 10


def test_a_share_of_columns_can_be_asked_for() -> None:
    draw = DRAW(0)
    pairs = [number(draw.normal(size=200), draw.normal(size=100), f"x{i}") for i in range(3)]
    pairs.append(number(draw.normal(size=200), draw.normal(2, size=100), "moved"))
    assert check(*pairs, share=0.25).verdict == "drift"
    some = check(*pairs, share=0.5)
    assert some.verdict == "no_drift" and some.drifted == ["moved"]


def test_p_values_are_adjusted_as_benjamini_and_hochberg_say() -> None:
    draw = DRAW(2)
    pairs = [number(draw.normal(size=50), draw.normal(i / 5, size=50), f"x{i}") for i in range(5)]
    found = check(*pairs)
    raw = np.array([column.p_value for column in found.columns])
    adjusted = np.array([column.adjusted_p_value for column in found.columns])
    order = np.argsort(raw)
    steps = raw[order] * 5 / np.arange(1, 6)
    expected = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    assert adjusted[order] == pytest.approx(expected)


def test_a_trifle_in_a_million_rows_is_certain_and_no_drift() -> None:
    draw = DRAW(3)
    rows = 1_000_000
    found = check(number(draw.normal(size=rows), draw.normal(0.02, size=rows)))
    column = found.columns[0]
    assert column.adjusted_p_value is not None and column.adjusted_p_value < 1e-9
    assert column.distance is not None and column.distance < 0.02
    assert found.verdict == "no_drift"
    assert check(number(draw.normal(size=rows), draw.normal(0.4, size=rows))).verdict == "drift"


def test_silence_of_five_rows_means_nothing_and_says_how_many_would() -> None:
    draw = DRAW(4)
    pairs = [number(draw.normal(size=106), draw.normal(size=5), f"x{i}") for i in range(13)]
    found = check(*pairs)
    assert found.verdict == "too_few_rows"
    assert {column.verdict for column in found.columns} == {"too_few_rows"}
    assert found.rows_needed is not None and 5 < found.rows_needed < 40
    enough = [
        number(draw.normal(size=106), draw.normal(size=found.rows_needed), f"x{i}")
        for i in range(13)
    ]
    assert check(*enough).verdict == "no_drift"


def test_a_reference_that_is_too_small_says_so() -> None:
    found = check(number([100, 250, 400], np.arange(500)))
    assert found.verdict == "too_few_rows" and found.rows_needed is None
    assert found.rows_needed_on_both_sides == 23


def test_few_rows_that_are_far_away_are_drift_all_the_same() -> None:
    found = check(number(np.arange(100), [1000, 1001, 1002, 1003]))
    assert found.verdict == "drift"


def test_a_constant_column_is_not_tested_until_it_changes() -> None:
    found = check(number([5] * 60, [5] * 60))
    assert found.verdict == "no_drift" and found.tests == 0
    assert found.columns[0].test is None and "one and the same" in (found.columns[0].note or "")
    assert check(number([5] * 60, [6] * 60)).verdict == "drift"
    # One other value among sixty may be chance.
    assert check(number([5] * 60, [5] * 59 + [6])).verdict == "no_drift"


def test_missing_values_are_a_check_of_their_own() -> None:
    draw = DRAW(5)
    gone = draw.normal(size=100)
    gone[:30] = np.nan
    found = check(number(draw.normal(size=100), gone))
    column = found.columns[0]
    assert found.verdict == "drift" and column.missing.drift
    assert column.missing.difference == pytest.approx(0.3) and column.missing.share == 0.3
    assert column.adjusted_p_value is not None and column.adjusted_p_value > 0.05
    assert found.tests == 2 and column.rows == 70
    # It also sees that values which were missing no longer are.
    assert check(number(gone, draw.normal(size=100))).columns[0].missing.drift


def test_a_column_that_lost_every_value_has_drifted() -> None:
    draw = DRAW(6)
    found = check(number(draw.normal(size=50), [np.nan] * 50))
    column = found.columns[0]
    assert found.verdict == "drift" and column.test is None and column.distance is None
    assert column.note == "The data has no value in this column."
    back = check(number([np.nan] * 50, draw.normal(size=50))).columns[0]
    assert back.drift and back.note == "The reference has no value in this column."


def test_a_column_without_any_value_is_no_drift() -> None:
    found = check(number([np.nan] * 50, [np.nan] * 60))
    assert found.verdict == "no_drift" and found.tests == 0
    assert found.columns[0].missing.test is None
    assert found.columns[0].note == "Neither side has a value in this column."


def test_new_categories_are_named_and_counted() -> None:
    found = check(text(["red"] * 50 + ["green"] * 50, ["red"] * 50 + ["blue"] * 50))
    column = found.columns[0]
    assert found.verdict == "drift"
    assert column.new_categories == ("blue",) and column.new_category_share == 0.5
    one = check(text(["red"] * 50 + ["green"] * 50, ["red"] * 49 + ["green"] * 50 + ["teal", None]))
    assert one.verdict == "no_drift" and one.columns[0].new_categories == ("teal",)


COLUMN = st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None)
@given(COLUMN, COLUMN)
def test_any_columns_give_finite_figures(
    reference: list[float | None], current: list[float | None]
) -> None:
    found = check(number(reference, current))
    column = found.columns[0]
    for value in (column.p_value, column.adjusted_p_value, column.distance, column.missing.p_value):
        assert value is None or 0 <= value <= 1
    assert found.verdict in ("drift", "no_drift", "too_few_rows")
    assert found.drift == column.drift
    swapped = check(number(current, reference)).columns[0]
    assert swapped.p_value == pytest.approx(column.p_value)
    assert swapped.drift == column.drift


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40))
def test_the_order_of_rows_does_not_matter(values: list[float]) -> None:
    reference = list(range(40))
    assert check(number(reference, values)) == check(number(reference, values[::-1]))


def alarms(make: Any, seeds: int) -> float:
    """Return the share of seeds for which drift is found."""
    return float(np.mean([make(DRAW(seed)).drift for seed in range(seeds)]))


def mixed(draw: np.random.Generator, rows: int, reference_rows: int, shift: float) -> DriftResult:
    """Six correlated numbers, one of whole numbers with many ties, missing values, and a text."""
    pairs = []
    common = draw.normal(size=reference_rows), draw.normal(size=rows)
    for place in range(6):
        columns = [side + draw.normal(size=len(side)) for side in common]
        columns[1] += shift * np.sqrt(2)
        if place == 0:
            columns = [np.round(column) for column in columns]
        if place == 1:
            for column in columns:
                column[draw.random(len(column)) < 0.1] = np.nan
        pairs.append(number(*columns, name=f"x{place}"))
    colours = np.array(["red", "green", "blue", "mauve"], dtype=object)
    shares = [0.5, 0.3, 0.17, 0.03]
    pairs.append(
        ColumnPair(
            "colour",
            "text",
            draw.choice(colours, reference_rows, p=shares),
            draw.choice(colours, rows, p=shares),
        )
    )
    return check_drift(pairs, RULE)


@pytest.mark.parametrize(("rows", "reference_rows"), [(10, 40), (60, 60), (40, 150)])
def test_without_drift_alarms_are_as_rare_as_promised(rows: int, reference_rows: int) -> None:
    seeds = 300
    found = alarms(lambda draw: mixed(draw, rows, reference_rows, 0.0), seeds)
    # Above that only in one of a thousand choices of seeds if the rate is 5 %.
    assert found <= 0.05 + 3.1 * np.sqrt(0.05 * 0.95 / seeds)


def test_in_large_samples_the_effect_floor_leaves_no_false_alarm() -> None:
    assert alarms(lambda draw: mixed(draw, 5000, 5000, 0.0), 30) == 0.0


@pytest.mark.parametrize(("rows", "shift", "least"), [(40, 1.0, 0.95), (60, 0.8, 0.9)])
def test_a_shift_is_found(rows: int, shift: float, least: float) -> None:
    assert alarms(lambda draw: mixed(draw, rows, 150, shift), 100) >= least
