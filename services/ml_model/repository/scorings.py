"""Scored sets: complete ones, and those of which some parts are scored.

Readers see a set as scored by its row of `scorings` alone, which is written last.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from schema import samples
from schema.sets import SetLoad
from schema.tables import ScoringPartRow, ScoringRow


def scoring_key(model_version_id: int, load: SetLoad) -> str:
    """Return the name of the lock under which a version's predictions of a set are replaced."""
    return f"cellar.scoring.{model_version_id}.{load.dataset.id}.{load.set_name}"


def store_scoring(
    session: "scoped_session[Session]",
    model_version_id: int,
    load: SetLoad,
    score: float,
    row_count: int,
) -> None:
    """Say that the set is scored; of one that was scored in parts nothing else is kept."""
    values = {"content_hash": load.content_hash, "score": score, "row_count": row_count}
    session.execute(
        insert(ScoringRow)
        .values(
            model_version_id=model_version_id,
            dataset_id=load.dataset.id,
            set_name=load.set_name,
            **values,
        )
        .on_conflict_do_update(
            index_elements=["model_version_id", "dataset_id", "set_name"],
            set_={**values, "scored_at": func.now()},
        )
    )
    session.execute(delete(ScoringPartRow).where(_parts(model_version_id, load)))


class ScoringTurn:
    """The turn of one scoring of a set by a version; others wait, and a killed one's turn ends.

    Held by a connection of its own, which goes with the process.
    """

    def __init__(self, connect: Callable[[], PgConnection], key: str) -> None:
        self._connection = connect()
        self._key = key

    def take(self) -> bool:
        """Take the turn; False while it is somebody else's."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self._key,))
            found = cursor.fetchone()
        return found is not None and found[0] is True

    def end(self) -> None:
        """Let the next one begin."""
        self._connection.close()


class SqlScorings:
    """Stores what a version predicts for a set, part by part. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def begin(
        self, model_version_id: int, load: SetLoad, parts: Sequence[range]
    ) -> dict[range, Mapping[str, Any]]:
        """Return the tallies of the parts that are scored already, and forget all others."""
        rows = self._session.scalars(
            select(ScoringPartRow).where(_parts(model_version_id, load))
        ).all()
        found: dict[range, Mapping[str, Any]] = {}
        for row in rows:
            ids = range(row.first_sample_id, row.end_sample_id)
            if row.content_hash == load.content_hash and ids in parts:
                found[ids] = row.tally
            else:
                self._session.delete(row)
        return found

    def store_part(
        self,
        model_version_id: int,
        load: SetLoad,
        ids: range,
        sample_ids: NDArray[np.int64],
        predicted: NDArray[Any],
        probabilities: NDArray[np.float64] | None,
        tally: Mapping[str, Any],
    ) -> None:
        """Replace the predictions of one part, and note that this is done.

        What an earlier scoring of the same rows said of the other parts stays: a version says the
        same of the same rows, so that a set that is scored stays so while it is scored again.
        """
        samples.replace_part_of_predictions(
            self._driver_connection(),
            model_version_id,
            load.dataset.id,
            load.set_name,
            ids,
            sample_ids,
            predicted,
            probabilities,
            load.dataset.task,
        )
        values = {
            "end_sample_id": ids.stop,
            "content_hash": load.content_hash,
            "row_count": len(sample_ids),
            "tally": dict(tally),
        }
        self._session.execute(
            insert(ScoringPartRow)
            .values(
                model_version_id=model_version_id,
                dataset_id=load.dataset.id,
                set_name=load.set_name,
                first_sample_id=ids.start,
                **values,
            )
            .on_conflict_do_update(
                index_elements=["model_version_id", "dataset_id", "set_name", "first_sample_id"],
                set_=values,
            )
        )

    def median_error(self, model_version_id: int, load: SetLoad) -> float:
        """Return the median of |truth - prediction|, in PostgreSQL, which sorts on disk."""
        dataset = load.dataset
        statement = sql.SQL(
            "SELECT percentile_cont(0.5) WITHIN GROUP"
            " (ORDER BY abs(s.{target}::float8 - p.predicted_value))"
            " FROM predictions AS p JOIN {table} AS s USING (sample_id)"
            " WHERE p.model_version_id = {version} AND p.dataset_id = {dataset}"
            " AND p.set_name = {set_name}"
            " AND s.{target} IS NOT NULL"
        ).format(
            target=sql.Identifier(dataset.target.name),
            table=samples.table_name(dataset.name, dataset.version),
            version=sql.Literal(model_version_id),
            dataset=sql.Literal(dataset.id),
            set_name=sql.Literal(load.set_name),
        )
        with self._driver_connection().cursor() as cursor:
            cursor.execute(statement)
            [median] = cursor.fetchone() or (None,)
        return float(cast(float, median))

    def complete(self, model_version_id: int, load: SetLoad, score: float, row_count: int) -> None:
        """Say that every part of the set is scored."""
        store_scoring(self._session, model_version_id, load, score, row_count)

    def _driver_connection(self) -> PgConnection:
        return cast(PgConnection, self._session.connection().connection.driver_connection)


def _parts(model_version_id: int, load: SetLoad) -> ColumnElement[bool]:
    return and_(
        ScoringPartRow.model_version_id == model_version_id,
        ScoringPartRow.dataset_id == load.dataset.id,
        ScoringPartRow.set_name == load.set_name,
    )
