"""Rows that a model was not fitted on, to compare its two forms on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ml_model.fitting import features_of
from modelkit.features import columns_of, rows_of
from modelkit.input_rows import InputColumn
from modelkit.servable import Rows
from schema.sets import Dataset

MOST_ROWS = 5_000
"""More would tell nothing more, and the comparison is waited for."""


@dataclass(frozen=True)
class HeldOut:
    """Rows of a dataset: `values` (n, k) by `columns`, see `modelkit.features.rows_of`.

    `source` says in words where they come from; `class_names` are the dataset's, by the class as
    text, empty where it has none.
    """

    source: str
    columns: tuple[InputColumn, ...]
    values: Rows
    class_names: Mapping[str, str]


def held_out_of(source: str, dataset: Dataset, rows: pd.DataFrame) -> HeldOut:
    """Return rows of a dataset, the target among them, as rows to compare on."""
    features = features_of(rows.head(MOST_ROWS), dataset.target.name)
    return HeldOut(source, columns_of(features), rows_of(features), class_names_of(dataset))


def class_names_of(dataset: Dataset) -> Mapping[str, str]:
    """Return what people call a dataset's classes, by the class as text; may be empty."""
    names: Sequence[str] = dataset.class_names or ()
    return {str(label): name for label, name in zip(dataset.classes, names, strict=False)}
