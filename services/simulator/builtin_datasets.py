"""The datasets that come with scikit-learn, read from its package: no download.

The adapter to `sklearn.datasets`. To add one, add an entry to `_LOADERS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from schema.samples import Column

_LOADERS: Mapping[str, Callable[..., Any]] = {
    "wine": load_wine,
    "iris": load_iris,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
}

DATASET_NAMES = tuple(_LOADERS)


@dataclass(frozen=True)
class SourceDataset:
    """A whole dataset before it is split.

    `rows` is (n_rows, n_features + 1): the features in order, then the target. Not to be changed:
    it is shared between requests. `class_names` stand in the order of `classes`.
    """

    name: str
    task: str
    features: tuple[Column, ...]
    target: Column
    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    origin: str
    rows: pd.DataFrame


@cache
def read_builtin(name: str) -> SourceDataset:
    """Return a dataset by its name (one of `DATASET_NAMES`, else KeyError).

    The target is the class number, as scikit-learn has it.
    """
    bunch = _LOADERS[name](as_frame=True)
    rows = bunch.frame
    classes = tuple(sorted(int(label) for label in rows["target"].unique()))
    features = tuple(Column(column, "number") for column in bunch.feature_names)
    return SourceDataset(
        name=name,
        task="classification",
        features=features,
        target=Column("target", "integer"),
        classes=classes,
        class_names=tuple(str(bunch.target_names[label]) for label in classes),
        origin="builtin:sklearn",
        rows=rows.astype({column.name: "float64" for column in features}),
    )
