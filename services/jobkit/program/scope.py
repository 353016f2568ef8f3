"""Database work of an asyncio program: in a thread, in a session of its own, through an outage."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg2
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from servicekit.database import is_outage

log = logging.getLogger(__name__)

PAUSE_S = 0.5

P = ParamSpec("P")
T = TypeVar("T")


class Scopes:
    """Calls use cases from a coroutine."""

    def __init__(
        self, open_scope: Callable[[], AbstractContextManager[Any]], stopping: asyncio.Event
    ) -> None:
        self._open_scope = open_scope
        self._stopping = stopping

    async def call(self, use_case: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the use case gives; while PostgreSQL is away, try again.

        Once the program is told to stop, an outage is raised.
        """
        while True:
            try:
                return await asyncio.to_thread(self._scoped, partial(use_case, *args, **kwargs))
            except (DBAPIError, psycopg2.Error, PoolTimeout) as error:
                if self._stopping.is_set() or not is_away(error):
                    raise
                log.info("PostgreSQL is away; trying again")
                await asyncio.sleep(PAUSE_S)

    def _scoped(self, use_case: Callable[[], T]) -> T:
        with self._open_scope():
            return use_case()


def is_away(error: BaseException) -> bool:
    """Tell whether an error means that PostgreSQL does not answer."""
    if isinstance(error, DBAPIError | psycopg2.Error):
        return is_outage(error)
    return isinstance(error, PoolTimeout)
