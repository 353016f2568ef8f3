"""What the retraining rule says of each thing it looks at, from sizes and p-values.

Pure: numbers in, signals out. Where they come from, rows in memory (`retraining_rule`) or what the
database has counted (`counted_rule`), is not known here. A signal fires when a difference is both
*real* (its p-value is at most its share of the false-alarm rate) and *large enough to matter* (its
value reaches a limit of `RetrainingRule`). One signal that fires asks for retraining. See
docs/adr/0005-retraining-rule.md for why, and for the measured rates of false alarms and of missed
trouble.

Notes
-----
The false-alarm rate `a` of the whole verdict on unchanged data is shared equally by the four
signals (Bonferroni: Dunn, J. Am. Stat. Assoc. 56, 1961, doi:10.1080/01621459.1961.10482090), so
each works at `a / 4`. Within a signal, many columns are corrected for as its function states.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

NOTHING_PREDICTED = "There are no predictions."
NO_LABELS = "There are no labels to compare."


@dataclass(frozen=True)
class RetrainingRule:
    """The limits of the rule. Shares and distances are between 0 and 1."""

    false_alarm_rate: float = 0.05
    """Highest probability that production data like the testing data asks for retraining."""
    drift_share: float = 0.25
    """Share of the features that must have drifted."""
    drift_distance: float = 0.1
    """Distance of a feature's two distributions from which on it counts as drifted."""
    missing_growth: float = 0.02
    """Growth of the share of missing values, in one feature or over all."""
    accuracy_drop: float = 0.05
    """Fall of the accuracy from testing to production."""
    prediction_distance: float = 0.1
    """Distance of the two mixes of predicted classes, or distributions of predicted numbers."""
    error_growth: float = 0.1
    """Growth of a regression's mean absolute error from testing to production, as a share."""

    def limits_of(self, task: str) -> dict[str, Any]:
        """Return the limits that a verdict on this task rests on, by name."""
        other = "accuracy_drop" if task == "regression" else "error_growth"
        return {name: limit for name, limit in asdict(self).items() if name != other}


@dataclass(frozen=True)
class Signal:
    """One thing looked at: how large it is, how sure we are, and whether it asks for retraining.

    `value` is the size that is compared with `limit`; `p_value` the probability of such data if
    nothing had changed. Both are None where the data cannot say (no labels, no values).
    """

    name: str
    fired: bool
    value: float | None
    limit: float
    p_value: float | None
    statement: str
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer and why: one reason for each signal that fired, and every signal's figures."""

    retraining_needed: bool
    reasons: Sequence[str]
    signals: Sequence[Signal]


