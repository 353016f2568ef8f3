"""The two scored sets that a monitoring question compares."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

PREDICTION = "prediction"
"""Name of the prediction column, unless a column of the dataset has it; see `Comparison`."""


@dataclass(frozen=True)
class Comparison:
    """A reference and a current frame with the same columns, ready to be judged.

    `reference` is the scored testing set, `current` the scored production set. Each row is a
    sample. `numerical` columns are float64 (NaN where missing), among them dates and times as days
    since 1970; `categorical` ones, the target and
    the prediction hold text (None where missing), classes being written the same way in both. Of a
    regression the last two are float64.

    `classes` are all classes of the dataset, in its order; the frames need not hold each of them.
    A regression has none.
    """

    reference: pd.DataFrame
    current: pd.DataFrame
    numerical: Sequence[str]
    categorical: Sequence[str]
    target: str
    prediction: str
    classes: Sequence[str]
    task: str = "classification"

    @property
    def features(self) -> list[str]:
        """Every feature, in the dataset's order of kinds: numerical, then categorical."""
        return [*self.numerical, *self.categorical]
