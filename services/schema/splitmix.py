"""Numbers that look random and follow from others: splitmix64."""

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""What splitmix64 adds from one number to the next."""


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number (n,) for each value, a different one for each: the end of splitmix64.

    See Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
