"""By what candidates are compared: scikit-learn's scorers that fit classification."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names

from tracking.errors import UnknownScoring

BINARY_ONLY = frozenset({"average_precision", "f1", "jaccard", "precision", "recall", "roc_auc"})
"""Scorers that know a positive class; they fit two classes labelled 0 and 1."""

_AVERAGED = tuple(
    f"{name}_{average}"
    for name in ("f1", "jaccard", "precision", "recall")
    for average in ("macro", "micro", "weighted")
)
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
)


def scorer_names(classes: Sequence[Any] | None = None) -> list[str]:
    """Return the scorers that fit; given the `classes`, without those that need other ones."""
    known = set(get_scorer_names())
    names = sorted(name for name in _CLASSIFICATION if name in known)
    if classes is None or list(classes) == [0, 1]:
        return names
    return [name for name in names if name not in BINARY_ONLY]


def check_scoring(name: str, classes: Sequence[Any] | None = None) -> None:
    """Raise `UnknownScoring`, naming the valid ones, unless `name` fits."""
    valid = scorer_names(classes)
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

    def __call__(self, estimator: Any, rows: Any, labels: Any) -> dict[str, float]:
        """Return the counts and the score; NaN where the scorer refuses the estimator."""
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
        try:
            return float(get_scorer(self._scoring)(estimator, rows, truth))
        except Exception:  # noqa: BLE001 - whatever a scorer refuses, its candidate has no score
            return float("nan")


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
