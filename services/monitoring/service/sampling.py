"""Which rows of a long set stand for it where not all of them can be looked at. Pure."""

import numpy as np
from numpy.typing import NDArray

SEED = 42


def sample_numbers(n_rows: int, size: int) -> NDArray[np.int64]:
    """Return `size` different row numbers below `n_rows`, ascending: the same ones every time.

    Each row has the same chance. All of them where there are no more than `size`.
    """
    if n_rows <= size:
        return np.arange(n_rows)
    draw = np.random.default_rng(SEED)
    return np.sort(draw.choice(n_rows, size, replace=False, shuffle=False))
