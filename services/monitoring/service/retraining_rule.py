"""The rule that decides whether a model has to be trained again, and its reasons.

Pure: two frames in, a verdict out; no database, no Evidently, no clock. Four signals are looked at.
A signal fires when a difference is both *real* (its p-value is below its share of the false-alarm
rate) and *large enough to matter* (its value reaches a limit of `RetrainingRule`). One signal that
fires asks for retraining. See docs/adr/0005-retraining-rule.md for why, and for the measured rates
of false alarms and of missed trouble.

Notes
-----
The false-alarm rate `a` of the whole verdict on unchanged data is shared equally by the four
signals (Bonferroni: Dunn, J. Am. Stat. Assoc. 56, 1961, doi:10.1080/01621459.1961.10482090), so
each works at `a / 4`. Within a signal, many columns are corrected for as its function states.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from monitoring.service.comparison import Comparison
from monitoring.service.mean_rise import rise_p_value

EXACT_UP_TO_ROWS = 1000
"""Up to this many rows in each set, Kolmogorov-Smirnov p-values are exact; beyond, asymptotic."""


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


def judge(comparison: Comparison, rule: RetrainingRule) -> Verdict:
    """Decide whether the model that made these predictions has to be trained again."""
    alpha = rule.false_alarm_rate / 4
    of_numbers = comparison.task == "regression"
    signals = (
        data_drift(comparison, rule, alpha),
        missing_values(comparison, rule, alpha),
        (error_growth if of_numbers else accuracy_drop)(comparison, rule, alpha),
        (value_drift if of_numbers else prediction_drift)(comparison, rule, alpha),
    )
    reasons = tuple(signal.statement for signal in signals if signal.fired)
    return Verdict(bool(reasons), reasons, signals)


def data_drift(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """Count the features whose distribution changed.

    A feature has drifted when its adjusted p-value is at most `alpha` and its distance at least
    `rule.drift_distance`; see `feature_drift`. P-values are adjusted over all features by
    Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x):
    if nothing has changed, any feature is found drifted with a probability of at most `alpha`.
    Features without a value in one of the sets are not compared, yet count in the share.
    """
    features = comparison.features
    compared = {name: feature_drift(comparison, name) for name in features}
    usable = [name for name in features if compared[name] is not None]
    distances = np.array([(compared[name] or (0.0, 1.0))[0] for name in usable])
    p_values = np.array([(compared[name] or (0.0, 1.0))[1] for name in usable])
    adjusted = _adjust_benjamini_hochberg(p_values)
    drifted = [
        name
        for name, distance, p_value in zip(usable, distances, adjusted, strict=True)
        if p_value <= alpha and _at_least(distance, rule.drift_distance)
    ]
    share = len(drifted) / len(features) if features else 0.0
    return Signal(
        name="data_drift",
        fired=bool(drifted) and _at_least(share, rule.drift_share),
        value=share,
        limit=rule.drift_share,
        p_value=float(adjusted.min()) if usable else None,
        statement=f"{len(drifted)} of {len(features)} features drifted{_named(drifted)}.",
        columns=drifted,
    )


def feature_drift(comparison: Comparison, name: str) -> tuple[float, float] | None:
    """Return distance (0 to 1) and p-value of one feature; None if a set holds no value of it.

    Numerical: the two-sample Kolmogorov-Smirnov test, the distance being its statistic, the
    largest gap between the two empirical distribution functions (Hodges, Ark. Mat. 3, 1958,
    doi:10.1007/BF02589501). Categorical: see `_mix_difference`. Missing values are left out.
    """
    reference = comparison.reference[name].dropna()
    current = comparison.current[name].dropna()
    if reference.empty or current.empty:
        return None
    if name in comparison.categorical:
        return _mix_difference(reference, current)
    return _gap(reference, current)


def _gap(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    """Return statistic and p-value of the two-sample Kolmogorov-Smirnov test of numbers."""
    small = max(len(reference), len(current)) <= EXACT_UP_TO_ROWS
    outcome = stats.ks_2samp(
        reference.to_numpy(float), current.to_numpy(float), method="exact" if small else "asymp"
    )
    return float(outcome.statistic), float(outcome.pvalue)


def missing_values(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether more values are missing, in any one feature or over all features.

    One feature: Fisher's exact test, one-sided, on rows with and without a value. Over all: the
    Mann-Whitney test, one-sided with tie correction, on the number of missing values per row, as
    values may be missing together. The p-values are adjusted as one family by Holm (Scand. J.
    Stat. 6, 1979, jstor.org/stable/4615733). Fires when one of them is at most `alpha` while that
    share grew by at least `rule.missing_growth`.
    """
    features = comparison.features
    reference = comparison.reference[features].isna().to_numpy()
    current = comparison.current[features].isna().to_numpy()
    limit = rule.missing_growth
    if not features or not len(reference) or not len(current):
        return Signal("missing_values", False, None, limit, None, "There is nothing to compare.")
    growth = current.mean(axis=0) - reference.mean(axis=0)
    total_growth = float(current.mean() - reference.mean())
    p_values = [
        _more_often(int(a), len(current), int(b), len(reference))
        for a, b in zip(current.sum(axis=0), reference.sum(axis=0), strict=True)
    ]
    p_values.append(_larger(current.sum(axis=1), reference.sum(axis=1)))
    adjusted = _adjust_holm(np.array(p_values))
    real = adjusted <= alpha
    grown = [
        name
        for name, is_real, amount in zip(features, real[:-1], growth, strict=True)
        if is_real and _at_least(amount, limit)
    ]
    grown_in_all = bool(real[-1]) and _at_least(total_growth, limit)
    return Signal(
        name="missing_values",
        fired=bool(grown) or grown_in_all,
        value=float(max(total_growth, *growth)) if grown else total_growth,
        limit=limit,
        p_value=float(adjusted.min()),
        statement=(
            f"Missing values went from {reference.mean():.1%} to {current.mean():.1%}"
            f"{_named(grown, 'most of all in')}."
        ),
        columns=grown,
    )


