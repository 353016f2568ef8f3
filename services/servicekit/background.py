"""The database outside of a request, for programs that are no web service."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from flask import Flask

from servicekit.database import Database


def bind_outside_requests(
    database: Database, name: str
) -> Callable[[], AbstractContextManager[Any]]:
    """Bind `database` and return what opens a scope: `with scope(): ...` has a session of its own.

    The session is closed when the scope ends. Each thread opens scopes of its own. `name` is shown
    by PostgreSQL as the application, `cellar-<name>`.
    """
    app = Flask(name, static_folder=None)
    database.init_app(app)
    return app.app_context
