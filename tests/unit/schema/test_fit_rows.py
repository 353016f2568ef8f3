"""Which rows a sample to fit to consists of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schema.fit_rows import LEAST_OF_CLASS, MOST_CELLS, drawn_numbers, most_rows_of, shares_of

Chunk = tuple[NDArray[np.int64], NDArray[np.int64]]


def counted(*rows: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64)


def chunks_of(numbers: NDArray[np.int64], strata: NDArray[np.int64], size: int) -> list[Chunk]:
    starts = range(0, len(numbers), size)
    return [(numbers[at : at + size], strata[at : at + size]) for at in starts]


@pytest.mark.parametrize(
    ("counts", "most", "shares"),
    [
        ((600, 300, 100), 100, (60, 30, 10)),
        ((1000,), 60, (60,)),
        # A rare class keeps what a search's folds need, or all that it has.
        ((10_000, 100, 3), 100, (87, 10, 3)),
        # Fewer rows than that for each class: shared out evenly, but one of each in any case.
        ((500, 500, 500, 500), 8, (2, 2, 2, 2)),
        ((500, 500, 500), 2, (1, 1, 1)),
    ],
)
def test_shares(counts: tuple[int, ...], most: int, shares: tuple[int, ...]) -> None:
    assert tuple(shares_of(counted(*counts), most)) == shares


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=30), st.integers(30, 20_000))
def test_shares_add_up_and_lose_no_class(counts: list[int], most: int) -> None:
    shares = shares_of(counted(*counts), most)
    assert shares.sum() == min(most, sum(counts))
    least = min(LEAST_OF_CLASS, most // len(counts))
    assert all(
        min(least, count) <= share <= count for share, count in zip(shares, counts, strict=True)
    )


def test_same_rows_whatever_order_they_come_in() -> None:
    random = np.random.default_rng(1)
    strata = random.integers(0, 3, 5_000)
    quotas = counted(100, 7, 1)
    numbers = np.arange(5_000)
    drawn = drawn_numbers(chunks_of(numbers, strata, 5_000), quotas)
    for size in (1, 37, 400):
        order = random.permutation(5_000)
        assert np.array_equal(
            drawn_numbers(chunks_of(numbers[order], strata[order], size), quotas), drawn
        )
    assert np.bincount(strata[drawn]).tolist() == [100, 7, 1]
    assert (np.diff(drawn) > 0).all()


def test_rows_are_drawn_evenly_from_the_whole_set() -> None:
    numbers = np.arange(100_000)
    drawn = drawn_numbers([(numbers, np.zeros(100_000, np.int64))], counted(10_000))
    tenths = np.bincount(drawn // 10_000, minlength=10)
    # Hypergeometric, with a standard deviation of 28.5: five of them.
    assert (np.abs(tenths - 1_000) < 143).all()
    # And nothing in a row's number decides, such as its being even.
    assert abs(int((drawn % 2).sum()) - 5_000) < 237


def test_nothing_to_draw_from() -> None:
    assert drawn_numbers([], counted(0, 0)).tolist() == []


def test_a_wide_table_is_fitted_on_fewer_rows() -> None:
    assert most_rows_of(250_000, 28) == 250_000
    assert most_rows_of(250_000, 56) == MOST_CELLS // 56 == 125_000
