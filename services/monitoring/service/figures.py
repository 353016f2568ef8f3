"""Figures of the parts of a column put together. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Of `present` numbers the extremes, the mean and the sample variance; None where too few."""

    present: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    variance: float | None = None


def combined(parts: Sequence[Figures]) -> Figures:
    """Return the figures of all parts together, whose means are finite.

    Sums of squares about each part's own mean are added to those of the means about the common one,
    so that nothing large is subtracted: Chan, Golub and LeVeque, Compstat 1982,
    doi:10.1007/978-3-642-51461-6_3. What overflows is infinite.
    """
    known = [(part.present, part.mean, part.variance) for part in parts if part.mean is not None]
    mean = variance = None
    if known:
        present = sum(number for number, _, _ in known)
        mean = sum(number / present * of_part for number, of_part, _ in known)
        squares = sum(
            (number - 1) * (of_squares or 0.0) + number * (of_part - mean) * (of_part - mean)
            for number, of_part, of_squares in known
        )
        variance = squares / (present - 1) if present > 1 else None
    return Figures(
        sum(part.present for part in parts),
        min((part.minimum for part in parts if part.minimum is not None), default=None),
        max((part.maximum for part in parts if part.maximum is not None), default=None),
        mean,
        variance,
    )
