"""Training, testing and production rows of a dataset."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from contracts.vocabulary import SET_NAMES, SetName

Places = dict[SetName, NDArray[np.int64]]
"""Which rows each set has, in which order."""

TRAINING_SHARE = 0.6

FEWEST_ROWS = 5
"""Rows of a class from which on every set can have its share of it."""


def split_places(n_rows: int, strata: NDArray[np.integer] | None, seed: int) -> Places:
    """Cut the rows 0 to `n_rows` - 1 into three sets: which rows, in which order.

    60 % (rounded down) are for training; what is left is halved. `strata` (n_rows,) are numbers of
    classes of which every set gets its share; None cuts at random. The same seed gives the same
    rows on every machine: wine with seed 42 gives 106, 36 and 36.
    """
    training, rest = train_test_split(
        np.arange(n_rows), train_size=TRAINING_SHARE, stratify=strata, random_state=seed
    )
    testing, production = train_test_split(
        rest,
        train_size=0.5,
        stratify=None if strata is None else strata[rest],
        random_state=seed,
    )
    return {"training": training, "testing": testing, "production": production}


def split_by_time(times: NDArray[Any]) -> Places:
    """Cut rows by their `times` (n_rows,), numbers or datetime64: the oldest are for training.

    The newest are production; shares are those of `split_places`, and each set is in the order of
    time. Of equal times the rows in front are the older ones.
    """
    order = np.argsort(times, kind="stable")
    first = int(TRAINING_SHARE * len(order))
    second = first + (len(order) - first) // 2
    return {
        "training": order[:first],
        "testing": order[first:second],
        "production": order[second:],
    }


def split_by_group(groups: NDArray[np.uint64], seed: int) -> Places:
    """Cut rows so that no group, a number per row (n_rows,), is in two sets.

    Groups are put in an order by the seed, and cut where the rows come nearest to the shares of
    `split_places`; every set has one group at least. Rows keep their order.

    Raises
    ------
    ValueError
        There are fewer than 3 groups.
    """
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups, n_rows = len(sizes), len(groups)
    if n_groups < len(SET_NAMES):
        raise ValueError("Three sets need three groups.")
    order = np.random.default_rng(seed).permutation(n_groups)
    ends = np.cumsum(sizes[order])
    first = _nearest(ends, TRAINING_SHARE * n_rows, 0, n_groups - 2)
    second = _nearest(ends, (1 + TRAINING_SHARE) / 2 * n_rows, first + 1, n_groups - 1)
    set_of_group = np.empty(n_groups, dtype=np.int8)
    set_of_group[order] = np.repeat(
        np.arange(3), [first + 1, second - first, n_groups - 1 - second]
    )
    return split_by_set(set_of_group[group_of])


def _nearest(ends: NDArray[np.int64], wanted: float, first: int, end: int) -> int:
    """Return the place from `first` to `end` - 1 where `ends` comes nearest to what is wanted."""
    return first + int(np.argmin(np.abs(ends[first:end] - wanted)))


def split_by_set(sets: NDArray[np.int8]) -> Places:
    """Cut rows by the place of their set (n_rows,) in `SET_NAMES`; they keep their order."""
    return {name: np.flatnonzero(sets == place) for place, name in enumerate(SET_NAMES)}


def can_be_stratified(strata: NDArray[np.integer]) -> bool:
    """Tell whether no class is too small to be in every set."""
    return bool(np.bincount(strata).min() >= FEWEST_ROWS)
