"""Writes dataset versions whole: what they are, and every row once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.errors import ProgramLimitExceeded
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import SetName
from schema import samples, source_cuts
from schema.samples import Column
from schema.sets import Dataset, dataset_of
from schema.tables import (
    DatasetRow,
    ModelVersionRow,
    MonitoringResultRow,
    PredictionRow,
    ScoringRow,
    SetLoadRow,
    TrainingRowRow,
)
from servicekit.errors import Invalid
from simulator.domain import DatasetDescription

LOAD_LOCK = 0x4C4F4144
"""First key of the advisory locks under which datasets and their sets are changed ("LOAD")."""


class RowTooWide(Invalid):
    """Row too wide."""

    advice = "A row must fit on PostgreSQL's page of 8 kB. Send fewer columns of text."


@dataclass(frozen=True)
class DatasetListing:
    """A dataset version, the rows of its loaded sets by their names, and when it came."""

    dataset: Dataset
    loaded: Mapping[str, int]
    created_at: datetime


class DatasetRepository:
    """Dataset versions and all their rows, in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def queue_for(self, dataset_name: str) -> None:
        """Wait until nobody else changes this dataset or its sets, for the whole transaction."""
        self._session.execute(
            text("SELECT pg_advisory_xact_lock(:key, hashtext(:name))"),
            {"key": LOAD_LOCK, "name": dataset_name},
        )

    def list_versions(self, name: str | None = None, limit: int = 1000) -> list["DatasetListing"]:
        """Return versions by name, newest first, with the rows of their loaded sets."""
        query = select(DatasetRow).order_by(DatasetRow.name, DatasetRow.version.desc())
        if name is not None:
            query = query.where(DatasetRow.name == name)
        return self._listings(self._session.scalars(query.limit(limit)).all())

    def get_listing(self, dataset_id: int) -> "DatasetListing":
        """Return one of them by its id."""
        return self._listings([self._session.get_one(DatasetRow, dataset_id)])[0]

    def _listings(self, rows: Sequence[DatasetRow]) -> list["DatasetListing"]:
        loads = self._session.execute(
            select(SetLoadRow.dataset_id, SetLoadRow.set_name, SetLoadRow.row_count).where(
                SetLoadRow.dataset_id.in_([row.id for row in rows])
            )
        ).all()
        return [
            DatasetListing(
                dataset_of(row),
                {load.set_name: load.row_count for load in loads if load.dataset_id == row.id},
                row.created_at,
            )
            for row in rows
        ]

    def users_of(self, dataset: Dataset, *, by_name: bool) -> list[str]:
        """Return in words what refers to a version; with `by_name`, to the name as well."""
        by_version = {
            "a model version": ModelVersionRow.dataset_id,
            "a scoring": ScoringRow.dataset_id,
            "a prediction": PredictionRow.dataset_id,
            "a monitoring result": MonitoringResultRow.dataset_id,
        }
        questions = {words: column == dataset.id for words, column in by_version.items()}
        if by_name:
            questions["labelled rows"] = TrainingRowRow.dataset_name == dataset.name
        return [
            words
            for words, condition in questions.items()
            if self._session.scalar(select(select(text("1")).where(condition).exists()))
        ]

    def delete(self, dataset: Dataset) -> None:
        """Remove a version that nothing refers to: rows, loaded sets, and what it was."""
        self._session.execute(delete(SetLoadRow).where(SetLoadRow.dataset_id == dataset.id))
        self._session.execute(delete(DatasetRow).where(DatasetRow.id == dataset.id))
        self.drop_tables(dataset.name, dataset.version)

    def read_page(
        self, dataset: Dataset, set_name: SetName | None, limit: int, first: int
    ) -> list[list[Any]]:
        """Return rows from a row number on, as JSON values in the order of the columns."""
        return samples.read_page(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            set_name,
            dataset.columns,
            first,
            limit,
        )

    def write_csv(self, dataset: Dataset, set_name: SetName | None, file: BinaryIO) -> None:
        """Write all rows, or those of a loaded set, as CSV; see `schema.samples.write_csv`."""
        samples.write_csv(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            set_name,
            dataset.columns,
            file,
        )

    def list_names(self, limit: int = 100) -> list[str]:
        """Return the names of the datasets there are, in order."""
        query = select(DatasetRow.name).distinct().order_by(DatasetRow.name).limit(limit)
        return list(self._session.scalars(query))

    def find_by_content(self, name: str, content_hash: str) -> Dataset | None:
        """Return the version of that content, or None."""
        row = self._row_of(name, content_hash)
        return None if row is None else dataset_of(row)

    def ensure(
        self, description: DatasetDescription, content_hash: str, chunks: Iterable[pd.DataFrame]
    ) -> Dataset:
        """Return the version that holds this content; a content not seen before is a new one."""
        row = self._row_of(description.name, content_hash)
        if row is None:
            version = self.next_version(description.name)
            row_count = self.write_source(description.name, version, description.columns, chunks)
            return self.add(description, version, content_hash, row_count)
        if row.class_names is None and description.class_names is not None:
            # Loaded first before classes had names.
            row.class_names = list(description.class_names)
        if row.row_count is None:
            # Loaded first before datasets were kept whole.
            row.row_count = self.write_source(
                description.name, row.version, description.columns, chunks
            )
        self._session.flush()
        return dataset_of(row)

    def next_version(self, name: str) -> int:
        """Return the number that the next content of this name gets."""
        newest = self._session.scalar(
            select(func.coalesce(func.max(DatasetRow.version), 0)).where(DatasetRow.name == name)
        )
        return (newest or 0) + 1

    def write_source(
        self, name: str, version: int, columns: Sequence[Column], chunks: Iterable[pd.DataFrame]
    ) -> int:
        """Make the table of all rows, fill it chunk after chunk, return how many there are.

        Raises
        ------
        RowTooWide
            A row does not fit on PostgreSQL's page.
        """
        connection = self._driver_connection()
        samples.create_source_table(connection, name, version, columns)
        n_rows = 0
        for chunk in chunks:
            try:
                samples.append_source_rows(connection, name, version, columns, n_rows, chunk)
            except ProgramLimitExceeded as error:
                raise RowTooWide() from error
            n_rows += len(chunk)
        samples.index_source_table(connection, name, version)
        return n_rows

    def drop_tables(self, name: str, version: int) -> None:
        """Remove the tables of a version."""
        samples.drop_tables(self._driver_connection(), name, version)

    def add(
        self, description: DatasetDescription, version: int, content_hash: str, row_count: int
    ) -> Dataset:
        """Note a version whose rows are written, and make the table of its sets."""
        row = DatasetRow(
            name=description.name,
            version=version,
            content_hash=content_hash,
            task=description.task,
            target=description.target,
            columns=[column.as_json() for column in description.columns],
            classes=list(description.classes),
            class_names=None if description.class_names is None else list(description.class_names),
            origin=description.origin,
            id_column=description.id_column,
            time_column=description.time_column,
            time_is_feature=description.time_is_feature,
            group_column=description.group_column,
            split_column=description.split_column,
            row_count=row_count,
        )
        self._session.add(row)
        self._session.flush()
        dataset = dataset_of(row)
        samples.create_table(
            self._driver_connection(), dataset.name, dataset.version, dataset.columns
        )
        return dataset

    def count_values(self, dataset: Dataset, column: Column) -> dict[Any, int]:
        """Return how many rows have each value of a column of few, NULL left out."""
        name = sql.Identifier(column.name)
        statement = sql.SQL(
            "SELECT {column}, count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
        ).format(column=name, table=samples.source_table_name(dataset.name, dataset.version))
        with self._driver_connection().cursor() as cursor:
            cursor.execute(statement)
            return dict(cursor.fetchall())

    def rows_per_chunk(self, dataset: Dataset) -> int:
        """Return how many rows are read at once; see `schema.samples.rows_per_chunk`."""
        return samples.rows_per_chunk(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            dataset.columns,
            dataset.row_count or 0,
        )

    def numbers_in_order(
        self, dataset: Dataset, column: Column, places: range, chunk_rows: int
    ) -> Iterator[NDArray[np.int64]]:
        """Yield which row is which in the order of a column; see `schema.source_cuts`."""
        return source_cuts.numbers_in_order(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            column,
            dataset.row_count or 0,
            places,
            chunk_rows,
        )

    def read_source(
        self, dataset: Dataset, columns: Sequence[Column], chunk_rows: int
    ) -> Iterator[pd.DataFrame]:
        """Yield the named columns of all rows in chunks; see `schema.samples.read_source`."""
        return samples.read_source(
            self._driver_connection(), dataset.name, dataset.version, columns, chunk_rows
        )

    def _row_of(self, name: str, content_hash: str) -> DatasetRow | None:
        return self._session.scalars(
            select(DatasetRow).where(
                DatasetRow.name == name, DatasetRow.content_hash == content_hash
            )
        ).first()

    def _driver_connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)
