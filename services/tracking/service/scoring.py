"""By what candidates are compared: scikit-learn's scorers, and the metrics of what was said.

Which scorers fit depends on the task. See docs/adr/0017-regression.md for what a regression is best
compared by.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    d2_brier_score,
    f1_score,
    get_scorer,
    get_scorer_names,
    jaccard_score,
    make_scorer,
    precision_score,
    recall_score,
)

from tracking.errors import UnknownScoring

_BY_SCORE = {"response_method": ("decision_function", "predict_proba")}
_BY_PROBABILITY = {"response_method": "predict_proba"}
_OF_POSITIVES: Mapping[str, Callable[..., Any]] = {
    "average_precision": partial(make_scorer, average_precision_score, **_BY_SCORE),
    "d2_brier_score": partial(make_scorer, d2_brier_score, **_BY_PROBABILITY),
    "f1": partial(make_scorer, f1_score),
    "jaccard": partial(make_scorer, jaccard_score),
    "neg_brier_score": partial(
        make_scorer, brier_score_loss, greater_is_better=False, **_BY_PROBABILITY
    ),
    "precision": partial(make_scorer, precision_score),
    "recall": partial(make_scorer, recall_score),
}
"""Of two classes these look at one; scikit-learn's own scorers of these names need it to be 1."""

BINARY_ONLY = frozenset(
    {
        "average_precision",
        "f1",
        "jaccard",
        "neg_negative_likelihood_ratio",
        "positive_likelihood_ratio",
        "precision",
        "recall",
        "roc_auc",
    }
)
"""Scorers that fit two classes. The second in order (1, true, yes after no) is the positive one."""

MANY_ONLY = frozenset({"top_k_accuracy"})
"""Scorers that say nothing of two classes."""

_AVERAGED = tuple(
    f"{name}_{average}"
    for name in ("f1", "jaccard", "precision", "recall")
    for average in ("macro", "micro", "weighted")
)
OF_PREDICTIONS = frozenset({"accuracy", "balanced_accuracy", "matthews_corrcoef", *_AVERAGED})
"""Scorers of any classes that look at what was said alone, and not at how probable it was."""

_CLASSIFICATION = (
    "accuracy",
    "balanced_accuracy",
    "d2_brier_score",
    "d2_log_loss_score",
    "matthews_corrcoef",
    "neg_brier_score",
    "neg_log_loss",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
    *_AVERAGED,
    *BINARY_ONLY,
    *MANY_ONLY,
)
_REGRESSION = (
    "d2_absolute_error_score",
    "explained_variance",
    "neg_max_error",
    "neg_mean_absolute_error",
    "neg_mean_absolute_percentage_error",
    "neg_mean_gamma_deviance",
    "neg_mean_poisson_deviance",
    "neg_mean_squared_error",
    "neg_mean_squared_log_error",
    "neg_median_absolute_error",
    "neg_root_mean_squared_error",
    "neg_root_mean_squared_log_error",
    "r2",
)


def scorer_names(classes: Sequence[Any] | None = None, task: str = "classification") -> list[str]:
    """Return the scorers that fit; given the `classes`, without those that need other ones."""
    known = set(get_scorer_names())
    fitting = _REGRESSION if task == "regression" else _CLASSIFICATION
    names = sorted(name for name in fitting if name in known)
    if task == "regression":
        return names
    if classes is None:
        return names
    others = MANY_ONLY if len(classes) == 2 else BINARY_ONLY
    return [name for name in names if name not in others]


def is_scorer(name: str) -> bool:
    """Tell whether a name is that of a scorer of any task."""
    return any(name in scorer_names(task=task) for task in ("classification", "regression"))


def check_scoring(
    name: str, classes: Sequence[Any] | None = None, task: str = "classification"
) -> None:
    """Raise `UnknownScoring`, naming the valid ones, unless `name` fits."""
    valid = scorer_names(classes, task)
    if name not in valid:
        raise UnknownScoring(f"scoring must be one of: {', '.join(valid)}.")


