"""Training, testing and production rows of a dataset."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from contracts.vocabulary import SetName

TRAINING_SHARE = 0.6

FEWEST_ROWS = 5
"""Rows of a class from which on every set can have its share of it."""


def split_places(
    n_rows: int, strata: NDArray[np.integer] | None, seed: int
) -> dict[SetName, NDArray[np.int64]]:
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


def can_be_stratified(strata: NDArray[np.integer]) -> bool:
    """Tell whether no class is too small to be in every set."""
    return bool(np.bincount(strata).min() >= FEWEST_ROWS)
