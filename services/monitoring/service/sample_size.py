"""How many rows a drift check needs before its silence means something.

A check that finds nothing in five rows has not shown that nothing changed. The rows needed are the
fewest with which a *large* change of one column would be found with probability `POWER`, at the
level that the correction for many tests leaves to it in the worst case.
"""

import math
from collections.abc import Callable
from functools import lru_cache

from scipy import special, stats

LARGE_DISTANCE = 0.5
"""What counts as large: half of the rows would have to change for the two samples to agree. For a
normal column that is a shift by 1.35 standard deviations."""

POWER = 0.8
"""Probability with which a large change must be found (Cohen, Statistical Power Analysis, 1988)."""

MOST_ROWS = 10_000_000


def rows_needed(reference_rows: int, tests: int, alpha: float, cells: int = 0) -> int | None:
    """Return how many current rows are needed, given the reference's; None if no number is enough.

    Parameters
    ----------
    reference_rows : rows of the reference that have a value.
    tests : tests that the correction is over; the worst case leaves `alpha / tests` to one.
    alpha : highest probability of a false alarm, 0 to 1.
    cells : cells of a table of categories; 0 for numbers.
    """
    level = alpha / max(tests, 1)
    return _fewest(lambda rows: _power(reference_rows, rows, level, cells))


def rows_needed_on_both_sides(tests: int, alpha: float, cells: int = 0) -> int:
    """Return how many rows are needed if reference and current have equally many."""
    level = alpha / max(tests, 1)
    found = _fewest(lambda rows: _power(rows, rows, level, cells))
    if found is None:
        raise ValueError("No number of rows reaches the power.")
    return found


def _fewest(power: Callable[[int], float]) -> int | None:
    """Return the smallest number of rows that reaches `POWER`, by doubling and halving."""
    high = 1
    while power(high) < POWER:
        high *= 2
        if high > MOST_ROWS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


@lru_cache(maxsize=10_000)
def _power(reference_rows: int, rows: int, level: float, cells: int) -> float:
    """Return a lower bound of the probability that a change by `LARGE_DISTANCE` is found.

    Numbers: the gap at the point where the true distribution functions are `LARGE_DISTANCE` apart
    must exceed the critical value (Massey, Ann. Math. Stat. 21, 1950, pp. 440-443; the value
    itself by Stephens, J. R. Stat. Soc. B 32, 1970, pp. 115-122). That gap is the difference of
    two binomial shares, taken as normal with the shares (1 + d) / 2 and (1 - d) / 2. Categories:
    chi-squared with the least noncentrality that shares so far apart can have,
    4 d^2 n m / (n + m) (by Cauchy and Schwarz). Both hold for any shape of the distributions, so
    that many need fewer rows.
    """
    if reference_rows < 1 or rows < 1:
        return 0.0
    effective = reference_rows * rows / (reference_rows + rows)
    if cells:
        freedom = max(cells - 1, 1)
        critical = _chi_squared_critical(level, freedom)
        return float(stats.ncx2.sf(critical, freedom, 4 * LARGE_DISTANCE**2 * effective))
    root = math.sqrt(effective)
    critical = _kolmogorov_critical(level) / (root + 0.12 + 0.11 / root)
    deviation = math.sqrt((1 - LARGE_DISTANCE**2) / 4 / effective)
    return float(stats.norm.cdf((LARGE_DISTANCE - critical) / deviation))


@lru_cache(maxsize=1_000)
def _kolmogorov_critical(level: float) -> float:
    return float(special.kolmogi(level))


@lru_cache(maxsize=1_000)
def _chi_squared_critical(level: float, freedom: int) -> float:
    return float(stats.chi2.isf(level, freedom))
