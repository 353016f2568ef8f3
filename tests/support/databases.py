"""A real PostgreSQL for tests: one server per run, a freshly cloned, migrated database per test."""

import contextlib
import itertools
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from schema import migrate
from servicekit.settings import ServiceSettings
from tests.support.running_suite import ROOT, SERVICES, Postgres, free_ports

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

Values = tuple[Any, ...] | Mapping[str, Any]

TEMPLATE = "cellar"
OWNER = "cellar_simulator"


@dataclass
class DatabaseServer:
    """A server with the roles of the suite, and a migrated `cellar` that is only ever cloned."""

    host: str
    port: int
    superuser: str
    passwords: Mapping[str, str]
    embedded: Postgres | None = None

    def __post_init__(self) -> None:
        # Two runs may share a server that was given from outside.
        self._names = (f"test_{secrets.token_hex(4)}_{number}" for number in itertools.count(1))

    @classmethod
    def start_in(cls, folder: Path) -> "DatabaseServer":
        """Start an embedded server below `folder`, with a migrated `cellar`."""
        postgres = Postgres(folder / "postgres", free_ports(1)[0])
        try:
            postgres.create()
            server = cls("127.0.0.1", postgres.port, "postgres", postgres.passwords, postgres)
            server.migrate(TEMPLATE)
        except BaseException:
            postgres.program.kill()
            raise
        return server

    @classmethod
    def at(cls, url: str) -> "DatabaseServer":
        """Take a server that runs already and is nobody else's: its roles get new passwords."""
        parts = urlsplit(url)
        superuser, password = unquote(parts.username or "postgres"), unquote(parts.password or "")
        roles = {f"cellar_{name}": secrets.token_hex(16) for name in SERVICES}
        port = parts.port or 5432
        server = cls(parts.hostname or "127.0.0.1", port, superuser, roles | {superuser: password})
        subprocess.run(
            [str(ROOT / "services/postgres/initdb/10-databases.sh")],
            check=True,
            stdout=subprocess.DEVNULL,
            env=dict(os.environ)
            | {"PGHOST": server.host, "PGPORT": str(port)}
            | {"PGUSER": superuser, "PGPASSWORD": password}
            | {f"{role.upper()}_DATABASE_PASSWORD": word for role, word in roles.items()},
        )
        server.migrate(TEMPLATE)
        return server

    def close(self) -> None:
        """Stop the server if it is ours."""
        if self.embedded is not None:
            self.embedded.stop()

    def url(self, database: str, role: str = OWNER) -> URL:
        """Return a URL for SQLAlchemy."""
        return URL.create(
            "postgresql+psycopg2",
            username=role,
            password=self.passwords[role],
            host=self.host,
            port=self.port,
            database=database,
        )

    def migrate(self, database: str) -> None:
        """Bring a database to the newest migration, as its owner."""
        engine = create_engine(self.url(database), poolclass=NullPool)
        with engine.connect() as connection:
            migrate.upgrade(connection)

    @contextlib.contextmanager
    def new_database(
        self, template: str = TEMPLATE, owner: str = OWNER
    ) -> "Iterator[TestDatabase]":
        """Clone a database (25 ms); it is gone, whoever is connected, when the block ends.

        `template="template0"` gives an empty one.
        """
        name = next(self._names)
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        self._as_superuser(
            sql.SQL("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}").format(
                **names, owner=sql.Identifier(owner)
            )
        )
        try:
            yield TestDatabase(self, name)
        finally:
            self._as_superuser(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))

    def _as_superuser(self, statement: sql.Composable) -> None:
        with contextlib.closing(self._connect("postgres", self.superuser)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def _connect(self, database: str, role: str) -> PgConnection:
        return psycopg2.connect(
            host=self.host,
            port=self.port,
            dbname=database,
            user=role,
            password=self.passwords[role],
            connect_timeout=5,
        )


@dataclass
class TestDatabase:
    """One database of the server."""

    __test__ = False

    server: DatabaseServer
    name: str

    def settings(self, settings_class: type[SettingsT], **values: Any) -> SettingsT:
        """Return a service's settings for this database, in the service's own role.

        The role follows from the package that `settings_class` stands in; `values` win.
        """
        package = settings_class.__module__.split(".")[0]
        role = str(values.get("database_user", f"cellar_{package}"))
        given: dict[str, Any] = {
            "database_host": self.server.host,
            "database_port": self.server.port,
            "database_name": self.name,
            "database_user": role,
            "database_password": self.server.passwords[role],
            # Nothing listens: a test runs the application itself.
            "port": 5999,
            "connect_timeout_s": 2.0,
        }
        return settings_class.model_validate(given | values)

    def url(self, role: str = OWNER) -> URL:
        """Return its URL for SQLAlchemy."""
        return self.server.url(self.name, role)

    @contextlib.contextmanager
    def session(self, role: str = OWNER) -> Iterator[Session]:
        """Open a SQLAlchemy session in a role; what is not committed is rolled back."""
        engine = create_engine(self.url(role), poolclass=NullPool)
        with Session(engine) as session:
            yield session

    @contextlib.contextmanager
    def connection(self, role: str | None = None) -> Iterator[PgConnection]:
        """Open a psycopg2 connection in a role (default: the superuser)."""
        with contextlib.closing(self.connect(role)) as connection:
            yield connection

    def connect(self, role: str | None = None) -> PgConnection:
        """Return such a connection, which who asks closes."""
        return self.server._connect(self.name, role or self.server.superuser)

    def rows(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return what a query answers, asked as the superuser."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def execute(self, statement: str, values: Values = ()) -> None:
        """Run a statement as the superuser and commit it."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            connection.commit()
