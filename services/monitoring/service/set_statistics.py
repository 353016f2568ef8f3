"""What is counted of a long set, and in which cells: values that are kept and compared.

Pure. The cells are fixed by the reference, so that the counts of any other set can be held against
its own. A set's statistics are a few hundred numbers per column, however many rows it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

QUANTILES = 256
"""A cell of numbers holds about one in so many of the reference's rows, or a single value."""

MOST_CATEGORIES = 1000
"""Categories that are counted by name: the reference's most frequent ones. Others share a cell."""


@dataclass(frozen=True)
class NumberCells:
    """The cells of a column of numbers: `edges` (ascending) are where each but the first begins.

    A cell holds its lower edge and not its upper one.
    """

    name: str
    edges: Sequence[float]
    kind: Literal["number"] = "number"


@dataclass(frozen=True)
class CategoryCells:
    """The categories of a column of texts that are counted by name."""

    name: str
    categories: Sequence[str]
    kind: Literal["category"] = "category"


@dataclass(frozen=True)
class TruthCells:
    """A column of truth values: its cells are false and true."""

    name: str
    kind: Literal["truth"] = "truth"


Cells = Annotated[NumberCells | CategoryCells | TruthCells, Field(discriminator="kind")]


@dataclass(frozen=True)
class ColumnCounts:
    """One column of a set.

    `counts` are the rows in each cell; of a text the last one is that of all other categories.
    `missing` rows have no value. The figures of numbers are None elsewhere, where there is no
    value, and where they are not finite; `deviation` is the sample standard deviation.
    """

    name: str
    counts: Sequence[int]
    missing: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None

    @property
    def present(self) -> int:
        """The rows that have a value."""
        return sum(self.counts)


@dataclass(frozen=True)
class FeatureCounts:
    """Every feature of a set; `missing_per_row[k]` rows have no value in exactly k features."""

    cells: Sequence[Cells]
    columns: Sequence[ColumnCounts]
    missing_per_row: Sequence[int]

    @property
    def rows(self) -> int:
        """The rows of the set."""
        return sum(self.missing_per_row)


@dataclass(frozen=True)
class Span:
    """Which part of a set a window is: its rows, and the first and last of their times if known."""

    rows: int
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class AnswerCount:
    """Rows with this class and this prediction, as texts; None where there is none."""

    actual: str | None
    predicted: str | None
    rows: int


@dataclass(frozen=True)
class ClassCounts:
    """What a classifier predicted for a set, against the truth: the confusion matrix."""

    answers: Sequence[AnswerCount]
    task: Literal["classification"] = "classification"


@dataclass(frozen=True)
class ErrorCounts:
    """What a regression predicted for a set, against the truth.

    Of `labelled` rows the mean absolute error, its sample variance and the root mean squared error;
    None where there are too few. The predictions' `counts` are by `cells`.
    """

    cells: NumberCells
    predicted: ColumnCounts
    median: float | None
    labelled: int
    mean_error: float | None
    error_variance: float | None
    root_mean_squared_error: float | None
    task: Literal["regression"] = "regression"


PredictionCounts = Annotated[ClassCounts | ErrorCounts, Field(discriminator="task")]


@dataclass(frozen=True)
class FeaturesByWindow:
    """Every feature of each window of a set; the cells, which are the same for all, only once.

    Kept once per window, they would be most of what is kept.
    """

    spans: Sequence[Span]
    cells: Sequence[Cells]
    columns: Sequence[Sequence[ColumnCounts]]
    missing_per_row: Sequence[Sequence[int]]

    @classmethod
    def of(
        cls, spans: Sequence[Span], cells: Sequence[Cells], windows: Sequence[FeatureCounts]
    ) -> "FeaturesByWindow":
        """Return what was counted of these windows, in these cells."""
        columns = [window.columns for window in windows]
        return cls(spans, cells, columns, [window.missing_per_row for window in windows])

    @property
    def windows(self) -> Sequence[FeatureCounts]:
        """The windows in order."""
        return [
            FeatureCounts(self.cells, columns, missing)
            for columns, missing in zip(self.columns, self.missing_per_row, strict=True)
        ]


@dataclass(frozen=True)
class PredictionsByWindow:
    """What a model version predicted for each window of a set."""

    windows: Sequence[PredictionCounts]


FEATURES: TypeAdapter[FeatureCounts] = TypeAdapter(FeatureCounts)
PREDICTIONS: TypeAdapter[ClassCounts | ErrorCounts] = TypeAdapter(PredictionCounts)
FEATURES_BY_WINDOW: TypeAdapter[FeaturesByWindow] = TypeAdapter(FeaturesByWindow)
PREDICTIONS_BY_WINDOW: TypeAdapter[PredictionsByWindow] = TypeAdapter(PredictionsByWindow)
"""To and from the JSON that is kept."""


@dataclass(frozen=True)
class CountedSet:
    """A scored set as it was counted."""

    features: FeatureCounts
    predictions: ClassCounts | ErrorCounts


@dataclass(frozen=True)
class CountedSets:
    """The two scored sets that are compared, both counted in the same cells."""

    reference: CountedSet
    current: CountedSet
    classes: Sequence[str]


@dataclass(frozen=True)
class WindowedSet:
    """A scored set in consecutive windows, each counted in the cells of the whole reference."""

    reference: CountedSet
    spans: Sequence[Span]
    windows: Sequence[CountedSet]
    classes: Sequence[str]


def number_cells(name: str, quantiles: Sequence[float | None]) -> NumberCells:
    """Return cells between a column's quantiles (ascending, None where there is no value).

    A value that many rows have is several quantiles at once. It gets a cell of its own, which ends
    at the next number there is: within that cell no two distributions can differ.
    """
    finite = np.array([value for value in quantiles if value is not None], dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    values, times = np.unique(finite, return_counts=True)
    behind = np.nextafter(values[times > 1], np.inf)
    edges = np.unique(np.concatenate([values, behind[np.isfinite(behind)]]))
    return NumberCells(name, tuple(edges.tolist()))


def single_valued(edges: Sequence[float]) -> NDArray[np.bool_]:
    """Say which of the cells between `edges` (n,) can hold one value only: (n + 1,)."""
    ends = np.array(edges, dtype=np.float64)
    single = np.zeros(len(ends) + 1, dtype=bool)
    if len(ends) > 1:
        single[1:-1] = np.nextafter(ends[:-1], np.inf) == ends[1:]
    return single


Kept = FeatureCounts | ClassCounts | ErrorCounts | FeaturesByWindow | PredictionsByWindow


def as_json(counts: Kept) -> dict[str, Any]:
    """Return plain values that JSON can hold."""
    value: dict[str, Any] = TypeAdapter(type(counts)).dump_python(counts, mode="json")
    return value
