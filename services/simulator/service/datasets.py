"""The datasets there are: what they look like, their rows, and the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from contracts.vocabulary import SetName
from schema.sets import Dataset, DatasetNotFound, LoadedSets
from servicekit.database import Database
from servicekit.errors import Conflict
from servicekit.working_folder import working_folder
from simulator.repository.datasets import DatasetListing, DatasetRepository
from simulator.repository.profiles import ProfileRepository
from simulator.service.table_source import RowsNotStored
from simulator.table_files import csv_to_parquet

ExportFormat = Literal["csv", "parquet"]


class DatasetInUse(Conflict):
    """Dataset in use."""


@dataclass(frozen=True)
class RowPage:
    """Some rows in order, and where the next ones begin; None behind the last."""

    dataset: Dataset
    rows: Sequence[Sequence[Any]]
    next_cursor: int | None


class DatasetService:
    """Reads and deletes dataset versions."""

    def __init__(self, database: Database, folder: Path | None) -> None:
        """`folder` takes a file while it is sent; the system's own for temporary files if None."""
        self._database = database
        self._folder = folder
        self._sets = LoadedSets(database.session)
        self._datasets = DatasetRepository(database.session)
        self._profiles = ProfileRepository(database.session)

    def list_versions(self) -> list[DatasetListing]:
        """Return the versions of all datasets by name, newest first, 1,000 at most."""
        with self._database.transaction():
            return self._datasets.list_versions()

    def describe(
        self, name: str, version: int | None
    ) -> tuple[DatasetListing, list[dict[str, Any]]]:
        """Return a version (the newest unless one is named) and the profile of its columns.

        Raises
        ------
        DatasetNotFound, RowsNotStored
        """
        with self._database.transaction():
            dataset = self._whole(name, version)
            profile = self._profiles.get(dataset)
            return self._datasets.get_listing(dataset.id), profile

    def page(
        self, name: str, version: int | None, set_name: SetName | None, limit: int, cursor: int
    ) -> RowPage:
        """Return `limit` rows from row number `cursor` on: of the whole table or of a loaded set.

        Raises
        ------
        DatasetNotFound, RowsNotStored
        SetNotLoaded
            The named set is not loaded.
        """
        with self._database.transaction():
            dataset = self._of(name, version, set_name)
            found = self._datasets.read_page(dataset, set_name, limit + 1, cursor)
        more = len(found) > limit
        return RowPage(dataset, found[:limit], cursor + limit if more else None)

    def export(
        self, name: str, version: int | None, set_name: SetName | None, format_: ExportFormat
    ) -> tuple[Dataset, BinaryIO]:
        """Return the whole table or a loaded set as a file to be read once and closed.

        CSV: text is in quotes, a missing value is nothing without quotes.

        Raises
        ------
        DatasetNotFound, RowsNotStored, SetNotLoaded
        """
        with working_folder(self._folder) as folder:
            path = folder / "table.csv"
            with self._database.transaction():
                dataset = self._of(name, version, set_name)
                with path.open("wb") as file:
                    self._datasets.write_csv(dataset, set_name, file)
            if format_ == "parquet":
                source, path = path, folder / "table.parquet"
                csv_to_parquet(source, path, dataset.columns, folder)
            # The file lives on, without a name, until it is closed.
            return dataset, path.open("rb")

    def delete(self, name: str, version: int | None) -> list[int]:
        """Delete a version, or all of them, with rows and loaded sets; return their numbers.

        Raises
        ------
        DatasetNotFound
        DatasetInUse
            Something refers to it: a model version, a scoring, a verdict, labelled rows.
        """
        with self._database.transaction():
            self._datasets.queue_for(name)
            found = [
                item.dataset
                for item in self._datasets.list_versions(name)
                if version in (None, item.dataset.version)
            ]
            if not found:
                raise self._unknown(name, version)
            for dataset in found:
                users = self._datasets.users_of(dataset, by_name=version is None)
                if users:
                    raise DatasetInUse(
                        f"{name} version {dataset.version} is referred to by {', '.join(users)}."
                        " What a model saw is kept as long as the model; bring changed rows as a"
                        " new version instead."
                    )
                self._datasets.delete(dataset)
        return sorted(dataset.version for dataset in found)

    def _of(self, name: str, version: int | None, set_name: SetName | None) -> Dataset:
        if set_name is None:
            return self._whole(name, version)
        if self._sets.find_dataset(name, version) is None:
            raise self._unknown(name, version)
        return self._sets.get_load(set_name, name, version).dataset

    def _whole(self, name: str, version: int | None) -> Dataset:
        dataset = self._sets.find_dataset(name, version)
        if dataset is None:
            raise self._unknown(name, version)
        if dataset.row_count is None:
            raise RowsNotStored(
                f"Of {name} version {dataset.version} only sets are stored; name a set with"
                " set_name, or load one again, which stores all rows of a built-in dataset."
            )
        return dataset

    def _unknown(self, name: str, version: int | None) -> DatasetNotFound:
        if version is not None and self._sets.find_dataset(name) is not None:
            return DatasetNotFound(f"Dataset {name!r} has no version {version}.")
        return DatasetNotFound(
            "The datasets there are: GET /root/simulator/datasets. Bring one by POST to the same"
            " path."
        )
