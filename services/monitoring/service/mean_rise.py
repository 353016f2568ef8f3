"""Is a mean larger than it was, beyond chance? Pure."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

PERMUTED_UP_TO_ROWS = 1000
"""Up to this many values on each side the p-value is that of a permutation test, which no shape of
the values can deceive; beyond, means are near enough to normal for Welch's test."""

PERMUTATIONS = 4999
SEED = 42


def rise_p_value(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """Return the one-sided p-value that `current` (m,) has a larger mean than `reference` (n,).

    Neither is empty or holds NaN; 1 where all values are equal. Up to `PERMUTED_UP_TO_ROWS` the
    share of the ways to deal the values out to the sides (all of them if they are few, else
    `PERMUTATIONS` seeded ones and the real one) whose difference of the means is at least as large
    (Pitman, Suppl. J. R. Stat. Soc. 4, 1937, doi:10.2307/2984124). Beyond, Welch's t test
    (Biometrika 34, 1947, doi:10.1093/biomet/34.1-2.28).
    """
    if np.ptp(np.concatenate([reference, current])) == 0:
        return 1.0
    if max(len(reference), len(current)) > PERMUTED_UP_TO_ROWS:
        outcome = stats.ttest_ind(current, reference, equal_var=False, alternative="greater")
        return float(outcome.pvalue)
    outcome = stats.permutation_test(
        (current, reference),
        _difference,
        vectorized=True,
        n_resamples=PERMUTATIONS,
        alternative="greater",
        batch=500,
        random_state=SEED,
    )
    return float(outcome.pvalue)


def _difference(
    first: NDArray[np.float64], second: NDArray[np.float64], axis: int = -1
) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = np.mean(first, axis=axis) - np.mean(second, axis=axis)
    return difference
