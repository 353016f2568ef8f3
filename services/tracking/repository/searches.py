"""The searches in the dataset database, and which of them are alive.

A running search holds the advisory lock of its id on a connection of its own, so that Postgres
itself knows when the process that ran it is gone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import bindparam

from servicekit.database import DatabaseUnavailable, is_outage
from tracking.domain import Run, Unwatched
from tracking.errors import SearchLost
from tracking.settings import Settings

# One statement, so that nobody ever sees the row of a living search without its lock.
_BEGIN = text(
    """
    WITH begun AS (
        INSERT INTO searches (experiment_id, request, state)
        VALUES (:experiment_id, :request, 'running')
        RETURNING id
    )
    SELECT id, pg_try_advisory_lock(hashtext('cellar.searches'), id::int) FROM begun
    """
).bindparams(bindparam("request", type_=JSONB))

_TAKE_ORPHANS = text(
    """
    WITH running AS MATERIALIZED (
        -- That of a job lives as long as its job, through all attempts.
        SELECT id, experiment_id FROM searches WHERE state = 'running' AND job_id IS NULL
    )
    SELECT id, experiment_id FROM running
    WHERE pg_try_advisory_lock(hashtext('cellar.searches'), id::int) ORDER BY id
    """
)

_LOCK_NAME = text("SELECT pg_advisory_lock(hashtext('cellar.experiment_names'), hashtext(:name))")


@dataclass(frozen=True)
class OrphanedSearch:
    """A search whose process is gone."""

    id: int
    experiment_id: str


class RunningSearch:
    """A search that is under way: its row, its lock, its connection."""

    def __init__(self, connection: Connection, search_id: int) -> None:
        self._connection = connection
        self.id = search_id

    watcher = Unwatched()

    def known_run(self, model_name: str) -> Run | None:
        """Return None: nothing was begun before this request."""

    def opened(self, model_name: str, run_id: str) -> None:
        """Hear which run a model has."""

    def searched(self, model_name: str) -> None:
        """Hear that a model's search has ended."""

    def interrupted_by(self, error: BaseException) -> bool:
        """Return False: whatever goes wrong, the search has failed."""
        return False

    def check_alive(self) -> None:
        """Raise `SearchLost` when the lock is gone: others may count the search as dead."""
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise SearchLost() from error

    def end(self, state: str, reason: str | None = None) -> None:
        """Write how it ended: `finished` or `failed`."""
        try:
            _end(self._connection, self.id, state, reason)
        except DBAPIError as error:
            raise SearchLost() from error


class Searches:
    """The table `searches`, on connections that live as long as what they hold."""

    def __init__(self, settings: Settings) -> None:
        self._engine = create_engine(
            settings.database_url(),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": max(1, round(settings.connect_timeout_s)),
                "application_name": "cellar-tracking-search",
                # Postgres notices within half a minute when the other end is cut off.
                "options": "-c timezone=UTC -c tcp_keepalives_idle=10"
                " -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
            },
        )

    @contextmanager
    def begin(self, experiment_id: str, request: Mapping[str, Any]) -> Iterator[RunningSearch]:
        """Enter a search as running; its lock is let go when the block ends, however it ends."""
        with self._connect() as connection:
            row = connection.execute(
                _BEGIN, {"experiment_id": experiment_id, "request": dict(request)}
            ).one()
            yield RunningSearch(connection, row.id)

    @contextmanager
    def name_lock(self, experiment_name: str) -> Iterator[None]:
        """Let one at a time decide about an experiment name."""
        with self._connect() as connection:
            connection.execute(_LOCK_NAME, {"name": experiment_name})
            yield

    @contextmanager
    def orphans(self) -> Iterator[list[OrphanedSearch]]:
        """Hand out the searches whose process is gone; theirs are the locks meanwhile.

        Two sweeps at once share the work: each gets the searches whose lock it took.
        """
        with self._connect() as connection:
            rows = connection.execute(_TAKE_ORPHANS).all()
            yield [OrphanedSearch(row.id, row.experiment_id) for row in rows]

    def close(self, search: OrphanedSearch, reason: str) -> None:
        """Write that an orphaned search failed."""
        with self._connect() as connection:
            _end(connection, search.id, "failed", reason)

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            if is_outage(error):
                raise DatabaseUnavailable() from error
            raise
        with connection:
            yield connection


def _end(connection: Connection, search_id: int, state: str, reason: str | None) -> None:
    connection.execute(
        text(
            "UPDATE searches SET state = :state, reason = :reason, finished_at = now()"
            " WHERE id = :id AND state = 'running'"
        ),
        {"id": search_id, "state": state, "reason": reason},
    )
