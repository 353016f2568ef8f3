"""Which dataset versions and sets there are, and their rows: reading for every service.

The repository that the services share, since they share the database. Returns frozen values,
never rows; never commits.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import select, text
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import (
    BUILTIN_DATASETS,
    DEFAULT_DATASET,
    SEEDED_SPLITS,
    SetName,
    Split,
)
from schema import samples
from schema.fit_rows import FitRows, draw_fit_rows, most_rows_of
from schema.head import check_head
from schema.samples import Column
from schema.tables import DatasetRow, SetLoadRow
from servicekit.errors import Conflict, NotFound


class DatasetNotFound(NotFound):
    """Dataset not found."""


class SetNotLoaded(Conflict):
    """Set not loaded."""


class SetChanged(Conflict):
    """The set was loaded anew meanwhile."""

    advice = "Send the request again: the set was loaded anew while it was being answered."


@dataclass(frozen=True)
class Dataset:
    """One version of a dataset. `features` stand in order.

    Target, id, group and split column stand apart; so does the time column unless
    `time_is_feature`.

    `columns` are all of them, as they came in. `row_count` is None where only sets are stored, as
    in a database from before datasets were kept whole. `class_names` are names for people in
    the order of `classes`; None where there are none.
    """

    id: int
    name: str
    version: int
    content_hash: str
    task: str
    target: Column
    features: tuple[Column, ...]
    classes: tuple[Any, ...]
    origin: str
    columns: tuple[Column, ...]
    class_names: tuple[str, ...] | None = None
    id_column: str | None = None
    row_count: int | None = None
    time_column: str | None = None
    time_is_feature: bool = False
    group_column: str | None = None
    split_column: str | None = None

    @property
    def feature_names(self) -> list[str]:
        """The names of the feature columns, in order."""
        return [column.name for column in self.features]


@dataclass(frozen=True)
class SetLoad:
    """What is loaded as one set of a dataset version. `content_hash` changes with the rows.

    `split` is how the version was cut into sets.
    """

    id: int
    dataset: Dataset
    set_name: SetName
    seed: int
    scenario: str
    content_hash: str
    row_count: int
    loaded_at: datetime
    split: Split = "stratified"

    @property
    def cut(self) -> tuple[str, int | None]:
        """What two sets have in common that share no row: the split, and its seed if it has one."""
        return self.split, self.seed if self.split in SEEDED_SPLITS else None


class LoadedSets:
    """Datasets, loads and rows, read in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def check_head(self) -> None:
        """Raise `schema.head.SchemaNotAtHead` unless the migrations are this code's."""
        try:
            check_head(self._session.connection())
        finally:
            self._session.rollback()

    def find_dataset(
        self, name: str = DEFAULT_DATASET, version: int | None = None
    ) -> Dataset | None:
        """Return a version of a dataset (the newest unless `version` is given), or None."""
        query = select(DatasetRow).where(DatasetRow.name == name)
        if version is not None:
            query = query.where(DatasetRow.version == version)
        row = self._session.scalars(query.order_by(DatasetRow.version.desc()).limit(1)).first()
        return None if row is None else dataset_of(row)

    def get_dataset_by_id(self, dataset_id: int) -> Dataset:
        """Return the dataset version of that id; `DatasetNotFound` if there is none."""
        row = self._session.get(DatasetRow, dataset_id)
        if row is None:
            raise DatasetNotFound("Load a set of it: POST /root/simulator.")
        return dataset_of(row)

    def find_load(
        self, set_name: SetName, name: str = DEFAULT_DATASET, version: int | None = None
    ) -> SetLoad | None:
        """Return what is loaded as that set, or None."""
        dataset = self.find_dataset(name, version)
        if dataset is None:
            return None
        query = select(SetLoadRow).where(
            SetLoadRow.dataset_id == dataset.id, SetLoadRow.set_name == set_name
        )
        row = self._session.scalars(query.execution_options(populate_existing=True)).first()
        return None if row is None else _load_of(row, dataset)

    def get_load(
        self, set_name: SetName, name: str = DEFAULT_DATASET, version: int | None = None
    ) -> SetLoad:
        """Return what is loaded as that set.

        Raises
        ------
        SetNotLoaded
            Nothing is; the message names the call that is due.
        DatasetNotFound
            There is no such dataset, or it is stored, but not in that version.
        """
        load = self.find_load(set_name, name, version)
        if load is not None:
            return load
        newest = self.find_dataset(name)
        if newest is None and name not in BUILTIN_DATASETS:
            raise DatasetNotFound(
                f"There is no dataset {name!r}. GET /root/simulator/datasets lists those there are;"
                " bring a table of your own with POST."
            )
        if newest is not None and self.find_dataset(name, version) is None:
            raise DatasetNotFound(f"Dataset {name!r} has no version {version}.")
        raise SetNotLoaded(
            f"Load the {set_name} set first: {due_call(set_name, name)}.",
            error=f"{set_name.capitalize()} set not loaded",
        )

    def read_rows(
        self, load: SetLoad, row_numbers: NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        """Return the rows, indexed by `sample_id`: features in order, then the target.

        All of them, or those of these numbers, from 0 in the set's order. float64 (NaN where
        missing), Int64, object, boolean or datetime64: see `schema.samples.read_rows`.

        Raises
        ------
        SetChanged
            The set was loaded anew since `load` was read, so that these are other rows.
        """
        dataset = load.dataset
        rows = samples.read_rows(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            load.set_name,
            [*dataset.features, dataset.target],
            row_numbers,
        )
        self._check_unchanged(load)
        return rows

    def read_fit_rows(self, load: SetLoad, max_rows: int) -> FitRows:
        """Return the rows that a model is fitted to: all, or of a long set a sample.

        `max_rows` at most, fewer of a wide table: see `schema.fit_rows`.

        Raises
        ------
        SetChanged
            The set was loaded anew since `load` was read.
        """
        dataset = load.dataset
        most = most_rows_of(max_rows, len(dataset.features) + 1)
        if load.row_count <= most:
            return FitRows(self.read_rows(load), load.row_count, sampled=False)
        numbers, sampled = draw_fit_rows(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            load.set_name,
            dataset.target,
            dataset.task == "classification",
            most,
        )
        return FitRows(self.read_rows(load, numbers), load.row_count, sampled)

    def parts(self, load: SetLoad) -> list[range]:
        """Return the ranges of `sample_id` in which the set is read part by part.

        Raises
        ------
        SetChanged
            The set was loaded anew since `load` was read.
        """
        dataset = load.dataset
        found = samples.parts_of_set(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            load.set_name,
            len(dataset.features) + 1,
        )
        self._check_unchanged(load)
        return found

    def read_part(self, load: SetLoad, ids: range) -> pd.DataFrame:
        """Return rows as `read_rows` does, but those of one part, by `sample_id`."""
        dataset = load.dataset
        rows = samples.read_part(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            load.set_name,
            [*dataset.features, dataset.target],
            ids,
        )
        self._check_unchanged(load)
        return rows

    def read_predictions(
        self, load: SetLoad, model_version_id: int, sample_ids: NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        """Return what a model version predicted for the set, or for some samples of it.

        See `schema.samples`.

        Raises
        ------
        SetChanged
            The set was loaded anew since `load` was read.
        """
        predictions = samples.read_predictions(
            self._driver_connection(),
            model_version_id,
            load.dataset.id,
            load.set_name,
            sample_ids,
        )
        self._check_unchanged(load)
        return predictions

    def hold(self, load: SetLoad) -> None:
        """Keep the set as it is until the transaction ends.

        Raises
        ------
        SetChanged
            The set was loaded anew since `load` was read.
        """
        self._check_unchanged(load, "FOR SHARE")

    def _check_unchanged(self, load: SetLoad, locking: Literal["", "FOR SHARE"] = "") -> None:
        # Rows and content hash are replaced in one transaction: a hash that is still the same
        # after reading belongs to what was read.
        found = self._session.scalar(
            text(f"SELECT content_hash FROM set_loads WHERE id = :id {locking}"),  # noqa: S608
            {"id": load.id},
        )
        if found != load.content_hash:
            raise SetChanged()

    def _driver_connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)


def due_call(
    set_name: str,
    dataset_name: str = DEFAULT_DATASET,
    seed: int | None = None,
    split: str | None = None,
) -> str:
    """Return the simulator call that loads a set, as a person would send it."""
    body: dict[str, Any] = {"set_name": set_name}
    if dataset_name != DEFAULT_DATASET:
        body["dataset_name"] = dataset_name
    if seed is not None:
        body["seed"] = seed
    if split not in (None, "stratified"):
        body["split"] = split
    return f"POST /root/simulator {json.dumps(body)}"


def dataset_of(row: DatasetRow) -> Dataset:
    """Return a row of `datasets` as a value."""
    columns = tuple(Column(item["name"], item["type"]) for item in row.columns)
    apart = {row.target, row.id_column, row.group_column, row.split_column}
    if not row.time_is_feature:
        apart.add(row.time_column)
    return Dataset(
        id=row.id,
        name=row.name,
        version=row.version,
        content_hash=row.content_hash,
        task=row.task,
        target=next(column for column in columns if column.name == row.target),
        features=tuple(column for column in columns if column.name not in apart),
        classes=tuple(row.classes),
        origin=row.origin,
        columns=columns,
        class_names=None if row.class_names is None else tuple(row.class_names),
        id_column=row.id_column,
        row_count=row.row_count,
        time_column=row.time_column,
        time_is_feature=row.time_is_feature,
        group_column=row.group_column,
        split_column=row.split_column,
    )


def _load_of(row: SetLoadRow, dataset: Dataset) -> SetLoad:
    return SetLoad(
        id=row.id,
        dataset=dataset,
        set_name=row.set_name,  # type: ignore[arg-type]
        seed=row.seed,
        scenario=row.scenario,
        content_hash=row.content_hash,
        row_count=row.row_count,
        loaded_at=row.loaded_at,
        split=row.split,  # type: ignore[arg-type]
    )
