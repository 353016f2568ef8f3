"""Several connections, one snapshot: on a real PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy.orm import scoped_session, sessionmaker

from monitoring.repository.shared_snapshot import SharedSnapshot
from tests.support.databases import TestDatabase

ROLE = "cellar_monitoring"


class Lab:
    """A snapshot of a table of one row, which others may see."""

    def __init__(self, database: TestDatabase, session: Any) -> None:
        self.database, self.session = database, session
        self.opened: list[PgConnection] = []
        database.execute("CREATE TABLE seen (number int)")
        database.execute("INSERT INTO seen VALUES (1)")
        database.execute(f"GRANT SELECT ON seen TO {ROLE}")

    def connect(self) -> PgConnection:
        """Open a connection as the service does."""
        connection = self.database.connect(ROLE)
        connection.autocommit = True
        self.opened.append(connection)
        return connection

    def snapshot(self, connect: Callable[[], PgConnection] | None = None) -> SharedSnapshot:
        """Begin a transaction."""
        snapshot = SharedSnapshot(self.session, connect or self.connect)
        snapshot.begin()
        return snapshot


@pytest.fixture
def lab(cellar_database: TestDatabase) -> Iterator[Lab]:
    """A table, and a session in the service's own role."""
    with cellar_database.session(ROLE) as session:
        scoped = scoped_session(sessionmaker(session.bind))
        yield Lab(cellar_database, scoped)
        scoped.remove()


def numbers(connection: PgConnection) -> tuple[Any, list[Any]]:
    """Return whose connection it is, and what it sees."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(number ORDER BY number) FROM seen")
        ((seen,),) = cursor.fetchall()
    return connection.info.backend_pid, seen


def test_all_see_the_same_at_the_same_time(lab: Lab) -> None:
    snapshot = lab.snapshot()
    together = threading.Barrier(2, timeout=60)

    def read(connection: PgConnection) -> tuple[Any, list[Any]]:
        # Nobody passes before another connection reads as well.
        if together.wait() == 0:
            lab.database.execute("INSERT INTO seen VALUES (2)")
        together.wait()
        return numbers(connection)

    found = list(snapshot.each([read, read]))
    assert len({pid for pid, _ in found}) == 2
    assert [seen for _, seen in found] == [[1], [1]]
    assert [connection.closed for connection in lab.opened] == [1]


def test_answers_come_in_the_order_of_the_questions(lab: Lab) -> None:
    snapshot = lab.snapshot()
    first_may_end = threading.Event()

    def slow(_: PgConnection) -> str:
        assert first_may_end.wait(60)
        return "slow"

    def quick(_: PgConnection) -> str:
        first_may_end.set()
        return "quick"

    assert list(snapshot.each([slow, quick, quick])) == ["slow", "quick", "quick"]
    assert list(snapshot.each([])) == []


def test_one_question_needs_no_other_connection(lab: Lab) -> None:
    snapshot = lab.snapshot()
    ((pid, seen),) = snapshot.each([numbers])
    assert (pid, seen) == (snapshot.connection.info.backend_pid, [1])
    assert lab.opened == []


def test_a_server_without_workers_for_a_question_gets_one_connection(lab: Lab) -> None:
    name = lab.database.name
    lab.database.execute(f'ALTER DATABASE "{name}" SET max_parallel_workers_per_gather = 0')
    assert [seen for _, seen in lab.snapshot().each([numbers] * 4)] == [[1]] * 4
    assert lab.opened == []


def test_a_server_with_no_connection_left_is_asked_over_the_own_one(lab: Lab) -> None:
    def refused() -> PgConnection:
        raise psycopg2.OperationalError("FATAL: sorry, too many clients already")

    snapshot = lab.snapshot(refused)
    own = snapshot.connection.info.backend_pid
    assert list(snapshot.each([numbers] * 3)) == [(own, [1])] * 3


def test_what_fails_is_raised_and_leaves_no_connection(lab: Lab) -> None:
    calls = []

    def fail(_: PgConnection) -> None:
        calls.append("fail")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(lab.snapshot().each([fail] * 100))
    assert 0 < len(calls) < 100
    assert all(connection.closed for connection in lab.opened)
