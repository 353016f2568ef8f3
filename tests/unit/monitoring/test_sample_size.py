"""The rows needed do what they promise: a large change is found with the stated power."""

import numpy as np
import pytest
from scipy import stats

from monitoring.service.sample_size import (
    LARGE_DISTANCE,
    POWER,
    rows_needed,
    rows_needed_on_both_sides,
)
from monitoring.service.two_sample_tests import compare_categories, compare_numbers

ALPHA = 0.05
RUNS = 300
# A share of 300 runs is this close to its probability in all but one of a thousand seeds.
NOISE = 3.1 * np.sqrt(POWER * (1 - POWER) / RUNS)

SHIFT = 2 * stats.norm.ppf((1 + LARGE_DISTANCE) / 2)
"""Standard deviations by which a normal column moves when its distance is the large one."""


def power_of_numbers(reference_rows: int, rows: int, level: float) -> float:
    draw = np.random.default_rng(7)
    found = [
        compare_numbers(draw.normal(size=reference_rows), draw.normal(SHIFT, size=rows)).p_value
        <= level
        for _ in range(RUNS)
    ]
    return float(np.mean(found))


@pytest.mark.parametrize("reference_rows", [36, 106])
@pytest.mark.parametrize("tests", [1, 13])
def test_a_large_shift_is_found_with_the_stated_power(reference_rows: int, tests: int) -> None:
    rows = rows_needed(reference_rows, tests, ALPHA)
    assert rows is not None
    assert power_of_numbers(reference_rows, rows, ALPHA / tests) >= POWER - NOISE
    # And it is no luxury: with a third of the rows the shift is often missed.
    assert power_of_numbers(reference_rows, rows // 3, ALPHA / tests) < POWER


@pytest.mark.parametrize("cells", [2, 4])
def test_a_large_change_of_categories_is_found_with_the_stated_power(cells: int) -> None:
    rows = rows_needed(200, 13, ALPHA, cells)
    assert rows is not None
    half = cells // 2
    before = np.repeat([(1 + LARGE_DISTANCE) / cells, (1 - LARGE_DISTANCE) / cells], half)
    names = np.array([f"c{number}" for number in range(cells)], dtype=object)
    draw = np.random.default_rng(3)
    found = [
        compare_categories(
            draw.choice(names, 200, p=before), draw.choice(names, rows, p=before[::-1])
        ).p_value
        <= ALPHA / 13
        for _ in range(RUNS)
    ]
    assert np.mean(found) >= POWER - NOISE


def test_more_of_either_needs_less_of_the_other() -> None:
    needs = [rows_needed(rows, 13, ALPHA) for rows in (30, 60, 106, 1000, 100_000)]
    assert all(need is not None for need in needs)
    assert needs == sorted(needs, key=lambda need: -(need or 0))
    tests = [rows_needed(106, count, ALPHA) or 0 for count in (1, 4, 13, 60)]
    assert tests == sorted(tests)


def test_a_tiny_reference_is_never_enough_and_then_both_sides_are_named() -> None:
    assert rows_needed(8, 13, ALPHA) is None
    assert rows_needed(0, 13, ALPHA) is None
    both = rows_needed_on_both_sides(13, ALPHA)
    assert (rows_needed(both, 13, ALPHA) or 0) in (both - 1, both)
    assert (rows_needed(both - 1, 13, ALPHA) or 0) > both - 1


def test_no_test_at_all_counts_as_one() -> None:
    assert rows_needed(100, 0, ALPHA) == rows_needed(100, 1, ALPHA)
