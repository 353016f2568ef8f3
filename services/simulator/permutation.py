"""A random order of any length, of which each place is computed by itself."""

import numpy as np
from numpy.typing import NDArray

from schema.splitmix import GOLDEN, mix

ROUNDS = 8
HALF = np.uint64(32)


class Permutation:
    """Puts the numbers below a size into an order that follows from a seed; keeps none of them.

    An unbalanced Feistel network: a number is two digits, and each round adds to one of them a
    random function of the other, which can be undone, so no two numbers come out alike. What comes
    out too large goes in again until it is not (cycle walking). See Black and Rogaway: Ciphers with
    arbitrary finite domains, CT-RSA 2002; Bellare, Ristenpart, Rogaway and Stegers: Format-
    preserving encryption, SAC 2009. The same seed gives the same order on every machine.
    """

    def __init__(self, seed: int) -> None:
        self._keys = np.random.SeedSequence(seed).generate_state(ROUNDS, np.uint64)

    def __call__(
        self,
        numbers: NDArray[np.int64],
        sizes: NDArray[np.int64] | int,
        orders: NDArray[np.int64] | int,
    ) -> NDArray[np.int64]:
        """Return the place (n,) of each of `numbers` (n,), both from 0 to its size - 1.

        Numbers of other `orders`, (n,) or one for all, are ordered independently; those of one
        order must have one size, from 1 to 2**62.
        """
        values = numbers.astype(np.uint64)
        size = np.broadcast_to(np.asarray(sizes, dtype=np.uint64), values.shape)
        tweak = np.broadcast_to(np.asarray(orders, dtype=np.uint64) * GOLDEN, values.shape)
        width = np.ceil(np.sqrt(size.astype(np.float64))).astype(np.uint64)
        height = (size + width - np.uint64(1)) // width
        found = np.empty_like(values)
        left = np.arange(len(values))
        while len(left):
            values = self._walk(values, width, height, tweak)
            inside = values < size
            found[left[inside]] = values[inside]
            again = ~inside
            left, values, size = left[again], values[again], size[again]
            width, height, tweak = width[again], height[again], tweak[again]
        return found.astype(np.int64)

    def _walk(
        self,
        values: NDArray[np.uint64],
        width: NDArray[np.uint64],
        height: NDArray[np.uint64],
        tweak: NDArray[np.uint64],
    ) -> NDArray[np.uint64]:
        one, other = values // height, values % height
        for key in self._keys.reshape(-1, 2):
            one = _turned(one, mix(other + tweak + key[0]), width)
            other = _turned(other, mix(one + tweak + key[1]), height)
        return one * height + other


def _turned(
    digit: NDArray[np.uint64], random: NDArray[np.uint64], base: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return (digit + something random) modulo base, all (n,); a division would take far longer."""
    moved = digit + (((random >> HALF) * base) >> HALF)
    return np.where(moved < base, moved, moved - base)