@dataclass(frozen=True)
class Missing:
    """The missing values of a set's `rows`: how many each feature has (n_features,)."""

    rows: int
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of the rows without a value, 0 to 1, by feature."""
        return self.counts / self.rows

    @property
    def share(self) -> float:
        """The share of all cells without a value, 0 to 1."""
        return float(self.counts.sum() / (self.rows * len(self.counts)))


@dataclass(frozen=True)
class Answers:
    """How many of the predictions that have a label there are, and how many of them are right."""

    rows: int
    right: int

    @property
    def accuracy(self) -> float:
        """0 to 1; there must be a row."""
        return self.right / self.rows


def verdict_of(signals: Sequence[Signal]) -> Verdict:
    """Ask for retraining if any signal does."""
    reasons = tuple(signal.statement for signal in signals if signal.fired)
    return Verdict(bool(reasons), reasons, tuple(signals))


def data_drift_signal(
    compared: Mapping[str, tuple[float, float] | None], rule: RetrainingRule, alpha: float
) -> Signal:
    """Count the features whose distribution changed.

    `compared` has distance (0 to 1) and p-value of every feature, None where a set holds no value
    of it. A feature has drifted when its adjusted p-value is at most `alpha` and its distance at
    least `rule.drift_distance`. P-values are adjusted over all features by Benjamini and Hochberg
    (J. R. Stat. Soc. B 57, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x): if nothing has changed,
    any feature is found drifted with a probability of at most `alpha`. Features without a value in
    one of the sets are not compared, yet count in the share.
    """
    usable = {name: found for name, found in compared.items() if found is not None}
    distances = np.array([distance for distance, _ in usable.values()])
    p_values = np.array([p_value for _, p_value in usable.values()])
    adjusted = _adjust_benjamini_hochberg(p_values)
    drifted = [
        name
        for name, distance, p_value in zip(usable, distances, adjusted, strict=True)
        if p_value <= alpha and at_least(distance, rule.drift_distance)
    ]
    share = len(drifted) / len(compared) if compared else 0.0
    return Signal(
        name="data_drift",
        fired=bool(drifted) and at_least(share, rule.drift_share),
        value=share,
        limit=rule.drift_share,
        p_value=float(adjusted.min()) if usable else None,
        statement=f"{len(drifted)} of {len(compared)} features drifted{_named(drifted)}.",
        columns=drifted,
    )


def missing_values_signal(
    features: Sequence[str],
    reference: Missing,
    current: Missing,
    p_value_in_all: float,
    rule: RetrainingRule,
    alpha: float,
) -> Signal:
    """See whether more values are missing, in any one feature or over all features.

    One feature: Fisher's exact test, one-sided, on rows with and without a value. Over all:
    `p_value_in_all`. The p-values are adjusted as one family by Holm (Scand. J. Stat. 6, 1979,
    jstor.org/stable/4615733). Fires when one of them is at most `alpha` while that share grew by
    at least `rule.missing_growth`. There is a feature, and neither set is empty.
    """
    limit = rule.missing_growth
    growth = current.shares - reference.shares
    total_growth = current.share - reference.share
    p_values = [
        more_often(int(a), current.rows, int(b), reference.rows)
        for a, b in zip(current.counts, reference.counts, strict=True)
    ]
    adjusted = _adjust_holm(np.array([*p_values, p_value_in_all]))
    real = adjusted <= alpha
    grown = [
        name
        for name, is_real, amount in zip(features, real[:-1], growth, strict=True)
        if is_real and at_least(amount, limit)
    ]
    grown_in_all = bool(real[-1]) and at_least(total_growth, limit)
    return Signal(
        name="missing_values",
        fired=bool(grown) or grown_in_all,
        value=float(max(total_growth, *growth)) if grown else total_growth,
        limit=limit,
        p_value=float(adjusted.min()),
        statement=(
            f"Missing values went from {reference.share:.1%} to {current.share:.1%}"
            f"{_named(grown, 'most of all in')}."
        ),
        columns=grown,
    )


def nothing_missing_signal(rule: RetrainingRule) -> Signal:
    """Say that there are no rows or no features in which a value could be missing."""
    limit = rule.missing_growth
    return Signal("missing_values", False, None, limit, None, "There is nothing to compare.")


def accuracy_drop_signal(
    reference: Answers, current: Answers, rule: RetrainingRule, alpha: float
) -> Signal:
    """See whether the accuracy fell beyond sampling noise, over the rows that have a label.

    One-sided test of two independent proportions by the hypergeometric distribution, with
    Lancaster's mid-p value (J. Am. Stat. Assoc. 56, 1961, doi:10.1080/01621459.1961.10482105):
    Fisher's own p-value would, with a few dozen rows, miss falls that a person sees at once.
    """
    limit = rule.accuracy_drop
    if not reference.rows or not current.rows:
        return Signal("accuracy_drop", False, None, limit, None, NO_LABELS)
    before, after = reference.accuracy, current.accuracy
    p_value = more_often(
        current.rows - current.right,
        current.rows,
        reference.rows - reference.right,
        reference.rows,
        mid_p=True,
    )
    return Signal(
        name="accuracy_drop",
        fired=p_value <= alpha and at_least(before - after, limit),
        value=before - after,
        limit=limit,
        p_value=p_value,
        statement=f"The accuracy went from {before:.1%} in testing to {after:.1%} in production.",
    )


def error_growth_signal(
    errors: tuple[float, float, float] | None, rule: RetrainingRule, alpha: float
) -> Signal:
    """See whether a regression's mean absolute error grew beyond sampling noise.

    `errors` are that of testing, that of production and the one-sided p-value of a rise, over the
    rows that have a label; None where a set has none. The size is the growth as a share of the
    error in testing (0.1: a tenth more), so that it has no unit; None where testing has no error at
    all, which any real error then exceeds.
    """
    limit = rule.error_growth
    if errors is None:
        return Signal("error_growth", False, None, limit, None, NO_LABELS)
    before, after, p_value = errors
    growth = after / before - 1 if before > 0 else None
    large = after > before if growth is None else at_least(growth, limit)
    return Signal(
        name="error_growth",
        fired=p_value <= alpha and large,
        value=growth,
        limit=limit,
        p_value=p_value,
        statement=(
            f"The mean absolute error went from {before:.4g} in testing to {after:.4g} in"
            " production."
        ),
    )


def value_drift_signal(
    compared: tuple[float, float] | None,
    medians: tuple[float, float],
    rule: RetrainingRule,
    alpha: float,
) -> Signal:
    """See whether the distribution of a regression's predicted numbers changed.

    `compared` has its distance and p-value, None without predictions; `medians` are those of
    testing and production.
    """
    statement = (
        f"The predicted numbers changed: their median went from {medians[0]:.4g} in testing to"
        f" {medians[1]:.4g} in production."
    )
    return _prediction_signal(compared, statement, rule, alpha)


def prediction_drift_signal(
    compared: tuple[float, float] | None,
    mixes: tuple[Mapping[str, int], Mapping[str, int]],
    classes: Sequence[str],
    rule: RetrainingRule,
    alpha: float,
) -> Signal:
    """See whether the mix of predicted classes changed.

    `compared` has its distance and p-value, None without predictions; `mixes` are the counts of
    testing and production by class.
    """
    before, after = (_mix(mix, classes) for mix in mixes)
    statement = f"The mix of predicted classes changed: {before} in testing, {after} in production."
    return _prediction_signal(compared, statement, rule, alpha)


def _prediction_signal(
    compared: tuple[float, float] | None, statement: str, rule: RetrainingRule, alpha: float
) -> Signal:
    limit = rule.prediction_distance
    if compared is None:
        return Signal("prediction_drift", False, None, limit, None, NOTHING_PREDICTED)
    distance, p_value = compared
    return Signal(
        name="prediction_drift",
        fired=p_value <= alpha and at_least(distance, limit),
        value=distance,
        limit=limit,
        p_value=p_value,
        statement=statement,
    )


def mix_difference(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return total variation distance and p-value of two mixes of categories.

    `table` (2, categories) are counts; no set and no category is empty. Distance: half the sum of
    the absolute differences of the shares, 0 (same) to 1 (disjoint). P-value: Pearson's chi-squared
    test of homogeneity, without continuity correction; 1 where only one category occurs.
    """
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if table.shape[1] < 2:
        return distance, 1.0
    return distance, float(stats.chi2_contingency(table, correction=False).pvalue)


