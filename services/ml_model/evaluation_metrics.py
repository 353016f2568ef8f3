"""How well predictions fit the truth. Pure; imports scikit-learn, so import it where needed."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, r2_score, roc_auc_score

LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
"""A probability of 0 for the true class would make the loss infinite."""


def classification_metrics(
    truth: Sequence[str],
    predicted: Sequence[str],
    probabilities: NDArray[np.float64] | None,
    classes: Sequence[str],
) -> tuple[dict[str, float], list[str]]:
    """Return metrics of n classified rows, and what could not be computed and why.

    Accuracy; f1, precision and recall of the classes weighted by their rows. With probabilities
    (n, c) in the order of `classes` also the log loss (nats) and the area under the ROC curve (one
    class against the rest, weighted by their rows).
    """
    precision, recall, f1_score, _ = precision_recall_fscore_support(
        truth, predicted, average="weighted", zero_division=0.0
    )
    metrics = {
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1_score": float(f1_score),
        "precision": float(precision),
        "recall": float(recall),
    }
    if probabilities is None:
        return metrics, ["The model gives no probabilities, hence neither log_loss nor roc_auc."]
    unknown = sorted(set(truth) - set(classes))
    if unknown:
        return metrics, [f"The model does not know {', '.join(unknown)}: no log_loss, no roc_auc."]
    place = {name: number for number, name in enumerate(classes)}
    numbers = np.array([place[name] for name in truth])
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    right = shares[np.arange(len(numbers)), numbers]
    metrics["log_loss"] = float(-np.log(np.maximum(right, LEAST_PROBABILITY)).mean())
    if len(set(truth)) < len(classes):
        return metrics, ["Not every class occurs, hence no roc_auc."]
    if len(classes) == 2:
        metrics["roc_auc"] = float(roc_auc_score(numbers, shares[:, 1]))
    else:
        metrics["roc_auc"] = float(
            roc_auc_score(numbers, shares, multi_class="ovr", average="weighted")
        )
    return metrics, []


def regression_metrics(
    truth: Sequence[float], predicted: Sequence[float]
) -> tuple[dict[str, float], list[str]]:
    """Return how far n predicted numbers are from the truth, and what could not be computed.

    Of the errors e = truth - predicted, in the unit of the target: `mae` the mean and
    `median_absolute_error` the median of |e|, `rmse` the square root of the mean of e². Without a
    unit: `mape` the mean of |e / truth| (0.1 is 10 %), where no truth is 0, and `r2`, the share of
    the truth's variance that is explained, 1 - sum e² / sum (truth - mean truth)², where there are
    two rows; as scikit-learn has it, 0 (1 without any error) where the truth never changes. All
    values are finite numbers: neither side may hold NaN, and what overflows is left out.
    """
    numbers = np.asarray(truth, float)
    notes = []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        errors = numbers - np.asarray(predicted, float)
        metrics = {
            "mae": float(np.abs(errors).mean()),
            "rmse": math.sqrt(float((errors**2).mean())),
            "median_absolute_error": float(np.median(np.abs(errors))),
        }
        if (numbers == 0).any():
            notes.append("The target is 0 in some row, hence no mape.")
        else:
            metrics["mape"] = float(np.abs(errors / numbers).mean())
        if len(errors) < 2:
            notes.append("One row alone has no r2.")
        else:
            metrics["r2"] = float(r2_score(truth, predicted))
    beyond = [name for name, value in metrics.items() if not math.isfinite(value)]
    if beyond:
        notes.append(f"Too large for a number: {', '.join(beyond)}.")
    return {name: value for name, value in metrics.items() if name not in beyond}, notes
