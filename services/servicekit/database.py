"""The dataset database as a service sees it: a session per request and one way to commit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg2
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from servicekit.errors import Unavailable
from servicekit.settings import ServiceSettings


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    advice = "PostgreSQL is not reachable right now; try again in a moment."


def is_outage(error: DBAPIError | psycopg2.Error) -> bool:
    """Tell whether a driver error means that the server is away, and not that the SQL is wrong.

    An outage is a lost or refused connection (no SQLSTATE, or class 08), a server that shuts down
    or starts (57P01 to 57P03) and one that has no connection left (class 53).
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "pgcode", None)
    if code is None:
        return type(cause).__name__ in {"OperationalError", "InterfaceError"}
    return code[:2] in {"08", "53"} or code in {"57P01", "57P02", "57P03"}


class Database:
    """Flask-SQLAlchemy on the service's own role; repositories take `session`, services commit.

    The pool tests a connection before it hands it out, so that a restarted server needs no
    restarted service. Nothing connects before the first query.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._alchemy = SQLAlchemy()
        self._app: Flask | None = None

    def init_app(self, app: Flask) -> None:
        """Bind to the application; no connection is made."""
        app.config["SQLALCHEMY_DATABASE_URI"] = self._settings.database_url()
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
            "pool_pre_ping": True,
            "pool_size": self._settings.database_pool_size,
            "max_overflow": self._settings.database_pool_size,
            "pool_timeout": 10,
            "connect_args": {
                "connect_timeout": max(1, round(self._settings.connect_timeout_s)),
                "application_name": f"cellar-{app.name}",
                "options": "-c timezone=UTC",
                "keepalives_idle": 30,
            },
        }
        self._alchemy.init_app(app)
        self._app = app
        app.extensions["cellar_database"] = self

    @property
    def session(self) -> "scoped_session[Session]":
        """The session of the running request (application context)."""
        return self._alchemy.session  # type: ignore[return-value]

    def scope(self) -> AbstractContextManager[Any]:
        """Give a thread of one's own a session of its own, closed when the block ends."""
        assert self._app is not None  # noqa: S101 - bound by the composition root
        return self._app.app_context()

    @contextmanager
    def transaction(self) -> Iterator["scoped_session[Session]"]:
        """Commit when the block ends, roll back when it raises. Only services use this."""
        session = self.session
        try:
            yield session
            session.commit()
        except BaseException:
            session.rollback()
            raise

    def check(self) -> None:
        """Raise `DatabaseUnavailable` unless the server answers a query."""
        try:
            self.session.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise DatabaseUnavailable() from error
        finally:
            self.session.rollback()

    def connect(self, use: str = "log", statement_timeout_s: float = 30.0) -> PgConnection:
        """Open a driver connection of its own, in autocommit mode, outside pool and sessions.

        `use` is what the server's list of connections says of it. A statement that takes longer
        than the timeout is given up, so that who waits for it is told; 0 is no timeout.
        """
        connection = psycopg2.connect(
            host=self._settings.database_host,
            port=self._settings.database_port,
            dbname=self._settings.database_name,
            user=self._settings.database_user,
            password=self._settings.database_password.get_secret_value(),
            connect_timeout=max(1, round(self._settings.connect_timeout_s)),
            application_name=f"cellar-{use}",
            options=f"-c timezone=UTC -c statement_timeout={statement_timeout_s * 1000:.0f}",
            keepalives_idle=30,
            # A partitioned network is noticed in seconds, not in the kernel's quarter of an hour.
            tcp_user_timeout=10_000,
        )
        connection.autocommit = True
        return connection

    def dispose(self, app: Flask) -> None:
        """Forget inherited connections; a forked worker calls this so as not to share sockets."""
        with app.app_context():
            self._alchemy.engine.dispose(close=False)
