"""Tests of two samples of one column: how far apart they are, and how likely that is by chance.

Pure: arrays in, numbers out. Every p-value is valid for small samples and for tied values: what is
counted exactly is counted given the pooled values, and cells are pooled by pooled counts only, so
that a relabelling of the rows could not have changed the choice.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

EXACT_UP_TO_ROWS = 1000
"""Up to this many rows, both samples together, p-values are counted out; beyond, asymptotic."""

LEAST_EXPECTED = 5.0
"""Rows that a cell must be expected to hold in each sample (Cochran, Biometrics 10, 1954)."""

MOST_RELABELLINGS, FEWEST_RELABELLINGS = 9_999, 199
DRAWN_CELLS = 4_000_000
"""Relabellings times cells that are drawn for one column: half a second's work at most, but for
columns with more than 20,000 categories."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What a test found.

    `test` names it; `statistic` is its own statistic (None for Fisher's test, which has none);
    `distance` is 0 (same) to 1 (disjoint); `cells` counts the cells of a table, 0 for numbers.
    """

    test: str
    statistic: float | None
    distance: float
    p_value: float
    cells: int = 0


def compare_numbers(reference: FloatArray, current: FloatArray) -> Outcome:
    """Return the two-sided Kolmogorov-Smirnov test of two samples without NaN, none empty.

    The statistic is the largest gap between the two empirical distribution functions (Hodges, Ark.
    Mat. 3, 1958, doi:10.1007/BF02589501), hence also the distance. Up to `EXACT_UP_TO_ROWS` the
    p-value is the exact permutation probability given the pooled values, ties included (Schroeer
    and Trenkler, Comput. Stat. Data Anal. 20, 1995, doi:10.1016/0167-9473(94)00040-P); beyond,
    SciPy's asymptotic one, which ties only make larger.
    """
    if len(reference) + len(current) <= EXACT_UP_TO_ROWS:
        distance, p_value = _exact_kolmogorov_smirnov(reference, current)
        return Outcome("kolmogorov_smirnov_exact", distance, distance, p_value)
    found = stats.ks_2samp(reference, current, method="asymp")
    distance = float(found.statistic)
    return Outcome("kolmogorov_smirnov_asymptotic", distance, distance, float(found.pvalue))


def compare_categories(reference: NDArray[np.object_], current: NDArray[np.object_]) -> Outcome:
    """Return the test of homogeneity of two samples of texts, none empty.

    Pearson's chi-squared test without continuity correction over cells that are all expected to
    hold `LEAST_EXPECTED` rows in either sample; rarer categories share one cell. Two cells in a
    small sample, or cells that stay too small, are tested by `compare_shares`. The distance is the
    total variation distance of the tested cells: half the sum of the differences of their shares.

    What changes among the rare categories alone, e.g. a new one in place of all others, does not
    show in the cell they share. Where there is such a cell, the same statistic over all categories
    is tested as well, by relabelling (`_relabelled`); of the two p-values the smaller one counts,
    doubled (Bonferroni), with the distance of its test.
    """
    counts = _counts(reference, current)
    table = _pooled(counts)
    pooled = _chi_squared(table)
    doubled = min(1.0, 2 * pooled.p_value)
    if table.shape[1] == counts.shape[1]:
        return pooled
    if doubled <= 2 / (MOST_RELABELLINGS + 1):
        # No number of relabellings gives a smaller one.
        return replace(pooled, p_value=doubled)
    every = _relabelled(counts)
    if every.p_value < pooled.p_value:
        return replace(every, p_value=min(1.0, 2 * every.p_value))
    return replace(pooled, p_value=doubled, cells=every.cells)


def _chi_squared(table: NDArray[np.int64]) -> Outcome:
    if table.shape[1] < 2:
        return Outcome("chi_squared", 0.0, 0.0, 1.0, cells=table.shape[1])
    if table.shape[1] == 2:
        sizes = table.sum(axis=1)
        return compare_shares(int(table[0, 0]), int(sizes[0]), int(table[1, 0]), int(sizes[1]))
    shares = table / table.sum(axis=1, keepdims=True)
    found = stats.chi2_contingency(table, correction=False)
    return Outcome(
        "chi_squared",
        float(found.statistic),
        float(np.abs(shares[0] - shares[1]).sum() / 2),
        float(found.pvalue),
        cells=table.shape[1],
    )


def _relabelled(table: NDArray[np.int64]) -> Outcome:
    """Return Pearson's test with the p-value of random relabellings of the rows, for rare cells.

    Valid for cells of any size (Fisher, The Design of Experiments, 1935; with the observed table
    counted as one of them, Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010,
    doi:10.2202/1544-6115.1585). Seeded: the same table has the same p-value. Categories that are
    there once share a cell, since what they add depends only on how many of them each sample has.
    Among many small cells the total variation distance is large by chance alone; the distance here
    is what it exceeds its mean over the relabellings by, as a share of what it could.
    """
    totals = table.sum(axis=0)
    once = totals == 1
    colours = np.append(totals[~once], once.sum())
    observed = np.append(table[0, ~once], table[0, once].sum())[np.newaxis]
    rows, (n, m) = totals.sum(), table.sum(axis=1)
    expected = colours[:-1] * n / rows

    def measure(drawn: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return statistic and distance of tables, given their first rows (tables, cells)."""
        cells, singles = drawn[:, :-1], drawn[:, -1]
        left = colours[-1] - singles
        squares = ((cells - expected) ** 2 / colours[:-1]).sum(axis=1)
        squares += singles * (m / rows) ** 2 + left * (n / rows) ** 2
        apart = np.abs(cells / n - (colours[:-1] - cells) / m).sum(axis=1)
        apart += singles / n + left / m
        return squares * rows * rows / (n * m), apart / 2

    draw = np.random.default_rng(0)
    relabellings = int(np.clip(DRAWN_CELLS // len(colours), FEWEST_RELABELLINGS, MOST_RELABELLINGS))
    (statistic,), (apart,) = measure(observed)
    as_far, mean_apart = 1, 0.0
    at_once = max(1, 1_000_000 // len(colours))
    for first in range(0, relabellings, at_once):
        size = min(at_once, relabellings - first)
        statistics, distances = measure(draw.multivariate_hypergeometric(colours, n, size=size))
        as_far += int((statistics >= statistic * (1 - 1e-12)).sum())
        mean_apart += float(distances.sum()) / relabellings
    beyond = (apart - mean_apart) / (1 - mean_apart) if mean_apart < 1 else 0.0
    return Outcome(
        "chi_squared_relabelled",
        float(statistic),
        float(np.clip(beyond, 0.0, 1.0)),
        as_far / (relabellings + 1),
        cells=len(colours),
    )


def compare_shares(
    reference_hits: int, reference_rows: int, current_hits: int, current_rows: int
) -> Outcome:
    """Return the two-sided test of two shares, e.g. of missing values; no sample is empty.

    Fisher's exact test (J. R. Stat. Soc. 85, 1922, doi:10.2307/2340521) in small samples and for
    small cells, Pearson's chi-squared test otherwise. The distance is the difference of the shares.
    """
    table = np.array(
        [
            [reference_hits, reference_rows - reference_hits],
            [current_hits, current_rows - current_hits],
        ]
    )
    distance = abs(reference_hits / reference_rows - current_hits / current_rows)
    if not table.sum(axis=0).all():
        return Outcome("fisher_exact", None, distance, 1.0, cells=2)
    rows = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / rows
    if rows <= EXACT_UP_TO_ROWS or expected.min() < LEAST_EXPECTED:
        return Outcome(
            "fisher_exact", None, distance, float(stats.fisher_exact(table).pvalue), cells=2
        )
    found = stats.chi2_contingency(table, correction=False)
    return Outcome("chi_squared", float(found.statistic), distance, float(found.pvalue), cells=2)


def _exact_kolmogorov_smirnov(reference: FloatArray, current: FloatArray) -> tuple[float, float]:
    """Return statistic and exact p-value.

    If nothing differs, the pooled values in order belong to the samples like balls drawn from an
    urn. The chain over the number of reference balls drawn so far is followed; what reaches the
    observed gap at the end of a group of equal values is taken out and adds up to the p-value.
    """
    if len(reference) > len(current):
        # The same by symmetry, with fewer states to follow.
        reference, current = current, reference
    n, m = len(reference), len(current)
    rows = n + m
    values = np.concatenate([reference, current])
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)
    drawn = np.cumsum(order < n)
    steps = np.arange(1, rows + 1)
    # Gaps times n * m are whole numbers, so that equal gaps compare as equal.
    gap = int(np.abs(drawn * m - (steps - drawn) * n)[ends].max())
    if gap == 0:
        return 0.0, 1.0
    states = np.arange(n + 2, dtype=float)
    reference_left, current_left = n - states, states + (m + 1)
    # chance[i] stands for i reference balls drawn; only chance[low:high] is not 0.
    chance = np.zeros(n + 2)
    chance[0] = 1.0
    low, high = 0, 1
    p_value = 0.0
    for step in range(1, rows + 1):
        moved = chance[low:high] * reference_left[low:high]
        chance[low:high] *= current_left[low:high] - step
        chance[low + 1 : high + 1] += moved
        high = min(high + 1, n + 1)
        chance[low:high] /= rows - step + 1
        if ends[step - 1]:
            # Out of bounds is |i * rows - step * n| >= gap, i reference balls being drawn.
            lowest = max(low, min(high, (step * n - gap) // rows + 1))
            highest = max(lowest, min(high, -(-(step * n + gap) // rows)))
            p_value += float(chance[low:lowest].sum() + chance[highest:high].sum())
            chance[low:lowest] = chance[highest:high] = 0.0
            low, high = lowest, highest
            if low == high:
                break
    return gap / (n * m), min(p_value, 1.0)


def _counts(reference: NDArray[np.object_], current: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the table (2, categories), the most frequent category first."""
    names, places = np.unique(np.concatenate([reference, current]).astype(str), return_inverse=True)
    table = np.stack(
        [
            np.bincount(places[: len(reference)], minlength=len(names)),
            np.bincount(places[len(reference) :], minlength=len(names)),
        ]
    )
    return table[:, np.argsort(-table.sum(axis=0), kind="stable")]


def _pooled(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the table with its rare categories in one last cell, which is not rare itself.

    Two cells stay even where one of them is rare: their test is exact.
    """
    sizes = table.sum(axis=1)
    smaller = sizes.min() / sizes.sum()
    totals = table.sum(axis=0)
    kept = int((totals * smaller >= LEAST_EXPECTED).sum())
    if kept == len(totals):
        return table
    if totals[kept:].sum() * smaller < LEAST_EXPECTED:
        kept -= 1
    kept = max(kept, 1)
    return np.column_stack([table[:, :kept], table[:, kept:].sum(axis=1)])