def more_often(
    hits: int, rows: int, reference_hits: int, reference_rows: int, *, mid_p: bool = False
) -> float:
    """Return the one-sided p-value that `hits` of `rows` is a larger share than the reference's.

    Fisher's exact test: given all hits, those that fall into `rows` are hypergeometric.
    """
    total = rows + reference_rows
    spread = stats.hypergeom(total, hits + reference_hits, rows)
    p_value = float(spread.sf(hits - 1))
    return p_value - float(spread.pmf(hits)) / 2 if mid_p else p_value


def at_least(value: float, limit: float) -> bool:
    """Compare shares so that 0.95 - 0.90 reaches 0.05."""
    return value > limit or math.isclose(value, limit, abs_tol=1e-12)


def _adjust_benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for the false discovery rate, in the order given."""
    return stats.false_discovery_control(p_values) if p_values.size else p_values


def _adjust_holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for the family-wise error rate, in the order given."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _named(names: Sequence[str], link: str = "") -> str:
    """Return the first names in brackets, or nothing."""
    if not names:
        return ""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f" ({link} {shown})" if link else f" ({shown})"


def _mix(predicted: Mapping[str, int], classes: Sequence[str]) -> str:
    """Return the counts of predicted classes as text, in the dataset's order of classes."""
    order = [*classes, *sorted(set(predicted) - set(classes))]
    return ", ".join(f"{name}: {predicted.get(name, 0)}" for name in order[:10])
