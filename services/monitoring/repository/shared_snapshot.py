"""Statements of one transaction at the same time, each on a connection of its own.

PostgreSQL divides a statement among its workers only where it expects many rows, and expects a
handful of those that came a moment ago; grouping sets it never divides. So who counts divides the
rows, and asks for the parts at once. Knows the driver; knows nothing of what is asked.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from queue import SimpleQueue
from typing import TypeVar, cast

import psycopg2
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy.orm import Session, scoped_session

ReadT = TypeVar("ReadT")

SETTINGS = (
    # It would look for each prediction by itself, where it expects few.
    "SET LOCAL enable_nestloop = off",
    # It is asked for parts already.
    "SET LOCAL max_parallel_workers_per_gather = 0",
    # A part takes less time than making machine code of a hundred columns' expressions.
    "SET LOCAL jit = off",
    # So much is only planned for: it expects far more groups than there are cells, and would sort.
    "SET LOCAL work_mem = '256MB'",
)


class SharedSnapshot:
    """What the caller's transaction sees, read by several connections.

    `connect` opens a driver connection in autocommit mode. There are as many connections, the
    caller's included, as the server has workers for a question (`max_parallel_workers_per_gather`).
    """

    def __init__(
        self, session: "scoped_session[Session]", connect: Callable[[], PgConnection]
    ) -> None:
        self._session = session
        self._connect = connect

    def begin(self) -> None:
        """Prepare the caller's transaction; to be called first in each.

        PostgreSQL refuses if it has read without `REPEATABLE READ`: it would see more by and by
        than the others.
        """
        _execute(self.connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", *SETTINGS)

    @property
    def connection(self) -> PgConnection:
        """The driver's connection of the caller's transaction."""
        return cast(PgConnection, self._session.connection().connection.driver_connection)

    def each(self, readers: Sequence[Callable[[PgConnection], ReadT]]) -> Iterator[ReadT]:
        """Yield what each of `readers` returns, in their order.

        They are called with a connection that nobody else uses meanwhile. What one raises is raised
        when its turn comes; those that have not begun by then are not called.
        """
        own = self.connection
        free: SimpleQueue[PgConnection] = SimpleQueue()

        def call(reader: Callable[[PgConnection], ReadT]) -> ReadT:
            connection = free.get()
            try:
                return reader(connection)
            finally:
                free.put(connection)

        with ExitStack() as stack:
            connections = [own]
            for _ in range(1, min(len(readers), _most_connections(own))):
                try:
                    other = stack.enter_context(closing(self._connect()))
                except psycopg2.OperationalError:
                    # Those that there are do it as well.
                    break
                _join(own, other)
                connections.append(other)
            for connection in connections:
                free.put(connection)
            threads = stack.enter_context(ThreadPoolExecutor(len(connections)))
            yield from threads.map(call, readers)


def _most_connections(own: PgConnection) -> int:
    """Return the server's own choice, not the one of `SETTINGS`."""
    with own.cursor() as cursor:
        cursor.execute(
            "SELECT reset_val::int FROM pg_settings WHERE name = 'max_parallel_workers_per_gather'"
        )
        ((workers,),) = cursor.fetchall()
    return max(1, int(workers))


def _join(own: PgConnection, other: PgConnection) -> None:
    """Begin a transaction that sees what our own sees."""
    with own.cursor() as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        ((snapshot,),) = cursor.fetchall()
    _execute(
        other,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        f"SET TRANSACTION SNAPSHOT '{snapshot}'",
        *SETTINGS,
    )


def _execute(connection: PgConnection, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
