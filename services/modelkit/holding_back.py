"""Which rows are held back from a fit: the same share of every class, the same rows every time.

Rows of a regression, which has no classes, are of one stratum: they are chosen at random.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 42
SHARE = 0.2
MOST_ROWS = 2_000


def strata_of(labels: Sequence[Any], task: str) -> Sequence[Any]:
    """Return what rows are chosen evenly by: the class of each; one and the same for numbers."""
    return labels if task == "classification" else [0] * len(labels)


def held_back_rows(
    labels: Sequence[Any], *, share: float = SHARE, most: int = MOST_ROWS, seed: int = SEED
) -> NDArray[np.bool_]:
    """Choose the rows to hold back, stratified by class and by a seed.

    Parameters
    ----------
    labels : the class (or stratum, see `strata_of`) of each of n rows, none of them missing.
    share : of the rows, 0 to 1; at least one row is held back where that is possible.
    most : rows held back at most.

    Returns
    -------
    (n,) bool, True for a row to hold back. Each class keeps one row at least, so that a class with
    a single row gives none; where every class has a single row nothing is held back.
    """
    names, codes = np.unique(np.asarray([str(label) for label in labels]), return_inverse=True)
    counts = np.bincount(codes, minlength=len(names))
    wanted = min(most, max(1, round(share * len(codes))))
    exact = wanted * counts / max(1, len(codes))
    room = counts - 1
    taken = np.minimum(np.floor(exact).astype(np.int64), room)
    # What rounding down left goes to the classes that lost most by it.
    while taken.sum() < min(wanted, room.sum()):
        lacking = np.where(taken < room, exact - taken, -np.inf)
        taken[int(np.argmax(lacking))] += 1
    random = np.random.default_rng(seed)
    held = np.zeros(len(codes), dtype=np.bool_)
    for code, number in enumerate(taken):
        rows = np.flatnonzero(codes == code)
        held[random.permutation(rows)[:number]] = True
    return held


def evenly_chosen(
    labels: Sequence[Any], most: int = MOST_ROWS, seed: int = SEED
) -> NDArray[np.bool_]:
    """Choose up to `most` of n rows, stratified by class; all of them where they are no more.

    Returns (n,) bool.
    """
    if len(labels) <= most:
        return np.ones(len(labels), dtype=np.bool_)
    return held_back_rows(labels, share=most / len(labels), most=most, seed=seed)
