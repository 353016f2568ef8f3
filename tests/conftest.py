"""Fixtures for tests that need a real PostgreSQL; nothing is started for those that do not.

database_server   (session) one embedded server, made by 10-databases.sh and migrated. With
                  TEST_POSTGRES_URL=postgresql://superuser:password@host:port that server is taken
                  instead; it must be nobody else's, since its roles get new passwords.
cellar_database   (test) a fresh, migrated, empty clone (25 ms): .settings(Settings, **over) with
                  the right role, .url(role), .session(role), .connection(role), .rows(sql),
                  .execute(sql).
module_database   (module) the same, shared by the tests of one module.
mlflow_database   (test) an empty database owned by cellar_tracking.
make_settings     (test) `make_settings(Settings, **over)`: a service's settings on cellar_database.
database_gate     (test) a port in front of the server: pass `database_port=database_gate.port`,
                  then `with database_gate.outage(): ...` takes the database away and brings it
                  back. `tests.support.gate.Gate(host, port)` does it for any other server.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.databases import DatabaseServer, SettingsT, TestDatabase
from tests.support.gate import Gate

# `own_suite` and `suite` (session): the whole suite as real processes.
# `mlflow_server` (session): a real MLflow server on a database of its own.
pytest_plugins = [
    "tests.support.suite_fixtures",
    "tests.support.mlflow_fixture",
    "tests.support.s3_server",
]


class MakeSettings(Protocol):
    """Return settings of a service on the test's database; `over` wins."""

    def __call__(self, settings_class: type[SettingsT], **over: object) -> SettingsT: ...


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """The one server of this run."""
    url = os.environ.get("TEST_POSTGRES_URL")
    # Not in pytest's own folder: the next run that starts shuts it to all but its owner, and as
    # root the server runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="cellar-database-") as folder:
        server = DatabaseServer.at(url) if url else DatabaseServer.start_in(Path(folder))
        yield server
        server.close()


@pytest.fixture
def cellar_database(database_server: DatabaseServer) -> Iterator[TestDatabase]:
    """A migrated database without rows."""
    with database_server.new_database() as database:
        yield database


@pytest.fixture(scope="module")
def module_database(database_server: DatabaseServer) -> Iterator[TestDatabase]:
    """A migrated database that the tests of a module share."""
    with database_server.new_database() as database:
        yield database


@pytest.fixture
def mlflow_database(database_server: DatabaseServer) -> Iterator[TestDatabase]:
    """An empty database for an MLflow server."""
    with database_server.new_database("template0", "cellar_tracking") as database:
        yield database


@pytest.fixture
def make_settings(cellar_database: TestDatabase) -> MakeSettings:
    """Make settings of any service."""
    return cellar_database.settings


@pytest.fixture
def database_gate(database_server: DatabaseServer) -> Iterator[Gate]:
    """An outage at hand."""
    gate = Gate(database_server.host, database_server.port)
    yield gate
    gate.shut()


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    """Undo what building a service does to the process's log."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
