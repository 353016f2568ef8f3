"""Writes dataset versions whole: what they are, and every row once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import pandas as pd
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, scoped_session

from schema import samples
from schema.samples import Column
from schema.sets import Dataset, dataset_of
from schema.tables import DatasetRow
from simulator.domain import DatasetDescription

LOAD_LOCK = 0x4C4F4144
"""First key of the advisory locks under which datasets and their sets are changed ("LOAD")."""


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
            self.write_source(description, version, chunks)
            return self.add(description, version, content_hash, self._count(description, version))
        if row.class_names is None and description.class_names is not None:
            # Loaded first before classes had names.
            row.class_names = list(description.class_names)
        if row.row_count is None:
            # Loaded first before datasets were kept whole.
            self.write_source(description, row.version, chunks)
            row.row_count = self._count(description, row.version)
        self._session.flush()
        return dataset_of(row)

    def next_version(self, name: str) -> int:
        """Return the number that the next content of this name gets."""
        newest = self._session.scalar(
            select(func.coalesce(func.max(DatasetRow.version), 0)).where(DatasetRow.name == name)
        )
        return (newest or 0) + 1

    def write_source(
        self, description: DatasetDescription, version: int, chunks: Iterable[pd.DataFrame]
    ) -> None:
        """Make the table of all rows and fill it, one chunk after the other."""
        connection, columns = self._driver_connection(), description.columns
        samples.create_source_table(connection, description.name, version, columns)
        n_rows = 0
        for chunk in chunks:
            samples.append_source_rows(
                connection, description.name, version, columns, n_rows, chunk
            )
            n_rows += len(chunk)

    def discard_source(self, name: str, version: int) -> None:
        """Take back a table of rows that turned out to be there already."""
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
            row_count=row_count,
        )
        self._session.add(row)
        self._session.flush()
        dataset = dataset_of(row)
        samples.create_table(
            self._driver_connection(), dataset.name, dataset.version, dataset.columns
        )
        return dataset

    def read_source(self, dataset: Dataset, columns: Sequence[Column]) -> Iterator[pd.DataFrame]:
        """Yield the named columns of all rows in chunks; see `schema.samples.read_source`."""
        return samples.read_source(
            self._driver_connection(), dataset.name, dataset.version, columns
        )

    def _row_of(self, name: str, content_hash: str) -> DatasetRow | None:
        return self._session.scalars(
            select(DatasetRow).where(
                DatasetRow.name == name, DatasetRow.content_hash == content_hash
            )
        ).first()

    def _count(self, description: DatasetDescription, version: int) -> int:
        return samples.count_source_rows(self._driver_connection(), description.name, version)

    def _driver_connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)
