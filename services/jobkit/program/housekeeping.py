"""What has to be done once a second, by one program of however many there are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg

from jobkit.program.queue import connection_arguments
from jobkit.program.scope import is_away
from jobkit.queue_identity import QueueIdentity
from servicekit.settings import ServiceSettings

log = logging.getLogger(__name__)

EVERY_S = 1.0


class Leadership:
    """The lock, held by a connection of its own: whoever dies or loses it is replaced."""

    def __init__(self, settings: ServiceSettings, identity: QueueIdentity) -> None:
        self._arguments = connection_arguments(settings, identity)
        self._lock = identity.leader_lock
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._held = False

    async def held(self) -> bool:
        """Tell whether this program holds the lock now; takes it where it is free."""
        try:
            if self._connection is None:
                self._held = False
                self._connection = await psycopg.AsyncConnection.connect(
                    **self._arguments, autocommit=True
                )
            answer = await self._connection.execute(
                "SELECT CASE WHEN %s THEN true ELSE pg_try_advisory_lock(%s) END",
                (self._held, self._lock),
            )
            row = await answer.fetchone()
            self._held = row is not None and row[0] is True
        except psycopg.OperationalError:
            await self.release()
        return self._held

    async def release(self) -> None:
        """Let the lock go."""
        self._held = False
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


async def keep_house(
    leadership: Leadership,
    steps: Mapping[str, Callable[[], Awaitable[object]]],
    stopping: asyncio.Event,
) -> None:
    """Do every step once a second while the lock is held; a failure keeps none from its turn."""
    try:
        while not stopping.is_set():
            if await leadership.held():
                for name, step in steps.items():
                    await _attempt(name, step)
            try:
                await asyncio.wait_for(stopping.wait(), EVERY_S)
            except TimeoutError:
                continue
    finally:
        await leadership.release()


async def _attempt(name: str, step: Callable[[], Awaitable[object]]) -> None:
    try:
        await step()
    except Exception as error:
        if is_away(error):
            log.info("Housekeeping: %s waits for PostgreSQL", name)
        else:
            log.exception("Housekeeping: %s failed", name)
