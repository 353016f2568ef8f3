"""How right predictions were, as sums that can be added up over windows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """How right predictions were: sums, which can be added, and the figures they give.

    Of n predictions some have a label: `classes` of them, `right` rightly predicted, or `numbers`
    of them, with the sums of their absolute and squared errors, and the mean and the variance
    (population) of the labels. Figures are None where no label can say.
    """

    predictions: int = 0
    classes: int = 0
    right: int = 0
    numbers: int = 0
    errors: float = 0.0
    squared_errors: float = 0.0
    mean_truth: float = 0.0
    variance: float = 0.0

    def __add__(self, other: "Quality") -> "Quality":
        numbers = self.numbers + other.numbers
        share = other.numbers / numbers if numbers else 0.0
        between = other.mean_truth - self.mean_truth
        return Quality(
            self.predictions + other.predictions,
            self.classes + other.classes,
            self.right + other.right,
            numbers,
            self.errors + other.errors,
            self.squared_errors + other.squared_errors,
            self.mean_truth + share * between,
            # Within the two parts and between them.
            (1 - share) * self.variance + share * other.variance + share * (1 - share) * between**2,
        )

    @property
    def labelled(self) -> int:
        """Predictions with a label."""
        return self.classes + self.numbers

    @property
    def accuracy(self) -> float | None:
        """The share of right classes."""
        return self.right / self.classes if self.classes else None

    @property
    def mean_absolute_error(self) -> float | None:
        """Of a regression, in the unit of its target."""
        return self.errors / self.numbers if self.numbers else None

    @property
    def r2(self) -> float | None:
        """The share of the labels' variance that is explained; None where they are all equal."""
        if not self.numbers or self.variance <= 0:
            return None
        return 1 - self.squared_errors / (self.numbers * self.variance)
