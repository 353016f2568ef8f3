"""The datasets that come with scikit-learn, read from its package: no download.

The adapter to `sklearn.datasets`, which is imported when one is read first: with SciPy it takes
80 MiB that a service at rest does not need. To add one, add its name, as in `load_wine`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import pandas as pd

from contracts.vocabulary import BUILTIN_DATASETS
from schema.samples import Column
from simulator.domain import DatasetDescription

REGRESSIONS = frozenset({"diabetes"})


@dataclass(frozen=True)
class SourceDataset:
    """A whole dataset before it is split.

    `rows` is (n_rows, n_features + 1): the features in order, then the target. Not to be changed:
    it is shared between requests. `class_names` stand in the order of `classes`; a regression has
    neither.
    """

    name: str
    task: str
    features: tuple[Column, ...]
    target: Column
    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    origin: str
    rows: pd.DataFrame

    @property
    def description(self) -> DatasetDescription:
        """All but the rows."""
        return DatasetDescription(
            name=self.name,
            task=self.task,
            columns=(*self.features, self.target),
            target=self.target.name,
            classes=self.classes,
            class_names=self.class_names,
            origin=self.origin,
        )

    def chunks(self, columns: Sequence[Column]) -> Iterator[pd.DataFrame]:
        """Yield the named columns; it is one chunk."""
        yield self.rows[[column.name for column in columns]]


@cache
def read_builtin(name: str) -> SourceDataset:
    """Return a dataset by its name (one of `BUILTIN_DATASETS`, else KeyError).

    The target is the class number, as scikit-learn has it, or the number of a regression.
    """
    if name not in BUILTIN_DATASETS:
        raise KeyError(name)
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    rows = bunch.frame
    is_regression = name in REGRESSIONS
    labels = [] if is_regression else rows["target"].unique()
    classes = tuple(sorted(int(label) for label in labels))
    features = tuple(Column(column, "number") for column in bunch.feature_names)
    return SourceDataset(
        name=name,
        task="regression" if is_regression else "classification",
        features=features,
        target=Column("target", "number" if is_regression else "integer"),
        classes=classes,
        class_names=tuple(str(bunch.target_names[label]) for label in classes),
        origin="builtin:sklearn",
        rows=rows.astype({column.name: "float64" for column in features}),
    )