def accuracy_drop(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether the accuracy fell beyond sampling noise, over the rows that have a label.

    One-sided test of two independent proportions by the hypergeometric distribution, with
    Lancaster's mid-p value (J. Am. Stat. Assoc. 56, 1961, doi:10.1080/01621459.1961.10482105):
    Fisher's own p-value would, with a few dozen rows, miss falls that a person sees at once.
    """
    limit = rule.accuracy_drop
    right = [_right(frame, comparison) for frame in (comparison.reference, comparison.current)]
    if not len(right[0]) or not len(right[1]):
        return Signal("accuracy_drop", False, None, limit, None, "There are no labels to compare.")
    before, after = float(right[0].mean()), float(right[1].mean())
    p_value = _more_often(
        int((~right[1]).sum()), len(right[1]), int((~right[0]).sum()), len(right[0]), mid_p=True
    )
    return Signal(
        name="accuracy_drop",
        fired=p_value <= alpha and _at_least(before - after, limit),
        value=before - after,
        limit=limit,
        p_value=p_value,
        statement=f"The accuracy went from {before:.1%} in testing to {after:.1%} in production.",
    )


def error_growth(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether a regression's mean absolute error grew beyond sampling noise.

    Over the rows that have a label. The size is the growth as a share of the error in testing
    (0.1: a tenth more), so that it has no unit; None where testing has no error at all, which any
    real error then exceeds. One-sided test of the two means: see `mean_rise.rise_p_value`.
    """
    limit = rule.error_growth
    errors = [_errors(frame, comparison) for frame in (comparison.reference, comparison.current)]
    if not len(errors[0]) or not len(errors[1]):
        return Signal("error_growth", False, None, limit, None, "There are no labels to compare.")
    before, after = float(errors[0].mean()), float(errors[1].mean())
    growth = after / before - 1 if before > 0 else None
    p_value = rise_p_value(errors[0], errors[1])
    large = after > before if growth is None else _at_least(growth, limit)
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


def value_drift(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether the distribution of a regression's predicted numbers changed; as a feature's."""
    reference = comparison.reference[comparison.prediction].dropna()
    current = comparison.current[comparison.prediction].dropna()
    limit = rule.prediction_distance
    if reference.empty or current.empty:
        return Signal("prediction_drift", False, None, limit, None, "There are no predictions.")
    distance, p_value = _gap(reference, current)
    return Signal(
        name="prediction_drift",
        fired=p_value <= alpha and _at_least(distance, limit),
        value=distance,
        limit=limit,
        p_value=p_value,
        statement=(
            f"The predicted numbers changed: their median went from {reference.median():.4g} in"
            f" testing to {current.median():.4g} in production."
        ),
    )


def prediction_drift(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether the mix of predicted classes changed; see `_mix_difference`."""
    reference = comparison.reference[comparison.prediction].dropna()
    current = comparison.current[comparison.prediction].dropna()
    limit = rule.prediction_distance
    if reference.empty or current.empty:
        return Signal("prediction_drift", False, None, limit, None, "There are no predictions.")
    distance, p_value = _mix_difference(reference, current)
    return Signal(
        name="prediction_drift",
        fired=p_value <= alpha and _at_least(distance, limit),
        value=distance,
        limit=limit,
        p_value=p_value,
        statement=(
            f"The mix of predicted classes changed: {_mix(reference, comparison.classes)} in "
            f"testing, {_mix(current, comparison.classes)} in production."
        ),
    )


def _errors(frame: pd.DataFrame, comparison: Comparison) -> NDArray[np.float64]:
    labelled = frame[[comparison.target, comparison.prediction]].dropna()
    errors = (labelled[comparison.target] - labelled[comparison.prediction]).abs()
    return errors.to_numpy(np.float64)


def _right(frame: pd.DataFrame, comparison: Comparison) -> NDArray[np.bool_]:
    labelled = frame[[comparison.target, comparison.prediction]].dropna()
    return (labelled[comparison.target] == labelled[comparison.prediction]).to_numpy(bool)


def _mix_difference(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    """Return total variation distance and p-value of two mixes of categories.

    Distance: half the sum of the absolute differences of the shares, 0 (same) to 1 (disjoint).
    P-value: Pearson's chi-squared test of homogeneity, without continuity correction; 1 where
    only one category occurs.
    """
    counts = pd.DataFrame(
        {"reference": reference.value_counts(), "current": current.value_counts()}
    ).fillna(0)
    table = counts.to_numpy(float).T
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if table.shape[1] < 2:
        return distance, 1.0
    return distance, float(stats.chi2_contingency(table, correction=False).pvalue)


def _more_often(
    hits: int, rows: int, reference_hits: int, reference_rows: int, *, mid_p: bool = False
) -> float:
    """Return the one-sided p-value that `hits` of `rows` is a larger share than the reference's.

    Fisher's exact test: given all hits, those that fall into `rows` are hypergeometric.
    """
    total = rows + reference_rows
    spread = stats.hypergeom(total, hits + reference_hits, rows)
    p_value = float(spread.sf(hits - 1))
    return p_value - float(spread.pmf(hits)) / 2 if mid_p else p_value


def _larger(counts: NDArray[np.int_], reference_counts: NDArray[np.int_]) -> float:
    """Return the one-sided Mann-Whitney p-value that `counts` are larger; 1 if all are equal."""
    if np.unique(np.concatenate([counts, reference_counts])).size == 1:
        return 1.0
    outcome = stats.mannwhitneyu(
        counts, reference_counts, alternative="greater", method="asymptotic"
    )
    return float(outcome.pvalue)


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


def _at_least(value: float, limit: float) -> bool:
    """Compare shares so that 0.95 - 0.90 reaches 0.05."""
    return value > limit or math.isclose(value, limit, abs_tol=1e-12)


def _named(names: Sequence[str], link: str = "") -> str:
    """Return the first names in brackets, or nothing."""
    if not names:
        return ""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f" ({link} {shown})" if link else f" ({shown})"


def _mix(predictions: pd.Series, classes: Sequence[str]) -> str:
    """Return the counts of predicted classes as text, in the dataset's order of classes."""
    counts = {str(name): int(count) for name, count in predictions.value_counts().items()}
    order = [*classes, *sorted(set(counts) - set(classes))]
    return ", ".join(f"{name}: {counts.get(name, 0)}" for name in order[:10])