class FoldScorer:
    """Scores a fitted candidate on a fold and counts, per class, what it said.

    Added up over the folds, the counts give the metrics of the out-of-fold predictions exactly,
    without fitting anything a second time. Returned keys: `score`, and per class position i
    `right_i`, `said_i`, `true_i` (rows).
    """

    def __init__(self, scoring: str, labels: NDArray[Any]) -> None:
        self._scoring = scoring
        self._labels = np.unique(labels)
        self._scorer = _scorer(scoring, self._labels.tolist())

    def __call__(self, estimator: Any, rows: Any, labels: Any) -> dict[str, float]:
        """Return the counts and the score; raises what the scorer raises."""
        truth = np.asarray(labels)
        said = np.asarray(estimator.predict(rows))
        answer = {"score": self._score(estimator, rows, truth, said)}
        for position, label in enumerate(self._labels):
            is_said, is_true = said == label, truth == label
            answer[f"right_{position}"] = float(np.count_nonzero(is_said & is_true))
            answer[f"said_{position}"] = float(np.count_nonzero(is_said))
            answer[f"true_{position}"] = float(np.count_nonzero(is_true))
        return answer

    def _score(self, estimator: Any, rows: Any, truth: Any, said: Any) -> float:
        if self._scoring == "accuracy":
            return float(np.mean(said == truth))
        return float(self._scorer(estimator, rows, truth))


def _scorer(scoring: str, classes: Sequence[Any]) -> Any:
    own = _OF_POSITIVES.get(scoring)
    if own is None or list(classes) == [0, 1] or len(classes) != 2:
        return get_scorer(scoring)
    return own(pos_label=classes[1])


class ErrorScorer:
    """Scores a fitted candidate of a regression on a fold and adds up its errors.

    As with `FoldScorer`, the sums give the metrics of the out-of-fold predictions. Returned keys:
    `score`, and over the fold's rows `absolute` and `squared`, the sums of |truth - said| and of
    its square, and `relative`, the sum of |truth - said| / |truth|, NaN where some truth is 0.
    """

    def __init__(self, scoring: str) -> None:
        self._scoring = scoring

    def __call__(self, estimator: Any, rows: Any, labels: Any) -> dict[str, float]:
        """Return the sums and the score; raises what the scorer raises."""
        truth = np.asarray(labels, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.abs(truth - np.asarray(estimator.predict(rows), dtype=np.float64))
            relative = float(np.sum(errors / np.abs(truth))) if truth.all() else float("nan")
            return {
                "score": float(get_scorer(self._scoring)(estimator, rows, truth)),
                "absolute": float(errors.sum()),
                "squared": float((errors**2).sum()),
                "relative": relative,
            }


def error_metrics(
    labels: NDArray[np.float64], absolute: float, squared: float, relative: float
) -> dict[str, float]:
    """Return r2 and the errors of n out-of-fold predictions from their sums, see `ErrorScorer`.

    `labels` (n,) are all numbers that were predicted. `model_mae` and `model_rmse` are in the unit
    of the target; `model_mape` is a share and `model_r2` 1 - squared / sum (label - mean label)².
    What is no finite number is left out: no mape where a label is 0, no r2 of equal labels.
    """
    rows = len(labels)
    spread = float(((labels - labels.mean()) ** 2).sum())
    found = {
        "model_r2": 1 - squared / spread if spread > 0 else float("nan"),
        "model_mae": absolute / rows,
        "model_rmse": math.sqrt(squared / rows),
        "model_mape": relative / rows,
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def weighted_metrics(
    right: NDArray[np.float64], said: NDArray[np.float64], true: NDArray[np.float64]
) -> dict[str, float]:
    """Return accuracy and the weighted F1, precision and recall (0 to 1) from counts per class.

    Each array is (n_classes,) of rows: rightly said, said, true. A class's precision is right/said
    (0 when it was never said), its recall right/true, its F1 2·right/(said+true); the mean is
    weighted by the true rows (scikit-learn's `average="weighted"`, `zero_division=0`).
    """
    total = true.sum()
    weights = true / total
    return {
        "model_accuracy": float(right.sum() / total),
        "model_f1_score": float(weights @ _ratio(2 * right, said + true)),
        "model_precision": float(weights @ _ratio(right, said)),
        "model_recall": float(weights @ _ratio(right, true)),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
