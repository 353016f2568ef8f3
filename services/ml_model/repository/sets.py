"""The loaded sets as this service needs them: rows that hold still, predictions replaced."""

from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import func, select
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import SetName
from ml_model.domain import ModelVersion, SetPredictions
from ml_model.repository.scorings import scoring_key, store_scoring
from schema import samples
from schema.fit_rows import FitRows
from schema.sets import LoadedSets, SetChanged, SetLoad


class SqlSets:
    """Reads sets and stores what a version predicted for them. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session
        self._loaded = LoadedSets(session)

    def get_load(self, set_name: SetName, dataset_name: str, version: int | None) -> SetLoad:
        """Return what is loaded as that set, the newest version of the dataset by default.

        Raises
        ------
        SetNotLoaded, DatasetNotFound
            As `LoadedSets.get_load`.
        """
        return self._loaded.get_load(set_name, dataset_name, version)

    def find_load(
        self, set_name: SetName, dataset_name: str, version: int | None
    ) -> SetLoad | None:
        """Return what is loaded as that set, or None."""
        return self._loaded.find_load(set_name, dataset_name, version)

    def read_rows(
        self, load: SetLoad, row_numbers: NDArray[np.int64] | None = None
    ) -> pd.DataFrame | None:
        """Return the rows (index sample_id, features, target); None if loaded anew meanwhile.

        All of them, or those of these numbers, from 0 in the set's order.
        """
        return self._loaded.read_rows(load, row_numbers) if self.holds(load) else None

    def read_first_rows(self, load: SetLoad, most: int) -> pd.DataFrame | None:
        """Return rows as `read_rows` does, but so many at most, the first ones."""
        numbers = None if load.row_count <= most else np.arange(most, dtype=np.int64)
        return self.read_rows(load, numbers)

    def read_fit_rows(self, load: SetLoad, max_rows: int) -> FitRows | None:
        """Return rows to fit to, see `schema.fit_rows`; None if the set was loaded anew."""
        return self._loaded.read_fit_rows(load, max_rows) if self.holds(load) else None

    def parts(self, load: SetLoad) -> list[range]:
        """Return the ranges of `sample_id` in which the set is scored part by part.

        Raises
        ------
        SetChanged
            It was loaded anew meanwhile.
        """
        return self._loaded.parts(load)

    def read_part(self, load: SetLoad, ids: range) -> pd.DataFrame:
        """Return the rows of a part as `read_rows` does; raises `SetChanged`."""
        return self._loaded.read_part(load, ids)

    def holds(self, load: SetLoad) -> bool:
        """Tell whether the set still has these rows; if so, it keeps them until the commit."""
        try:
            self._loaded.hold(load)
        except SetChanged:
            return False
        return True

    def replace_predictions(
        self, version: ModelVersion, load: SetLoad, predictions: SetPredictions
    ) -> None:
        """Store one prediction per row and the set's score in place of earlier ones.

        Two requests for one set and version take turns: the second must see the first's rows to
        replace them.
        """
        key = scoring_key(version.id, load)
        self._session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
        samples.replace_predictions(
            cast(PgConnection, self._session.connection().connection.driver_connection),
            version.id,
            load.dataset.id,
            load.set_name,
            predictions.sample_ids,
            predictions.predicted,
            predictions.probabilities,
            load.dataset.task,
        )
        store_scoring(
            self._session, version.id, load, predictions.score, len(predictions.sample_ids)
        )
