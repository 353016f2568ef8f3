"""Statistics by hand-computed values."""

import math

import pytest

from tracking.errors import UnknownMetric
from tracking.service.experiments import statistics_metrics
from tracking.service.statistics import statistics_of


def test_all_eight_of_four_values() -> None:
    found = statistics_of([5.0, 1.0, 2.0, 2.0])
    assert found.mean == 2.5
    assert found.median == 2.0
    # Deviations 2.5, -1.5, -0.5, -0.5: squares 6.25 + 2.25 + 0.25 + 0.25 = 9, divided by 4.
    assert found.variance == 2.25
    assert found.std_dev == 1.5
    assert (found.min, found.max, found.mode) == (1.0, 5.0, 2.0)
    # Sorted 1 2 2 5: the 25th percentile lies at 0.75 of the way from 1 to 2, the 75th at 0.25
    # of the way from 2 to 5.
    assert found.iqr == pytest.approx(2.75 - 1.75)


def test_quartiles_are_interpolated_linearly() -> None:
    assert statistics_of([1.0, 2.0, 3.0, 4.0]).iqr == pytest.approx(3.25 - 1.75)


def test_the_mode_is_the_smallest_of_the_most_frequent() -> None:
    assert statistics_of([3.0, 3.0, 1.0, 1.0, 2.0]).mode == 1.0


def test_without_repetition_the_mode_is_the_smallest_value() -> None:
    assert statistics_of([0.9, 0.7, 0.8]).mode == 0.7


def test_one_value_has_no_spread() -> None:
    found = statistics_of([0.5])
    assert (found.variance, found.std_dev, found.iqr) == (0.0, 0.0, 0.0)
    assert found.mean == found.median == found.min == found.max == found.mode == 0.5


def test_no_value_gives_nothing_instead_of_nan() -> None:
    assert set(statistics_of([]).model_dump().values()) == {None}


def test_no_token_is_nan() -> None:
    values = statistics_of([0.1] * 7).model_dump().values()
    assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("chosen", [None, [], ["all"]])
def test_all_or_none_means_the_four_model_metrics(chosen: list[str] | None) -> None:
    assert statistics_metrics(chosen) == [
        "model_accuracy",
        "model_f1_score",
        "model_precision",
        "model_recall",
    ]


def test_a_metric_may_be_named_in_full_or_as_in_the_answer() -> None:
    assert statistics_metrics(["recall", "model_recall", "duration"]) == ["model_recall"]
    assert statistics_metrics(["cpu_usage"]) == ["system_cpu_usage"]


def test_an_unknown_metric_is_refused_by_naming_the_valid_ones() -> None:
    with pytest.raises(UnknownMetric, match="model_accuracy, model_f1_score"):
        statistics_metrics(["model_beauty"])
