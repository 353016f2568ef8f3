"""One candidate on its folds: what every search is made of, whatever its strategy.

The answer is plain JSON, so that it can be kept, and comes the same from any thread, process or
machine.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_REASON = 1_000

Folds = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Row numbers to fit on and to score on, one pair per fold."""


@dataclass(frozen=True)
class FoldScores:
    """How one candidate did on its folds.

    Parameters
    ----------
    folds : per fold the scorer's numbers, NaN included; None where the fit or the scorer failed.
    fit_s : mean seconds of a fit.
    processor_s : processor time of all fits and scores, in seconds.
    reason : why the first of the failed folds failed, in the words of whoever refuses it.
    """

    folds: Sequence[Mapping[str, float] | None]
    fit_s: float
    processor_s: float = 0.0
    reason: str | None = None

    @property
    def scores(self) -> list[float]:
        """The score of each fold, NaN where it failed."""
        return [math.nan if fold is None else fold["score"] for fold in self.folds]

    @property
    def mean(self) -> float:
        """The mean score; NaN where a fold failed."""
        return float(np.average(np.array([self.scores]), axis=1)[0])

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; NaN and infinity as text, which JSON has no number for."""
        return {
            "folds": [
                None
                if fold is None
                else {name: _number_to_json(value) for name, value in fold.items()}
                for fold in self.folds
            ],
            "fit_s": self.fit_s,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "FoldScores":
        """Return what `to_json` gave; its processor time was spent before."""
        folds = [
            None
            if fold is None
            else {name: _number_from_json(value) for name, value in fold.items()}
            for fold in kept["folds"]
        ]
        return cls(folds, kept["fit_s"], 0.0, kept["reason"])


def fit_on_folds(
    pipeline: Any, scorer: Any, rows: Any, labels: NDArray[Any], folds: Folds
) -> FoldScores:
    """Fit clones of an unfitted pipeline on each fold's rows and score them on its others.

    `rows` is a DataFrame (n_rows, n_columns), `labels` (n_rows,). Whatever an estimator or a
    scorer raises is the fold's result, not an error.
    """
    # Imported here: a process that only asks for the work needs no estimator.
    from sklearn.base import clone

    began_s = time.process_time()
    found: list[Mapping[str, float] | None] = []
    fit_s: list[float] = []
    reason = None
    for fitted_on, scored_on in folds:
        start_s = time.perf_counter()
        try:
            fitted = clone(pipeline).fit(rows.iloc[fitted_on], labels[fitted_on])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
            fit_s.append(time.perf_counter() - start_s)
            found.append(None)
            reason = reason or shortened(error)
            continue
        fit_s.append(time.perf_counter() - start_s)
        try:
            found.append(scorer(fitted, rows.iloc[scored_on], labels[scored_on]))
        except Exception as error:  # noqa: BLE001
            found.append(None)
            reason = reason or shortened(error)
    return FoldScores(found, float(np.mean(fit_s)), time.process_time() - began_s, reason)


def shortened(error: BaseException) -> str:
    """Return an error's text, or its name where it has none, at a length that people read."""
    text = str(error) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _number_to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _number_from_json(value: float | str) -> float:
    return float(value)
