"""The loaded sets as this service needs them: rows that hold still, predictions replaced."""

from typing import cast

import pandas as pd
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import SetName
from ml_model.domain import ModelVersion, SetPredictions
from schema import samples
from schema.sets import LoadedSets, SetChanged, SetLoad
from schema.tables import ScoringRow


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

    def read_rows(self, load: SetLoad) -> pd.DataFrame | None:
        """Return the rows (index sample_id, features, target); None if loaded anew meanwhile."""
        return self._loaded.read_rows(load) if self.holds(load) else None

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
        key = f"cellar.scoring.{version.id}.{load.dataset.id}.{load.set_name}"
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
        scoring = {
            "content_hash": load.content_hash,
            "score": predictions.score,
            "row_count": len(predictions.sample_ids),
        }
        self._session.execute(
            insert(ScoringRow)
            .values(
                model_version_id=version.id,
                dataset_id=load.dataset.id,
                set_name=load.set_name,
                **scoring,
            )
            .on_conflict_do_update(
                index_elements=["model_version_id", "dataset_id", "set_name"],
                set_={**scoring, "scored_at": func.now()},
            )
        )
