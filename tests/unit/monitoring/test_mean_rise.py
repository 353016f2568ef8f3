"""Whether a mean rose beyond chance, by counting and against scipy."""

import numpy as np
import pytest
from scipy import stats

from monitoring.service.mean_rise import PERMUTED_UP_TO_ROWS, rise_p_value


def test_few_values_are_dealt_out_in_every_way() -> None:
    # Of the 20 ways to choose three of six values one has the largest sum.
    assert rise_p_value(np.array([1.0, 2, 3]), np.array([4.0, 5, 6])) == pytest.approx(1 / 20)
    assert rise_p_value(np.array([4.0, 5, 6]), np.array([1.0, 2, 3])) == pytest.approx(1.0)


def test_equal_values_have_not_risen() -> None:
    assert rise_p_value(np.full(5, 2.0), np.full(9, 2.0)) == 1.0


def test_the_same_values_give_the_same_p_value() -> None:
    random = np.random.default_rng(1)
    before, after = np.abs(random.normal(size=80)), np.abs(random.normal(size=80)) + 0.2
    assert rise_p_value(before, after) == rise_p_value(before, after) < 0.05


def test_many_values_are_compared_by_welchs_test() -> None:
    random = np.random.default_rng(2)
    before, after = random.normal(size=PERMUTED_UP_TO_ROWS + 1), random.normal(size=500) + 0.1
    expected = stats.ttest_ind(after, before, equal_var=False, alternative="greater").pvalue
    assert rise_p_value(before, after) == expected


def test_unchanged_skewed_errors_are_seldom_called_larger() -> None:
    random = np.random.default_rng(3)
    found = [
        rise_p_value(random.exponential(size=30), random.exponential(size=90)) <= 0.05
        for _ in range(200)
    ]
    assert sum(found) <= 18  # of 200 at 5 %: 10 expected, 18 is the 99 % point
