"""Writes dataset versions and loaded sets; see `schema.sets` for reading them."""

from typing import cast

import pandas as pd
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import SetName
from schema import samples
from schema.sets import Dataset, dataset_of
from schema.tables import DatasetRow, PredictionRow, ScoringRow, SetLoadRow
from simulator.builtin_datasets import SourceDataset

LOAD_LOCK = 0x4C4F4144
"""First key of the advisory locks under which sets are loaded ("LOAD")."""


class LoadRepository:
    """Dataset versions and the rows of their sets, in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def queue_for(self, dataset_name: str) -> None:
        """Wait until no other load of this dataset is under way, for the whole transaction."""
        self._session.execute(
            text("SELECT pg_advisory_xact_lock(:key, hashtext(:name))"),
            {"key": LOAD_LOCK, "name": dataset_name},
        )

    def ensure_dataset(self, source: SourceDataset, content_hash: str) -> Dataset:
        """Return the version that holds this content; a content not seen before is a new one."""
        row = self._session.scalars(
            select(DatasetRow).where(
                DatasetRow.name == source.name, DatasetRow.content_hash == content_hash
            )
        ).first()
        if row is None:
            newest = self._session.scalar(
                select(func.coalesce(func.max(DatasetRow.version), 0)).where(
                    DatasetRow.name == source.name
                )
            )
            row = DatasetRow(
                name=source.name,
                version=(newest or 0) + 1,
                content_hash=content_hash,
                task=source.task,
                target=source.target.name,
                columns=[column.as_json() for column in (*source.features, source.target)],
                classes=list(source.classes),
                class_names=list(source.class_names),
                origin=source.origin,
            )
            self._session.add(row)
            self._session.flush()
            samples.create_table(
                self._driver_connection(),
                source.name,
                row.version,
                [*source.features, source.target],
            )
        elif row.class_names is None:
            # Loaded first before classes had names.
            row.class_names = list(source.class_names)
            self._session.flush()
        return dataset_of(row)

    def replace_set(
        self,
        dataset: Dataset,
        set_name: SetName,
        seed: int,
        scenario: str,
        content_hash: str,
        rows: pd.DataFrame,
    ) -> None:
        """Put `rows` in place of the set; what models said of the old rows goes with them."""
        values = {
            "seed": seed,
            "scenario": scenario,
            "content_hash": content_hash,
            "row_count": len(rows),
            "loaded_at": func.now(),
        }
        statement = insert(SetLoadRow).values(dataset_id=dataset.id, set_name=set_name, **values)
        # The row lock taken here waits for scorings of the old rows that are being stored.
        load_id = self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["dataset_id", "set_name"], set_=values
            ).returning(SetLoadRow.id)
        ).scalar_one()
        for table in (PredictionRow, ScoringRow):
            self._session.execute(
                delete(table).where(table.dataset_id == dataset.id, table.set_name == set_name)
            )
        samples.replace_rows(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            set_name,
            load_id,
            [*dataset.features, dataset.target],
            rows,
        )

    def relabel(self, load_id: int, seed: int, scenario: str) -> None:
        """Note another seed or scenario that gave the very same rows."""
        self._session.execute(
            update(SetLoadRow).where(SetLoadRow.id == load_id).values(seed=seed, scenario=scenario)
        )

    def seeds(self, dataset: Dataset) -> dict[str, int]:
        """Return the seed of each loaded set."""
        rows = self._session.execute(
            select(SetLoadRow.set_name, SetLoadRow.seed).where(SetLoadRow.dataset_id == dataset.id)
        )
        return {row.set_name: row.seed for row in rows}

    def _driver_connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)
