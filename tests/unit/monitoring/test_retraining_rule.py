"""The retraining rule on frames small enough to check by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.service.comparison import Comparison
from monitoring.service.retraining_rule import (
    accuracy_drop,
    data_drift,
    error_growth,
    feature_drift,
    judge,
    missing_values,
    prediction_drift,
    value_drift,
)
from monitoring.service.retraining_signals import RetrainingRule

RULE = RetrainingRule()
ALPHA = RULE.false_alarm_rate / 4


def compared(
    reference: dict[str, Any], current: dict[str, Any], categorical: tuple[str, ...] = ()
) -> Comparison:
    """Compare two frames; target and prediction are right everywhere unless given."""
    frames = []
    for columns in (reference, current):
        frame = pd.DataFrame(columns)
        for name in ("target", "prediction"):
            if name not in frame:
                frame[name] = pd.Series(["a"] * len(frame), dtype=object)
        frames.append(frame)
    features = [name for name in frames[0] if name not in ("target", "prediction")]
    return Comparison(
        reference=frames[0],
        current=frames[1],
        numerical=[name for name in features if name not in categorical],
        categorical=list(categorical),
        target="target",
        prediction="prediction",
        classes=["a", "b"],
    )


def test_distance_of_disjoint_features_is_one_with_the_exact_p_value() -> None:
    found = feature_drift(compared({"x": [1.0, 2.0, 3.0]}, {"x": [4.0, 5.0, 6.0]}), "x")
    # 2 of the 20 ways to share out six values keep the sets apart.
    assert found == (1.0, pytest.approx(2 / 20))


def test_missing_values_are_left_out_of_a_features_distribution() -> None:
    found = feature_drift(compared({"x": [1.0, 2.0]}, {"x": [1.0, np.nan, 2.0]}), "x")
    assert found is not None
    assert found[0] == 0.0


@pytest.mark.parametrize("reference", [[np.nan, np.nan], []])
def test_feature_without_values_cannot_be_compared(reference: list[float]) -> None:
    assert feature_drift(compared({"x": reference}, {"x": [1.0]}), "x") is None


def test_categories_differ_by_half_the_sum_of_the_differences_of_shares() -> None:
    found = feature_drift(
        compared({"x": ["p", "p", "q", "q"]}, {"x": ["p", "q", "q", "q"]}, ("x",)), "x"
    )
    assert found is not None
    assert found[0] == pytest.approx(0.25)


def test_drift_is_reported_with_the_columns_it_is_in() -> None:
    still = list(np.linspace(0, 1, 40))
    moved = list(np.linspace(2, 3, 40))
    signal = data_drift(compared({"x": still, "y": still}, {"x": moved, "y": still}), RULE, ALPHA)
    assert signal.fired
    assert signal.value == 0.5
    assert list(signal.columns) == ["x"]


def test_drift_in_too_few_features_does_not_ask_for_retraining() -> None:
    still = list(np.linspace(0, 1, 40))
    reference = dict.fromkeys("abcde", still)
    current = {**reference, "a": list(np.linspace(2, 3, 40))}
    signal = data_drift(compared(reference, current), RULE, ALPHA)
    assert not signal.fired
    assert list(signal.columns) == ["a"]


def test_accuracy_compares_the_shares_of_right_answers() -> None:
    rows = 20
    signal = accuracy_drop(
        compared(
            {"x": [0.0] * rows, "target": ["a"] * rows, "prediction": ["a"] * rows},
            {"x": [0.0] * rows, "target": ["a"] * rows, "prediction": ["b"] * 10 + ["a"] * 10},
        ),
        RULE,
        ALPHA,
    )
    assert signal.fired
    assert signal.value == 0.5
    assert "100.0% in testing to 50.0% in production" in signal.statement


def test_one_wrong_answer_more_is_no_reason() -> None:
    rows = 36
    signal = accuracy_drop(
        compared(
            {"x": [0.0] * rows, "target": ["a"] * rows, "prediction": ["a"] * rows},
            {"x": [0.0] * rows, "target": ["a"] * rows, "prediction": ["b"] + ["a"] * (rows - 1)},
        ),
        RULE,
        ALPHA,
    )
    assert not signal.fired


def test_accuracy_without_labels_says_so_and_does_not_fire() -> None:
    signal = accuracy_drop(
        compared({"x": [1.0], "target": [None]}, {"x": [1.0], "target": [None]}), RULE, ALPHA
    )
    assert (signal.fired, signal.value, signal.p_value) == (False, None, None)


def test_missing_values_fire_where_they_have_grown() -> None:
    signal = missing_values(
        compared(
            {"x": [1.0] * 40, "y": [1.0] * 40}, {"x": [np.nan] * 20 + [1.0] * 20, "y": [1.0] * 40}
        ),
        RULE,
        ALPHA,
    )
    assert signal.fired
    assert signal.value == 0.5
    assert list(signal.columns) == ["x"]


def test_fewer_missing_values_are_no_reason() -> None:
    signal = missing_values(
        compared({"x": [np.nan] * 20 + [1.0] * 20}, {"x": [1.0] * 40}), RULE, ALPHA
    )
    assert not signal.fired


def test_another_mix_of_predictions_fires() -> None:
    half = ["a"] * 20 + ["b"] * 20
    signal = prediction_drift(
        compared(
            {"x": [0.0] * 40, "prediction": half}, {"x": [0.0] * 40, "prediction": ["a"] * 40}
        ),
        RULE,
        ALPHA,
    )
    assert signal.fired
    assert signal.value == pytest.approx(0.5)


def test_verdict_gives_one_reason_for_each_signal_that_fired() -> None:
    still, moved = list(np.linspace(0, 1, 40)), list(np.linspace(2, 3, 40))
    verdict = judge(compared({"x": still}, {"x": moved}), RULE)
    assert verdict.retraining_needed
    assert list(verdict.reasons) == ["1 of 1 features drifted (x)."]
    assert [signal.name for signal in verdict.signals] == [
        "data_drift",
        "missing_values",
        "accuracy_drop",
        "prediction_drift",
    ]


def test_equal_sets_ask_for_nothing() -> None:
    rows = {"x": list(np.linspace(0, 1, 30)), "y": [np.nan, *np.linspace(0, 1, 29)]}
    verdict = judge(compared(rows, rows), RULE)
    assert not verdict.retraining_needed
    assert list(verdict.reasons) == []


def test_empty_production_asks_for_nothing() -> None:
    verdict = judge(compared({"x": [1.0, 2.0]}, {"x": np.array([], dtype=float)}), RULE)
    assert not verdict.retraining_needed


def numbers(reference: list[Any], current: list[Any], moved: float = 0.0) -> Comparison:
    """Compare two sets of a regression by their errors; the predictions are moved in production."""
    frames = []
    for errors, by in ((reference, 0.0), (current, moved)):
        prediction = np.linspace(0.0, 10.0, len(errors)) + by
        truth = prediction + np.array(errors, dtype=float)
        frames.append(pd.DataFrame({"x": prediction, "target": truth, "prediction": prediction}))
    return Comparison(*frames, ["x"], [], "target", "prediction", [], "regression")


def test_an_error_that_grew_asks_for_retraining_with_its_figures() -> None:
    found = error_growth(numbers([1.0, -1.0] * 20, [2.0, -2.0] * 20), RULE, ALPHA)
    assert found.fired
    assert (found.value, found.limit) == (pytest.approx(1.0), 0.1)
    assert found.p_value is not None and found.p_value < ALPHA
    assert found.statement == ("The mean absolute error went from 1 in testing to 2 in production.")


@pytest.mark.parametrize(
    "current",
    [
        [1.05, -1.05] * 20,  # real, yet small
        [1.0, -1.0, 3.0],  # large, yet by chance
        [0.1, -0.1] * 20,  # smaller
    ],
)
def test_an_error_that_is_hardly_larger_or_by_chance_does_not(current: list[float]) -> None:
    assert not error_growth(numbers([1.0, -1.0] * 20, current), RULE, ALPHA).fired


def test_rows_without_a_label_do_not_count_and_none_at_all_says_so() -> None:
    assert error_growth(numbers([1.0, np.nan], [1.0, np.nan]), RULE, ALPHA).value == 0.0
    found = error_growth(numbers([1.0], [np.nan]), RULE, ALPHA)
    assert (found.fired, found.value, found.p_value) == (False, None, None)


def test_any_error_is_more_than_none() -> None:
    found = error_growth(numbers([0.0] * 20, [1.0] * 20), RULE, ALPHA)
    assert (found.fired, found.value) == (True, None)
    same = error_growth(numbers([0.0] * 20, [0.0] * 20), RULE, ALPHA)
    assert (same.fired, same.p_value) == (False, 1.0)


def test_predicted_numbers_that_moved_have_drifted() -> None:
    found = value_drift(numbers([0.0] * 40, [0.0] * 40, moved=8.0), RULE, ALPHA)
    assert found.fired and found.value == pytest.approx(0.8)
    assert "median went from 5 in testing to 13 in production" in found.statement
    assert not value_drift(numbers([0.0] * 40, [0.0] * 40), RULE, ALPHA).fired


def test_a_regression_is_judged_by_four_signals_of_its_own() -> None:
    verdict = judge(numbers([1.0, -1.0] * 20, [2.0, -2.0] * 20), RULE)
    assert [item.name for item in verdict.signals] == [
        "data_drift",
        "missing_values",
        "error_growth",
        "prediction_drift",
    ]
    assert verdict.retraining_needed and len(verdict.reasons) == 1


def test_answers_of_classes_are_found_again_whatever_limits_regressions_get() -> None:
    limits = RULE.limits_of("classification")
    assert "accuracy_drop" in limits and "error_growth" not in limits
    assert "error_growth" in RULE.limits_of("regression")
