"""The rule that decides whether a model has to be trained again, on two frames in memory.

Pure: two frames in, a verdict out; no database, no Evidently, no clock. What is large and what is
real decides `retraining_signals`; here the sizes and the p-values come from the rows, exact for
small sets.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from monitoring.service.comparison import Comparison
from monitoring.service.mean_rise import rise_p_value
from monitoring.service.retraining_signals import (
    Answers,
    Missing,
    RetrainingRule,
    Signal,
    Verdict,
    accuracy_drop_signal,
    data_drift_signal,
    error_growth_signal,
    missing_values_signal,
    mix_difference,
    nothing_missing_signal,
    prediction_drift_signal,
    value_drift_signal,
    verdict_of,
)

EXACT_UP_TO_ROWS = 1000
"""Up to this many rows in each set, Kolmogorov-Smirnov p-values are exact; beyond, asymptotic."""


def judge(comparison: Comparison, rule: RetrainingRule) -> Verdict:
    """Decide whether the model that made these predictions has to be trained again."""
    alpha = rule.false_alarm_rate / 4
    of_numbers = comparison.task == "regression"
    return verdict_of(
        (
            data_drift(comparison, rule, alpha),
            missing_values(comparison, rule, alpha),
            (error_growth if of_numbers else accuracy_drop)(comparison, rule, alpha),
            (value_drift if of_numbers else prediction_drift)(comparison, rule, alpha),
        )
    )


def data_drift(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """Count the features whose distribution changed; see `feature_drift`."""
    compared = {name: feature_drift(comparison, name) for name in comparison.features}
    return data_drift_signal(compared, rule, alpha)


def feature_drift(comparison: Comparison, name: str) -> tuple[float, float] | None:
    """Return distance (0 to 1) and p-value of one feature; None if a set holds no value of it.

    Numerical: the two-sample Kolmogorov-Smirnov test, the distance being its statistic, the
    largest gap between the two empirical distribution functions (Hodges, Ark. Mat. 3, 1958,
    doi:10.1007/BF02589501). Categorical: see `mix_difference`. Missing values are left out.
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

    Over all: the Mann-Whitney test, one-sided with tie correction, on the number of missing values
    per row, as values may be missing together.
    """
    features = comparison.features
    reference = comparison.reference[features].isna().to_numpy()
    current = comparison.current[features].isna().to_numpy()
    if not features or not len(reference) or not len(current):
        return nothing_missing_signal(rule)
    return missing_values_signal(
        features,
        Missing(len(reference), reference.sum(axis=0)),
        Missing(len(current), current.sum(axis=0)),
        _larger(current.sum(axis=1), reference.sum(axis=1)),
        rule,
        alpha,
    )


def accuracy_drop(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether the accuracy fell beyond sampling noise, over the rows that have a label."""
    reference, current = (
        _answers(frame, comparison) for frame in (comparison.reference, comparison.current)
    )
    return accuracy_drop_signal(reference, current, rule, alpha)


def error_growth(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether a regression's mean absolute error grew; see `mean_rise.rise_p_value`."""
    reference, current = (
        _errors(frame, comparison) for frame in (comparison.reference, comparison.current)
    )
    if not len(reference) or not len(current):
        return error_growth_signal(None, rule, alpha)
    means = float(reference.mean()), float(current.mean())
    return error_growth_signal((*means, rise_p_value(reference, current)), rule, alpha)


def value_drift(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether the distribution of a regression's predicted numbers changed; as a feature's."""
    reference = comparison.reference[comparison.prediction].dropna()
    current = comparison.current[comparison.prediction].dropna()
    compared = None if reference.empty or current.empty else _gap(reference, current)
    medians = float(reference.median()), float(current.median())
    return value_drift_signal(compared, medians, rule, alpha)


def prediction_drift(comparison: Comparison, rule: RetrainingRule, alpha: float) -> Signal:
    """See whether the mix of predicted classes changed; see `mix_difference`."""
    reference = comparison.reference[comparison.prediction].dropna()
    current = comparison.current[comparison.prediction].dropna()
    compared = None if reference.empty or current.empty else _mix_difference(reference, current)
    mixes = _mix_of(reference), _mix_of(current)
    return prediction_drift_signal(compared, mixes, comparison.classes, rule, alpha)


def _errors(frame: pd.DataFrame, comparison: Comparison) -> NDArray[np.float64]:
    labelled = frame[[comparison.target, comparison.prediction]].dropna()
    errors = (labelled[comparison.target] - labelled[comparison.prediction]).abs()
    return errors.to_numpy(np.float64)


def _answers(frame: pd.DataFrame, comparison: Comparison) -> Answers:
    labelled = frame[[comparison.target, comparison.prediction]].dropna()
    right = (labelled[comparison.target] == labelled[comparison.prediction]).to_numpy(bool)
    return Answers(len(right), int(right.sum()))


def _mix_difference(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    counts = pd.DataFrame(
        {"reference": reference.value_counts(), "current": current.value_counts()}
    ).fillna(0)
    return mix_difference(counts.to_numpy(float).T)


def _mix_of(predictions: pd.Series) -> Mapping[str, int]:
    return {str(name): int(count) for name, count in predictions.value_counts().items()}


def _larger(counts: NDArray[np.int_], reference_counts: NDArray[np.int_]) -> float:
    """Return the one-sided Mann-Whitney p-value that `counts` are larger; 1 if all are equal."""
    if np.unique(np.concatenate([counts, reference_counts])).size == 1:
        return 1.0
    outcome = stats.mannwhitneyu(
        counts, reference_counts, alternative="greater", method="asymptotic"
    )
    return float(outcome.pvalue)
