"""Training, testing and production rows of a dataset.

A set is told by *numbers*: of each row of the table its place in the set, -1 where it is not in it.
They come a chunk of the table at a time.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.vocabulary import SET_NAMES, SetName
from simulator.permutation import Permutation

Numbers = NDArray[np.int64]

TRAINING_SHARE = 0.6

FEWEST_ROWS = 5
"""Rows of a class from which on every set can have its share of it."""


def split_places(
    n_rows: int, strata: NDArray[np.integer] | None, seed: int
) -> dict[SetName, Numbers]:
    """Cut the rows 0 to `n_rows` - 1 into three sets: which rows, in which order.

    60 % (rounded down) are for training; what is left is halved. `strata` (n_rows,) are numbers of
    classes of which every set gets its share; None cuts at random. The same seed gives the same
    rows on every machine: wine with seed 42 gives 106, 36 and 36.
    """
    # It takes memory that a service at rest does not need; see `builtin_datasets`.
    from sklearn.model_selection import train_test_split

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


def numbers_of_places(places: Numbers, n_rows: int) -> Numbers:
    """Return the numbers (n_rows,) of a set that has the rows at `places`, in this order."""
    numbers = np.full(n_rows, -1, dtype=np.int64)
    numbers[places] = np.arange(len(places))
    return numbers


def places_in_order(n_rows: int) -> dict[SetName, range]:
    """Return which rows each set has of a table in order; shares are those of `split_places`."""
    first = int(TRAINING_SHARE * n_rows)
    second = first + (n_rows - first) // 2
    bounds = (0, first, second, n_rows)
    return {name: range(*bounds[place : place + 2]) for place, name in enumerate(SET_NAMES)}


def drawn_numbers(
    strata: Iterable[NDArray[np.integer]], class_sizes: Numbers, set_name: SetName, seed: int
) -> Iterator[Numbers]:
    """Yield the numbers of a set drawn at random, every class in its share.

    What `split_places` does with all rows in memory; here it is those of a chunk. `strata` are the
    classes (chunk_rows,) of each chunk, of which there are `class_sizes` (n_classes,) rows. A row's
    place among its class in an order drawn by the seed says which set it is in, and in the set
    all are put in another such order.
    """
    order, place = Permutation(seed), SET_NAMES.index(set_name)
    shares = shares_of_classes(class_sizes)
    starts = shares[:place].sum(axis=0)
    ends = starts + shares[place]
    # Where the rows of a class begin before the set is put in order, the end of the class before.
    before = np.cumsum(shares[place]) - shares[place]
    set_rows, seen = int(shares[place].sum()), np.zeros(len(class_sizes), dtype=np.int64)
    for codes in strata:
        nth = seen[codes] + pd.Series(codes).groupby(codes).cumcount().to_numpy()
        seen += np.bincount(codes, minlength=len(class_sizes))
        drawn = order(nth, class_sizes[codes], codes.astype(np.int64))
        inside = np.flatnonzero((drawn >= starts[codes]) & (drawn < ends[codes]))
        picked = codes[inside]
        numbers = np.full(len(codes), -1, dtype=np.int64)
        numbers[inside] = order(
            before[picked] + drawn[inside] - starts[picked], set_rows, len(class_sizes) + place
        )
        yield numbers


def shares_of_classes(class_sizes: Numbers) -> Numbers:
    """Return how many rows (3, n_classes) each set has of classes of `class_sizes` (n_classes,).

    The sums are those of `split_places`, and each is within two rows of its exact share: the sums
    are shared out class after class. Of `FEWEST_ROWS` rows every set has one at least.
    """
    ends = np.cumsum(class_sizes)
    training = _steps(3 * ends // 5)
    rest = np.cumsum(class_sizes - training)
    testing = _steps(rest // 2)
    return np.stack([training, testing, class_sizes - training - testing])


def _steps(ends: Numbers) -> Numbers:
    return np.diff(ends, prepend=0)


def sets_of_groups(sizes: Numbers, seed: int) -> NDArray[np.int8]:
    """Return the place in `SET_NAMES` of the set of each group, of which `sizes` (n_groups,) tells.

    Groups are put in an order by the seed, and cut where the rows come nearest to the shares of
    `split_places`; every set has one group at least.

    Raises
    ------
    ValueError
        There are fewer than 3 groups.
    """
    n_groups, n_rows = len(sizes), int(sizes.sum())
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
    return set_of_group


def _nearest(ends: Numbers, wanted: float, first: int, end: int) -> int:
    """Return the place from `first` to `end` - 1 where `ends` comes nearest to what is wanted."""
    return first + int(np.argmin(np.abs(ends[first:end] - wanted)))


def counted_numbers(sets: Iterable[NDArray[np.integer]], set_name: SetName) -> Iterator[Numbers]:
    """Yield the numbers of a set whose rows keep their order.

    `sets` are the places in `SET_NAMES` (chunk_rows,) of the set that each row of a chunk is in.
    """
    place, seen = SET_NAMES.index(set_name), 0
    for chunk in sets:
        inside = chunk == place
        yield np.where(inside, seen + np.cumsum(inside) - 1, -1)
        seen += int(inside.sum())


def can_be_stratified(class_sizes: Numbers) -> bool:
    """Tell whether no class of `class_sizes` (n_classes,) is too small to be in every set."""
    return bool(class_sizes.min() >= FEWEST_ROWS)
