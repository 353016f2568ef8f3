"""The retraining rule on what the database has counted of two long sets.

Pure: counts in, a verdict out. Decides as `retraining_rule` does, with the same limits. What is
counted exactly is exact: missing values, accuracy, errors, the mix of predicted classes. Distances
of features are those of the counts per cell, hence never too large, and too small by at most what
`precision` says; see docs/adr/0021-counted-verdicts.md.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitoring.service.retraining_signals import (
    Answers,
    Missing,
    RetrainingRule,
    Signal,
    Verdict,
    accuracy_drop_signal,
    at_least,
    data_drift_signal,
    error_growth_signal,
    missing_values_signal,
    mix_difference,
    nothing_missing_signal,
    prediction_drift_signal,
    value_drift_signal,
    verdict_of,
)
from monitoring.service.set_statistics import (
    Cells,
    ClassCounts,
    ColumnCounts,
    CountedSets,
    ErrorCounts,
    FeatureCounts,
    single_valued,
)


def judge_counted(sets: CountedSets, rule: RetrainingRule) -> Verdict:
    """Decide whether the model that made these predictions has to be trained again."""
    alpha = rule.false_alarm_rate / 4
    reference, current = sets.reference, sets.current
    before, after = reference.predictions, current.predictions
    outcomes = zip(
        reference.features.cells, _compared(reference.features, current.features), strict=True
    )
    # Numbers first, as where rows are compared: the same features are named in the same order.
    in_order = sorted(outcomes, key=lambda item: item[0].kind != "number")
    compared = {cells.name: outcome for cells, outcome in in_order}
    if isinstance(before, ErrorCounts) and isinstance(after, ErrorCounts):
        performance, prediction = _of_numbers(before, after, rule, alpha)
    elif isinstance(before, ClassCounts) and isinstance(after, ClassCounts):
        performance, prediction = _of_classes(before, after, sets.classes, rule, alpha)
    else:
        raise TypeError("The two sets were scored for different tasks.")
    return verdict_of(
        (
            data_drift_signal(compared, rule, alpha),
            _missing_values(reference.features, current.features, rule, alpha),
            performance,
            prediction,
        )
    )


def precision(sets: CountedSets) -> Mapping[str, float]:
    """Return by how much the distance of each feature can be too small, 0 to 1, at most.

    Two distributions can differ within a cell by no more than the smaller of its two shares. The
    distance of numbers is the largest gap, so the worst cell counts; that of categories a sum, in
    which only the cell of all others can hide something.
    """
    found = {}
    features = (sets.reference.features, sets.current.features)
    for cells, before, after in zip(
        features[0].cells, features[0].columns, features[1].columns, strict=True
    ):
        least = np.minimum(_shares(before), _shares(after))
        if cells.kind == "number":
            least[single_valued(cells.edges)] = 0.0
            found[cells.name] = float(least.max())
        else:
            found[cells.name] = float(least[-1]) if cells.kind == "category" else 0.0
    return found


def undecided(sets: CountedSets, rule: RetrainingRule) -> Sequence[str]:
    """Return the features whose distance is counted below the limit and may be above it."""
    within = precision(sets)
    compared = _compared(sets.reference.features, sets.current.features)
    return [
        name
        for (name, hidden), found in zip(within.items(), compared, strict=True)
        if found is not None
        and not at_least(found[0], rule.drift_distance)
        and at_least(found[0] + hidden, rule.drift_distance)
    ]


def _compared(
    reference: FeatureCounts, current: FeatureCounts
) -> Sequence[tuple[float, float] | None]:
    return [
        _difference(cells, before, after)
        for cells, before, after in zip(
            reference.cells, reference.columns, current.columns, strict=True
        )
    ]


def _difference(
    cells: Cells, reference: ColumnCounts, current: ColumnCounts
) -> tuple[float, float] | None:
    """Return distance (0 to 1) and p-value of one column; None if a set holds no value of it."""
    if not reference.present or not current.present:
        return None
    if cells.kind == "number":
        return _gap(reference, current)
    table = np.array([reference.counts, current.counts], dtype=float)
    return mix_difference(table[:, table.any(axis=0)])


def _gap(reference: ColumnCounts, current: ColumnCounts) -> tuple[float, float]:
    """Return statistic and p-value of the two-sample Kolmogorov-Smirnov test.

    The statistic is the largest gap of the two distribution functions at the cells' edges. The
    p-value is SciPy's asymptotic one (Hodges, Ark. Mat. 3, 1958, doi:10.1007/BF02589501), which a
    gap that is too small only makes larger.
    """
    apart = np.cumsum(_shares(reference)) - np.cumsum(_shares(current))
    distance = float(np.abs(apart[:-1]).max(initial=0.0))
    n, m = sorted((reference.present, current.present))
    return distance, float(stats.kstwo.sf(distance, round(n * m / (n + m))))


def _shares(column: ColumnCounts) -> NDArray[np.float64]:
    counts = np.array(column.counts, dtype=float)
    shares: NDArray[np.float64] = counts / max(counts.sum(), 1.0)
    return shares


def _missing_values(
    reference: FeatureCounts, current: FeatureCounts, rule: RetrainingRule, alpha: float
) -> Signal:
    if not reference.cells or not reference.rows or not current.rows:
        return nothing_missing_signal(rule)
    before, after = (
        Missing(counted.rows, np.array([column.missing for column in counted.columns]))
        for counted in (reference, current)
    )
    names = [cells.name for cells in reference.cells]
    p_value = larger_p_value(current.missing_per_row, reference.missing_per_row)
    return missing_values_signal(names, before, after, p_value, rule, alpha)


def larger_p_value(counts: Sequence[int], reference_counts: Sequence[int]) -> float:
    """Return the one-sided Mann-Whitney p-value that values are larger; 1 if all are equal.

    `counts[k]` rows have the value k; the two are equally long. Normal approximation with tie and
    continuity correction (Mann and Whitney, Ann. Math. Stat. 18, 1947,
    doi:10.1214/aoms/1177730491), as SciPy has it for rows.
    """
    rows, reference_rows = np.array(counts, dtype=float), np.array(reference_counts, dtype=float)
    n, m = rows.sum(), reference_rows.sum()
    ties = rows + reference_rows
    if (ties > 0).sum() <= 1:
        return 1.0
    ranks = np.cumsum(ties) - (ties - 1) / 2
    statistic = float((rows * ranks).sum()) - n * (n + 1) / 2
    total = n + m
    tied = float((ties**3 - ties).sum()) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - tied))
    return float(stats.norm.sf((statistic - n * m / 2 - 0.5) / deviation))


def _of_classes(
    before: ClassCounts,
    after: ClassCounts,
    classes: Sequence[str],
    rule: RetrainingRule,
    alpha: float,
) -> tuple[Signal, Signal]:
    mixes = _mix(before), _mix(after)
    names = sorted({*mixes[0], *mixes[1]})
    compared = None
    if all(mixes):
        table = np.array([[mix.get(name, 0) for name in names] for mix in mixes], dtype=float)
        compared = mix_difference(table)
    return (
        accuracy_drop_signal(answers_of(before), answers_of(after), rule, alpha),
        prediction_drift_signal(compared, mixes, classes, rule, alpha),
    )


def _mix(counted: ClassCounts) -> dict[str, int]:
    mix: dict[str, int] = {}
    for answer in counted.answers:
        if answer.predicted is not None:
            mix[answer.predicted] = mix.get(answer.predicted, 0) + answer.rows
    return mix


def answers_of(counted: ClassCounts) -> Answers:
    """Return how many of a set's rows were classified, and how many of them rightly."""
    known = [item for item in counted.answers if None not in (item.actual, item.predicted)]
    return Answers(
        sum(item.rows for item in known),
        sum(item.rows for item in known if item.actual == item.predicted),
    )


def _of_numbers(
    before: ErrorCounts, after: ErrorCounts, rule: RetrainingRule, alpha: float
) -> tuple[Signal, Signal]:
    errors = None
    if before.mean_error is not None and after.mean_error is not None:
        errors = (before.mean_error, after.mean_error, _rise_p_value(before, after))
    return (
        error_growth_signal(errors, rule, alpha),
        value_drift_signal(
            _difference(before.cells, before.predicted, after.predicted),
            (_known(before.median), _known(after.median)),
            rule,
            alpha,
        ),
    )


def _rise_p_value(before: ErrorCounts, after: ErrorCounts) -> float:
    """Return the one-sided p-value of Welch's t test (Biometrika 34, 1947) that the error rose."""
    means = _known(before.mean_error), _known(after.mean_error)
    variances = before.error_variance or 0.0, after.error_variance or 0.0
    if not any(variances):
        return 0.0 if means[1] > means[0] else 1.0
    return float(
        stats.ttest_ind_from_stats(
            means[1],
            math.sqrt(variances[1]),
            after.labelled,
            means[0],
            math.sqrt(variances[0]),
            before.labelled,
            equal_var=False,
            alternative="greater",
        ).pvalue
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value
