"""An order of any length: every number once, the same at every time, and random."""

from collections import Counter
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from simulator.permutation import Permutation


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(size=st.integers(1, 3_000), seed=st.integers(0, 2**63), order=st.integers(0, 2**31))
def test_every_number_comes_out_once(size: int, seed: int, order: int) -> None:
    found = Permutation(seed)(np.arange(size), size, order)
    assert sorted(found.tolist()) == list(range(size))


def test_it_is_the_same_at_every_time_and_on_every_machine() -> None:
    assert Permutation(42)(np.arange(8), 8, 0).tolist() == [2, 6, 4, 5, 0, 3, 7, 1]
    rows = np.array([0, 1, 9_999_999])
    assert Permutation(42)(rows, 10_000_000, 3).tolist() == [2725233, 6214241, 976162]


def test_a_number_alone_comes_out_as_among_others() -> None:
    order = Permutation(7)
    together = order(np.arange(1_000), 1_000, 2)
    alone = [int(order(np.array([number]), 1_000, 2)[0]) for number in range(1_000)]
    assert together.tolist() == alone


def test_orders_of_several_sizes_at_once() -> None:
    sizes = np.array([5, 300, 2**31 - 1, 2**62])
    orders = np.arange(4)
    found = Permutation(1)(np.array([4, 7, 11, 2**62 - 1]), sizes, orders)
    for number, size, order, place in zip((4, 7, 11, 2**62 - 1), sizes, orders, found, strict=True):
        assert 0 <= place < size
        assert place == Permutation(1)(np.array([number]), int(size), int(order))[0]


@pytest.mark.parametrize("size", [3, 4])
def test_every_order_comes_as_often_as_any_other(size: int) -> None:
    counts = Counter(
        tuple(Permutation(seed)(np.arange(size), size, 0).tolist()) for seed in range(6_000)
    )
    assert len(counts) == factorial(size)
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_neighbours_do_not_stay_together() -> None:
    found = Permutation(3)(np.arange(100_000), 100_000, 0)
    for apart in (1, 2, 317):  # About the square root, the digits that a round works on.
        assert abs(np.corrcoef(found[apart:], found[:-apart])[0, 1]) < 0.02
    assert np.histogram(found[:10_000], bins=10, range=(0, 100_000))[0] == pytest.approx(
        [1_000] * 10, rel=0.12
    )
