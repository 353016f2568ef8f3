"""Which table a name and a version stand for, and how its rows are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.util import hash_pandas_object

from contracts.vocabulary import BUILTIN_DATASETS, SET_NAMES
from schema.samples import Column
from schema.sets import Dataset, DatasetNotFound, LoadedSets
from servicekit.database import Database
from servicekit.errors import Conflict
from simulator.builtin_datasets import read_builtin
from simulator.content_hash import content_hash_of
from simulator.domain import Chunks
from simulator.repository.datasets import DatasetRepository


class DatasetUnknown(DatasetNotFound):
    """Dataset not found."""


class RowsNotStored(Conflict):
    """Rows not stored."""


@dataclass(frozen=True)
class TableSource:
    """A dataset version and the way to its rows, `chunk_rows` at a time.

    `small` ones are of one chunk, and few enough that a hash of all their rows costs nothing.
    """

    dataset: Dataset
    n_rows: int
    chunk_rows: int
    chunks: Chunks
    small: bool = False

    @property
    def is_long(self) -> bool:
        """Whether it is of more than one chunk: then what is known of all rows is not kept."""
        return self.n_rows > self.chunk_rows

    def classes(self) -> Iterator[NDArray[np.integer]]:
        """Yield the number of each row's class (chunk_rows,), chunk by chunk."""
        return self._codes(self.dataset.target.name, self.dataset.classes)

    def sets(self, name: str) -> Iterator[NDArray[np.integer]]:
        """Yield the place of each row's set in `SET_NAMES` (chunk_rows,), chunk by chunk."""
        return self._codes(name, SET_NAMES)

    def groups(self, name: str) -> Iterator[NDArray[np.uint64]]:
        """Yield a number per row (chunk_rows,) that is the same in all rows of a group.

        It is a hash of the value, so that groups of any number need no more memory. Should two
        groups have the same, they stay together.
        """
        for cells in self._cells(name):
            yield hash_pandas_object(cells, index=False).to_numpy().astype(np.uint64, copy=False)

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(column for column in self.dataset.columns if column.name == name)

    def _codes(self, name: str, values: Sequence[Any]) -> Iterator[NDArray[np.integer]]:
        return (pd.Categorical(cells, categories=list(values)).codes for cells in self._cells(name))

    def _cells(self, name: str) -> "Iterator[pd.Series[Any]]":
        return (chunk[name] for chunk in self.chunks([self.column(name)]))


class TableSources:
    """Finds tables; a built-in one is stored when it is first asked for."""

    def __init__(self, database: Database) -> None:
        self._sets = LoadedSets(database.session)
        self._datasets = DatasetRepository(database.session)

    def find(self, name: str, version: int | None) -> TableSource:
        """Return the named version, the newest one without a version; in a transaction.

        Raises
        ------
        DatasetUnknown
            No such name or version; the message lists the names there are.
        RowsNotStored
            Only sets of that version are in the database.
        """
        if name in BUILTIN_DATASETS:
            builtin = read_builtin(name)
            content_hash = content_hash_of(builtin.rows)
            description = builtin.description
            dataset = self._datasets.ensure(
                description, content_hash, builtin.chunks(description.columns)
            )
            if version in (None, dataset.version):
                n_rows = len(builtin.rows)
                return TableSource(dataset, n_rows, n_rows, builtin.chunks, small=True)
        stored = self._sets.find_dataset(name, version)
        if stored is None:
            raise self._unknown(name, version)
        if stored.row_count is None:
            raise RowsNotStored(
                f"Of {name} version {stored.version} only sets are stored. Take the newest version."
            )
        chunk_rows = self._datasets.rows_per_chunk(stored)
        return TableSource(
            stored,
            stored.row_count,
            chunk_rows,
            lambda columns: self._datasets.read_source(stored, columns, chunk_rows),
        )

    def _unknown(self, name: str, version: int | None) -> DatasetUnknown:
        if version is not None and self._sets.find_dataset(name) is not None:
            return DatasetUnknown(f"Dataset {name!r} has no version {version}.")
        names = dict.fromkeys([*BUILTIN_DATASETS, *self._datasets.list_names()])
        return DatasetUnknown(
            f"dataset_name must be one of: {', '.join(names)}; or bring a table of your own:"
            " POST /root/simulator/datasets."
        )
