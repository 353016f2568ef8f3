"""The tests of two samples: exact where that is promised, against brute force and SciPy."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitoring.service import two_sample_tests
from monitoring.service.two_sample_tests import (
    EXACT_UP_TO_ROWS,
    compare_categories,
    compare_numbers,
    compare_shares,
)

# Few values: most of them are tied.
SAMPLES = st.lists(st.integers(0, 3).map(float), min_size=1, max_size=6)


def gap(reference: list[float], current: list[float]) -> float:
    """The Kolmogorov-Smirnov statistic as its definition has it."""
    return max(
        abs(
            sum(value <= point for value in reference) / len(reference)
            - sum(value <= point for value in current) / len(current)
        )
        for point in [*reference, *current]
    )


@settings(max_examples=60, deadline=None)
@given(SAMPLES, SAMPLES)
def test_small_samples_have_the_p_value_of_every_relabelling(
    reference: list[float], current: list[float]
) -> None:
    found = compare_numbers(np.array(reference), np.array(current))
    pooled, n = [*reference, *current], len(reference)
    observed = gap(reference, current)
    gaps = []
    for chosen in combinations(range(len(pooled)), n):
        first = [pooled[place] for place in chosen]
        rest = [pooled[place] for place in range(len(pooled)) if place not in chosen]
        gaps.append(gap(first, rest))
    assert found.distance == pytest.approx(observed)
    assert found.p_value == pytest.approx(np.mean(np.array(gaps) >= observed - 1e-12))


@pytest.mark.parametrize(("n", "m"), [(7, 11), (21, 36), (100, 40), (300, 200)])
def test_without_ties_it_is_scipys_exact_test(n: int, m: int) -> None:
    draw = np.random.default_rng(n)
    reference, current = draw.normal(size=n), draw.normal(0.3, size=m)
    found = compare_numbers(reference, current)
    expected = stats.ks_2samp(reference, current, method="exact")
    assert found.test == "kolmogorov_smirnov_exact"
    assert found.distance == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert compare_numbers(current, reference).p_value == pytest.approx(found.p_value)


def test_large_samples_are_asymptotic_and_agree_with_the_exact_test() -> None:
    draw = np.random.default_rng(1)
    reference, current = draw.normal(size=EXACT_UP_TO_ROWS), draw.normal(0.15, size=600)
    found = compare_numbers(reference, current)
    assert found.test == "kolmogorov_smirnov_asymptotic"
    exact = stats.ks_2samp(reference, current, method="exact").pvalue
    assert found.p_value == pytest.approx(exact, rel=0.2)


def test_disjoint_samples_have_distance_one_and_a_tiny_but_positive_p_value() -> None:
    found = compare_numbers(np.arange(400.0), np.arange(500.0, 900.0))
    assert found.distance == 1.0
    # Two of all the ways to share them out; no rounding may make it 0 or negative.
    assert 0 < found.p_value < 1e-200


@given(SAMPLES)
def test_the_same_values_twice_are_no_difference(sample: list[float]) -> None:
    found = compare_numbers(np.array(sample), np.array(sample))
    assert (found.distance, found.p_value) == (0.0, 1.0)


def texts(**counts: int) -> np.ndarray:
    """Return so many of each text."""
    return np.array([name for name, count in counts.items() for _ in range(count)], dtype=object)


def test_frequent_categories_are_pearsons_chi_squared_test() -> None:
    found = compare_categories(texts(a=30, b=40, c=30), texts(a=50, b=30, c=20))
    expected = stats.chi2_contingency([[30, 40, 30], [50, 30, 20]], correction=False)
    assert found.test == "chi_squared" and found.cells == 3
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.distance == pytest.approx(0.2)


def pooled(reference: np.ndarray, current: np.ndarray) -> list[list[int]]:
    counts = two_sample_tests._counts(reference, current)
    return two_sample_tests._pooled(counts).tolist()


def test_rare_categories_share_a_cell_that_is_not_rare_itself() -> None:
    reference = texts(a=60, b=32, c=2, d=3, e=3)
    current = texts(a=60, b=30, c=3, d=3, f=4)
    assert pooled(reference, current) == [[60, 32, 8], [60, 30, 10]]
    # One rare category alone goes together with the least frequent of the others.
    assert pooled(texts(a=60, b=37, c=3), texts(a=60, b=36, d=4)) == [[60, 40], [60, 40]]


@pytest.mark.parametrize("new", [{"new": 20}, {"new": 30}, {f"n{i}": 5 for i in range(20)}])
def test_what_changes_among_rare_categories_alone_is_found(new: dict[str, int]) -> None:
    """Each of the twenty known ones is too rare for a cell of its own, and so is what is new."""
    reference = texts(**{f"known{number}": 50 for number in range(20)})
    found = compare_categories(reference, texts(**new))
    assert found.test == "chi_squared_relabelled"
    assert found.p_value < 0.001
    assert found.distance == pytest.approx(1.0)


def test_relabelling_is_pearsons_statistic_and_about_its_p_value() -> None:
    draw = np.random.default_rng(3)
    shares = 1 / np.arange(1.0, 41.0)
    shares /= shares.sum()
    mixed = shares * 0.97 + 0.03 / 40
    table = np.stack([draw.multinomial(4000, shares), draw.multinomial(3000, mixed)])
    found = two_sample_tests._relabelled(table)
    expected = stats.chi2_contingency(table, correction=False)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_relabelling_counts_categories_that_are_there_once_like_any_other() -> None:
    table = np.array([[3, 1, 0, 1, 0, 1, 2], [1, 0, 1, 0, 1, 4, 0]])
    found = two_sample_tests._relabelled(table)
    assert found.statistic == pytest.approx(stats.chi2_contingency(table)[0])
    first = [place for place, count in enumerate(table[0]) for _ in range(count)]
    pooled = first + [place for place, count in enumerate(table[1]) for _ in range(count)]
    totals, as_far, count = table.sum(axis=0), 0, 0
    for chosen in combinations(range(len(pooled)), len(first)):
        cells = np.bincount([pooled[place] for place in chosen], minlength=7)
        other = np.stack([cells, totals - cells])
        as_far += stats.chi2_contingency(other)[0] >= found.statistic - 1e-9
        count += 1
    assert found.p_value == pytest.approx(as_far / count, abs=0.02)


def test_rare_categories_raise_no_more_false_alarms_than_promised() -> None:
    draw = np.random.default_rng(11)
    shares = 1 / np.arange(1.0, 31.0)
    shares /= shares.sum()
    names = np.array([f"c{number}" for number in range(30)], dtype=object)
    found = np.array(
        [
            compare_categories(
                draw.choice(names, 60, p=shares), draw.choice(names, 25, p=shares)
            ).p_value
            for _ in range(300)
        ]
    )
    # 300 draws at exactly 5 % give more than 7.7 % once in 60 times; the seed is fixed.
    assert (found <= 0.05).mean() <= 0.077


def test_new_categories_are_found() -> None:
    found = compare_categories(texts(red=50, green=50), texts(blue=50, grey=50))
    assert found.distance == pytest.approx(1.0)
    assert found.p_value < 1e-30


def test_ids_that_never_come_twice_are_no_drift() -> None:
    reference = np.array([f"id {number}" for number in range(300)], dtype=object)
    current = np.array([f"id {number}" for number in range(300, 600)], dtype=object)
    assert compare_categories(reference, current).p_value > 0.05


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_small_shares_are_fishers_test(a: int, b: int, c: int, d: int) -> None:
    found = compare_shares(a, a + b, c, c + d)
    assert found.test == "fisher_exact"
    assert found.distance == pytest.approx(abs(a / (a + b) - c / (c + d)))
    assert found.p_value == pytest.approx(stats.fisher_exact([[a, b], [c, d]]).pvalue)


def test_large_shares_are_chi_squared_but_small_cells_are_not() -> None:
    assert compare_shares(500, 1000, 600, 1000).test == "chi_squared"
    assert compare_shares(1, 100_000, 3, 100_000).test == "fisher_exact"


def test_shares_of_nothing_and_of_everything_do_not_differ() -> None:
    assert compare_shares(0, 10, 0, 20).p_value == 1.0
    assert compare_shares(10, 10, 20, 20).p_value == 1.0
