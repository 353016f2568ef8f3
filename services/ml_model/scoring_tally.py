"""What the parts of a set add to its score: counted part by part, put together at the end.

Pure; imports scikit-learn, so import it where needed.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

MOST_SHOWN_CLASSES = 50


@dataclass(frozen=True)
class ClassTally:
    """How often which class was predicted for rows of which: `counts` by (truth, predicted)."""

    counts: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, truth: Sequence[Any], predicted: Sequence[Any]) -> "ClassTally":
        """Count n labelled rows; classes are compared as texts."""
        return cls(Counter(zip(map(str, truth), map(str, predicted), strict=True)))

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "ClassTally":
        """Return what `as_json` gave."""
        return cls({(truth, predicted): n for truth, predicted, n in stored["counts"]})

    @classmethod
    def together(cls, tallies: Iterable["ClassTally"]) -> "ClassTally":
        """Return the tally of all their rows."""
        counts: Counter[tuple[str, str]] = Counter()
        for tally in tallies:
            counts.update(tally.counts)
        return cls(counts)

    def as_json(self) -> dict[str, Any]:
        """Return a form for JSON."""
        return {"counts": [[*pair, n] for pair, n in sorted(self.counts.items())]}

    @property
    def labelled_rows(self) -> int:
        """How many rows there are."""
        return sum(self.counts.values())

    def metrics(self) -> dict[str, float]:
        """Return `accuracy`; `f1_score`, `precision`, `recall` weighted by the classes' rows.

        They are exactly what scikit-learn gives for the rows: only whole numbers were added.
        """
        pairs = sorted(self.counts)
        rows = [self.counts[pair] for pair in pairs]
        right = sum(n for (truth, predicted), n in self.counts.items() if truth == predicted)
        precision, recall, f1_score, _ = precision_recall_fscore_support(
            [truth for truth, _ in pairs],
            [predicted for _, predicted in pairs],
            average="weighted",
            sample_weight=rows,
            zero_division=0.0,
        )
        return {
            "accuracy": right / sum(rows),
            "f1_score": float(f1_score),
            "precision": float(precision),
            "recall": float(recall),
        }

    def confusion(self) -> dict[str, Any] | None:
        """Return rows by class (`rows[i][j]`: i is true, j predicted); None of too many classes."""
        classes = sorted({label for pair in self.counts for label in pair})
        if len(classes) > MOST_SHOWN_CLASSES:
            return None
        rows = [[self.counts.get((truth, found), 0) for found in classes] for truth in classes]
        return {"classes": classes, "rows": rows}


@dataclass(frozen=True)
class NumberTally:
    """How far predicted numbers p are from the truth t, in n rows; e = t - p.

    `spread` is the sum of (t - mean t)²; `relative` that of |e / t|, None where some t is 0. A sum
    that overflows is infinite or NaN.
    """

    n: int
    absolute: float
    squared: float
    relative: float | None
    mean: float
    spread: float

    @classmethod
    def of(cls, truth: Sequence[Any], predicted: Sequence[Any]) -> "NumberTally":
        """Sum n labelled rows up."""
        if not len(truth):
            return NOTHING
        numbers = np.asarray(truth, np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            errors = numbers - np.asarray(predicted, np.float64)
            mean = numbers.mean()
            return cls(
                n=len(numbers),
                absolute=float(np.abs(errors).sum()),
                squared=float((errors**2).sum()),
                relative=None if (numbers == 0).any() else float(np.abs(errors / numbers).sum()),
                mean=float(mean),
                spread=float(((numbers - mean) ** 2).sum()),
            )

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "NumberTally":
        """Return what `as_json` gave."""
        relative = stored["relative"]
        return cls(
            n=stored["n"],
            relative=None if relative is None else float(relative),
            **{name: float(stored[name]) for name in ("absolute", "squared", "mean", "spread")},
        )

    @classmethod
    def together(cls, tallies: Iterable["NumberTally"]) -> "NumberTally":
        """Return the tally of all their rows; the order makes no difference beyond rounding."""
        parts = [tally for tally in tallies if tally.n]
        n = sum(part.n for part in parts)
        if not n:
            return NOTHING
        relatives = [part.relative for part in parts if part.relative is not None]
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _sum(part.mean * (part.n / n) for part in parts)
            spreads = [part.spread for part in parts]
            between = [part.n * float(np.square(part.mean - mean)) for part in parts]
        return cls(
            n=n,
            absolute=_sum(part.absolute for part in parts),
            squared=_sum(part.squared for part in parts),
            relative=_sum(relatives) if len(relatives) == len(parts) else None,
            mean=mean,
            spread=_sum([*spreads, *between]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return a form for JSON, which has no infinity: such numbers are texts."""
        numbers = {
            name: getattr(self, name) for name in ("absolute", "squared", "relative", "mean")
        } | {"spread": self.spread}
        return {
            "n": self.n,
            **{
                name: number if number is None or math.isfinite(number) else str(number)
                for name, number in numbers.items()
            },
        }

    @property
    def labelled_rows(self) -> int:
        """How many rows there are."""
        return self.n

    def confusion(self) -> None:
        """Numbers are not confused."""

    def metrics(self) -> dict[str, float]:
        """Return `mae`, `rmse`, `mape` and `r2`; see `evaluation_metrics.regression_metrics`.

        They differ from those of all rows at once by rounding alone. What overflows is left out.
        """
        found = {"mae": self.absolute / self.n, "rmse": _root(self.squared / self.n)}
        if self.relative is not None:
            found["mape"] = self.relative / self.n
        if self.n > 1:
            found["r2"] = self._r2()
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _r2(self) -> float:
        if self.spread == 0:
            # As scikit-learn has it where the truth never changes.
            return 1.0 if self.squared == 0 else 0.0
        return 1 - self.squared / self.spread


NOTHING = NumberTally(0, 0.0, 0.0, 0.0, 0.0, 0.0)

TALLIES: Mapping[str, type[ClassTally] | type[NumberTally]] = {
    "classification": ClassTally,
    "regression": NumberTally,
}
"""By the task of the dataset."""


def _sum(numbers: Iterable[float]) -> float:
    """Return the sum rounded once; NaN where it is beyond any number."""
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):
        return math.nan


def _root(number: float) -> float:
    return math.sqrt(number) if math.isfinite(number) else math.nan
