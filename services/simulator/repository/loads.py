"""Writes loaded sets; see `schema.sets` for reading them."""

from collections.abc import Iterable
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import SetName, Split
from schema import samples, source_cuts
from schema.sets import Dataset
from schema.tables import PredictionRow, ScoringPartRow, ScoringRow, SetLoadRow


class LoadRepository:
    """The rows of the sets, in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def replace_set(
        self,
        dataset: Dataset,
        set_name: SetName,
        seed: int,
        scenario: str,
        split: Split,
        content_hash: str,
        row_count: int,
    ) -> int:
        """Take the rows of a set away, and note what comes in their place; return the load's id.

        What models said of the old rows goes with them.
        """
        values = {
            "seed": seed,
            "scenario": scenario,
            "split": split,
            "content_hash": content_hash,
            "row_count": row_count,
            "loaded_at": func.now(),
        }
        statement = insert(SetLoadRow).values(dataset_id=dataset.id, set_name=set_name, **values)
        # The row lock taken here waits for scorings of the old rows that are being stored.
        load_id = self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["dataset_id", "set_name"], set_=values
            ).returning(SetLoadRow.id)
        ).scalar_one()
        for table in (PredictionRow, ScoringPartRow, ScoringRow):
            self._session.execute(
                delete(table).where(table.dataset_id == dataset.id, table.set_name == set_name)
            )
        samples.clear_set(self._driver_connection(), dataset.name, dataset.version, set_name)
        return load_id

    def append_blocks(
        self,
        dataset: Dataset,
        set_name: SetName,
        load_id: int,
        blocks: Iterable[tuple[NDArray[np.int64], pd.DataFrame]],
    ) -> None:
        """Add rows to a set, piece by piece: their numbers in the set (n_rows,), and the rows."""
        for numbers, rows in blocks:
            samples.append_rows(
                self._driver_connection(),
                dataset.name,
                dataset.version,
                set_name,
                load_id,
                dataset.columns,
                numbers,
                rows,
            )

    def copy_source_rows(
        self,
        dataset: Dataset,
        set_name: SetName,
        load_id: int,
        pieces: Iterable[NDArray[np.int64]],
        row_count: int,
    ) -> None:
        """Add rows of the table unchanged; see `schema.source_cuts.copy_source_rows`."""
        source_cuts.copy_source_rows(
            self._driver_connection(),
            dataset.name,
            dataset.version,
            set_name,
            load_id,
            dataset.columns,
            pieces,
            row_count,
        )

    def relabel(self, load_id: int, seed: int, scenario: str, split: Split) -> None:
        """Note another seed, scenario or split that gave the very same rows."""
        self._session.execute(
            update(SetLoadRow)
            .where(SetLoadRow.id == load_id)
            .values(seed=seed, scenario=scenario, split=split)
        )

    def count_missing(self, dataset: Dataset, set_name: SetName) -> int:
        """Return how many cells of the loaded set are missing."""
        return samples.count_missing(
            self._driver_connection(), dataset.name, dataset.version, set_name, dataset.columns
        )

    def cuts(self, dataset: Dataset) -> dict[str, tuple[str, int]]:
        """Return the split and the seed of each loaded set."""
        rows = self._session.execute(
            select(SetLoadRow.set_name, SetLoadRow.split, SetLoadRow.seed).where(
                SetLoadRow.dataset_id == dataset.id
            )
        )
        return {row.set_name: (row.split, row.seed) for row in rows}

    def _driver_connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)
