"""The loaded training set as searches need it."""

from dataclasses import replace
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session, scoped_session

from modelkit.features import feature_frame
from schema.sets import Dataset, LoadedSets, SetLoad
from servicekit.errors import Detail
from tracking.domain import FoldKind, FoldRule, TrainingSet
from tracking.errors import InvalidSearch


class TrainingSets:
    """The training sets in the dataset database."""

    def __init__(self, session: "scoped_session[Session]", fit_max_rows: int) -> None:
        self._sets = LoadedSets(session)
        self._fit_max_rows = fit_max_rows

    def check_head(self) -> None:
        """Raise unless the database's migrations are this code's."""
        self._sets.check_head()

    def get(
        self, dataset_name: str, dataset_version: int | None, folds: FoldKind | None = None
    ) -> TrainingSet:
        """Return the loaded training set, of a long one the sample that is searched on.

        It is to be cut into `folds`; None: as the set was cut. A set that was cut by a
        column is cut into folds by its groups, if it has any.

        Raises
        ------
        SetNotLoaded, DatasetNotFound
            As `LoadedSets.get_load`.
        InvalidSearch
            It cannot be cut into such folds.
        """
        load = self._sets.get_load("training", dataset_name, dataset_version)
        dataset = load.dataset
        kind = folds or _kind_of(load)
        column = _column_of(dataset, kind)
        read = load
        if column is not None:
            looked_at = next(item for item in dataset.columns if item.name == column)
            if looked_at not in dataset.features:
                features = (*dataset.features, looked_at)
                read = replace(load, dataset=replace(dataset, features=features))
        found = self._sets.read_fit_rows(read, self._fit_max_rows)
        rows = found.rows
        values = None if column is None else _fold_values(rows[column], kind)
        numbers = "float64" if dataset.task == "regression" else None
        return TrainingSet(
            dataset_name=dataset.name,
            dataset_version=dataset.version,
            content_hash=load.content_hash,
            rows=feature_frame(rows[dataset.feature_names]),
            labels=rows[dataset.target.name].to_numpy(numbers),
            classes=dataset.classes,
            class_names=dataset.class_names,
            task=dataset.task,
            drawn_from=found.rows_in_set if found.sampled else None,
            notes=found.notes,
            fold_rule=None if kind is None else FoldRule(kind, values),
        )


def _kind_of(load: SetLoad) -> FoldKind | None:
    dataset = load.dataset
    if load.split == "group" or (load.split == "column" and dataset.group_column is not None):
        return "group"
    return "time" if load.split == "time" else None


def _column_of(dataset: Dataset, kind: FoldKind | None) -> str | None:
    """Return the column that folds of a kind look at, None where they look at none."""
    if kind == "stratified" and dataset.task == "regression":
        raise _refused("are by class, which a regression has none of; take 'random'")
    if kind not in ("group", "time"):
        return None
    column = dataset.group_column if kind == "group" else dataset.time_column
    if column is None:
        raise _refused(
            f"cannot be by {kind}: {dataset.name} version {dataset.version} has no {kind}_column."
            " Bring it with one (POST /root/simulator/datasets), or take other folds"
        )
    return column


def _fold_values(column: "pd.Series[Any]", kind: FoldKind | None) -> Any:
    """Return the number of each row's group, or its time; neither has gaps."""
    if kind == "group":
        return pd.factorize(column)[0]
    return column.to_numpy("int64" if str(column.dtype) == "Int64" else None)


def _refused(problem: str) -> InvalidSearch:
    return InvalidSearch(f"folds: {problem}.", details=[Detail("folds", problem)])
