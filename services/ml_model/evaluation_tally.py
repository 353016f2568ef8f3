"""The metrics of `evaluation_metrics`, counted part by part: memory does not grow with the rows.

Counts and sums are exact or differ by rounding alone. Two metrics need all rows in order, which
are counted in narrow bins instead, and the notes say how narrow. Pure; imports scikit-learn, so
import it where needed.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_model.evaluation_metrics import LEAST_PROBABILITY
from ml_model.scoring_tally import ClassTally, NumberTally

MOST_BINS = 2**20
"""Of all classes together: 16 MB."""

MOST_BINS_OF_CLASS = 2**16
LARGEST_LOG_ODDS = 40.0
"""Where a float64 cannot tell a probability from 1 any more."""

CUT_BITS = 38
"""Of the 52 bits of a float64's fraction: what is left tells numbers apart by 1 in 16,384."""


class ClassMeasures:
    """Counts classified rows."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = list(classes)
        self._place = {name: number for number, name in enumerate(classes)}
        self._tally = ClassTally({})
        self._has_probabilities = True
        self._losses: list[float] = []
        bins = max(2, min(MOST_BINS_OF_CLASS, MOST_BINS // max(1, len(classes))))
        #: By class and bin the rows of the class (1) and of others (0).
        self._counts = np.zeros((2, len(classes), bins), dtype=np.int64)

    def add(
        self,
        truth: Sequence[str],
        predicted: Sequence[Any],
        probabilities: NDArray[np.float64] | None,
    ) -> None:
        """Count n rows; probabilities (n, c) in the order of the classes."""
        if not truth:
            return
        tally = ClassTally.of(truth, predicted)
        self._tally = ClassTally.together([self._tally, tally])
        if probabilities is None:
            self._has_probabilities = False
            return
        if not set(truth) <= set(self._classes):
            # Neither metric of probabilities is given then.
            return
        numbers = np.array([self._place[name] for name in truth])
        shares = probabilities / probabilities.sum(axis=1, keepdims=True)
        right = shares[np.arange(len(numbers)), numbers]
        self._losses.append(float(-np.log(np.maximum(right, LEAST_PROBABILITY)).sum()))
        n_bins = self._counts.shape[2]
        for number in range(len(self._classes)):
            bins = _bins_of(shares[:, number], n_bins)
            own = numbers == number
            self._counts[1, number] += np.bincount(bins[own], minlength=n_bins)
            self._counts[0, number] += np.bincount(bins[~own], minlength=n_bins)

    def metrics(self) -> tuple[dict[str, float], list[str]]:
        """Return what `classification_metrics` does of all rows."""
        metrics = self._tally.metrics()
        if not self._has_probabilities:
            return metrics, [
                "The model gives no probabilities, hence neither log_loss nor roc_auc."
            ]
        occurring = {truth for truth, _ in self._tally.counts}
        unknown = sorted(occurring - set(self._classes))
        if unknown:
            return metrics, [
                f"The model does not know {', '.join(unknown)}: no log_loss, no roc_auc."
            ]
        metrics["log_loss"] = math.fsum(self._losses) / self._tally.labelled_rows
        if len(occurring) < len(self._classes):
            return metrics, ["Not every class occurs, hence no roc_auc."]
        if len(self._classes) == 2:
            area, error = self._area(1)
        else:
            found = [self._area(number) for number in range(len(self._classes))]
            rows = self._counts[1].sum(axis=1)
            area, error = np.average(found, axis=0, weights=rows)
        metrics["roc_auc"] = float(area)
        n_bins = self._counts.shape[2]
        return metrics, [
            f"roc_auc is counted in {n_bins} bins of the log odds: off by {error:.2g} at most."
        ]

    def _area(self, number: int) -> tuple[float, float]:
        """Return the area under a class's ROC curve, and by how much it may be wrong."""
        others, own = self._counts[:, number].astype(np.float64)
        below = np.cumsum(others) - others
        pairs = own.sum() * others.sum()
        # Rows of one bin count as equal: half a pair each, where it is a whole or none.
        tied = float((own * others).sum()) / 2 / pairs
        return float((own * below).sum()) / pairs + tied, tied


def _bins_of(shares: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    with np.errstate(divide="ignore"):
        odds = np.log(shares) - np.log1p(-shares)
    place = (np.clip(odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS) / LARGEST_LOG_ODDS + 1) / 2
    bins: NDArray[np.int64] = (place * (n_bins - 1)).astype(np.int64)
    return bins


class NumberMeasures:
    """Sums up how far predicted numbers are from the truth."""

    def __init__(self) -> None:
        self._parts: list[NumberTally] = []
        self._errors: Counter[int] = Counter()

    def add(self, truth: Sequence[float], predicted: Sequence[float], _: Any) -> None:
        """Sum n rows up."""
        if not truth:
            return
        self._parts.append(NumberTally.of(truth, predicted))
        with np.errstate(over="ignore"):
            errors = np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64))
        # A positive float64's bits are in the order of the numbers.
        bins, counts = np.unique(errors.view(np.int64) >> CUT_BITS, return_counts=True)
        self._errors.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def metrics(self) -> tuple[dict[str, float], list[str]]:
        """Return what `regression_metrics` does of all rows."""
        whole = NumberTally.together(self._parts)
        metrics = {**whole.metrics(), "median_absolute_error": self._median(whole.n)}
        notes = []
        if whole.relative is None:
            notes.append("The target is 0 in some row, hence no mape.")
        if whole.n < 2:
            notes.append("One row alone has no r2.")
        if not math.isfinite(metrics["median_absolute_error"]):
            del metrics["median_absolute_error"]
        due = {"mae", "rmse", "median_absolute_error"}
        due |= {"mape"} if whole.relative is not None else set()
        due |= {"r2"} if whole.n > 1 else set()
        beyond = sorted(due - set(metrics))
        if beyond:
            notes.append(f"Too large for a number: {', '.join(beyond)}.")
        if "median_absolute_error" in metrics:
            notes.append(
                f"median_absolute_error is counted in bins: off by 1 in {2 ** (52 - CUT_BITS)}"
                " of itself at most."
            )
        return metrics, notes

    def _median(self, n: int) -> float:
        middle = [self._ranked((n - 1) // 2), self._ranked(n // 2)]
        return sum(middle) / 2

    def _ranked(self, rank: int) -> float:
        """Return the error of this rank, from 0 on: the least number of its bin."""
        before = 0
        for bin_, count in sorted(self._errors.items()):
            before += count
            if before > rank:
                return float(np.array([bin_ << CUT_BITS]).view(np.float64)[0])
        raise IndexError(rank)
