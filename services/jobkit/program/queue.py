"""The adapter to Procrastinate: its tables, its worker, and what it does about lost workers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import psycopg
from procrastinate import App, PsycopgConnector, RetryDecision
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as QueuedJob
from procrastinate.retry import BaseRetryStrategy
from procrastinate.worker import Worker

from jobkit.queue_identity import QueueIdentity
from jobkit.repository.jobs import TASK
from servicekit.settings import ServiceSettings

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
STALLED_S = 10.0
"""A worker that has not been heard of for so long is taken for dead, its jobs begin anew."""

SCHEMA_LOCK = 0x43454C4A4F4253
"""Of the advisory lock that programs queue for which make the queue's tables ("CELJOBS")."""

PAUSE_S = 0.5

T = TypeVar("T")


class WorkerEnded(RuntimeError):
    """The queue's worker ended without being told to."""


class RetryAlways(BaseRetryStrategy):
    """Begin a job again that ended with an error; our own row of the job counts how often."""

    def get_retry_decision(self, *, exception: BaseException, job: QueuedJob) -> RetryDecision:
        """At once where the program was stopped, else a little later each time."""
        stopped = isinstance(exception, asyncio.CancelledError)
        return RetryDecision(retry_in={"seconds": 0 if stopped else min(10, 1 + job.attempts)})


class PatientConnector(PsycopgConnector):
    """Waits through an outage of PostgreSQL, where Procrastinate's own ends the worker.

    What was sent when the connection was lost is sent again. A job that was fetched in such a
    moment is found by `JobQueue.retry_lost`.
    """

    def __init__(self, stopping: asyncio.Event, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stopping = stopping

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        """Run a query."""
        await self._patiently(
            lambda: super(PatientConnector, self).execute_query_async(query, **arguments)
        )

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        """Run a query and return its first row."""
        return await self._patiently(
            lambda: super(PatientConnector, self).execute_query_one_async(query, **arguments)
        )

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        """Run a query and return its rows."""
        return await self._patiently(
            lambda: super(PatientConnector, self).execute_query_all_async(query, **arguments)
        )

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen until cancelled."""
        listened = tuple(channels)
        await self._patiently(
            lambda: super(PatientConnector, self).listen_notify(on_notification, listened)
        )

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except ConnectorException as error:
                away = isinstance(
                    error.__cause__, psycopg.OperationalError | psycopg.InterfaceError
                )
                if self._stopping.is_set() or not away:
                    raise
                await asyncio.sleep(PAUSE_S)


class JobQueue:
    """Procrastinate on the dataset database, in the schema of a service's queue."""

    def __init__(
        self,
        settings: ServiceSettings,
        identity: QueueIdentity,
        stopping: asyncio.Event,
        run_job: Callable[[int], Awaitable[None]],
        concurrency: int,
    ) -> None:
        self._queue = identity.name
        self._stopping = stopping
        self._running: set[int] = set()
        self._suspects: set[int] = set()
        self._app = App(
            connector=PatientConnector(
                stopping,
                kwargs=connection_arguments(settings, identity),
                min_size=1,
                max_size=3,
                timeout=10.0,
            )
        )

        async def task(context: Any, job_id: int) -> None:
            self._running.add(context.job.id)
            try:
                await run_job(job_id)
            finally:
                self._running.discard(context.job.id)

        self._app.task(name=TASK, queue=self._queue, retry=RetryAlways(), pass_context=True)(task)
        self._worker = Worker(
            self._app,
            queues=[self._queue],
            name="cellar-jobs",
            concurrency=concurrency,
            fetch_job_polling_interval=2.0,
            # Told to stop, a job does not hold the program up: it begins anew at the next start.
            shutdown_graceful_timeout=0,
            # The row of `jobs` keeps the history.
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=STALLED_S,
        )

    async def work(self) -> None:
        """Work until told to stop, then end what runs and return.

        Raises
        ------
        WorkerEnded
            Nobody told it to stop: whoever supervises the program starts it again.
        """
        async with self._app.open_async():
            worker = asyncio.create_task(self._worker.run())  # type: ignore[no-untyped-call]
            stop = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait({worker, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not worker.done():
                    self._worker.stop()  # type: ignore[no-untyped-call]
                await worker
            finally:
                stop.cancel()
            if not self._stopping.is_set():
                raise WorkerEnded("Procrastinate's worker ended by itself; see the log above.")

    async def retry_lost(self) -> None:
        """Let jobs begin anew whose worker was killed, or that were lost on their way to ours."""
        manager = self._app.job_manager
        stalled = await manager.get_stalled_jobs(
            queue=self._queue, seconds_since_heartbeat=STALLED_S
        )
        fetched = [
            job
            for job in await manager.list_jobs_async(queue=self._queue, status="doing")
            if job.worker_id == self._worker.worker_id and job.id not in self._running
        ]
        # One that is just being begun or ended looks the same for a moment.
        lost = [job for job in fetched if job.id in self._suspects]
        self._suspects = {job.id for job in fetched if job.id is not None}
        for job in {job.id: job for job in (*stalled, *lost)}.values():
            log.warning("Job %s of the queue was lost by its worker: it begins anew", job.id)
            await manager.retry_job(job)


def connection_arguments(settings: ServiceSettings, identity: QueueIdentity) -> dict[str, Any]:
    """Return what psycopg 3 connects with."""
    return {
        "host": settings.database_host,
        "port": settings.database_port,
        "dbname": settings.database_name,
        "user": settings.database_user,
        "password": settings.database_password.get_secret_value(),
        "connect_timeout": max(1, round(settings.connect_timeout_s)),
        "application_name": "cellar-jobs",
        "options": f"-c timezone=UTC -c search_path={identity.schema},public",
        "keepalives_idle": 30,
    }


async def make_tables(settings: ServiceSettings, identity: QueueIdentity) -> None:
    """Make Procrastinate's tables unless they are there; programs that start at once take turns.

    Raises
    ------
    psycopg.Error
        PostgreSQL is away, or the schema is not there yet: the migrations make it.
    """
    async with await psycopg.AsyncConnection.connect(
        **connection_arguments(settings, identity)
    ) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        found = await connection.execute(
            "SELECT to_regclass(%s)", (f"{identity.schema}.procrastinate_jobs",)
        )
        row = await found.fetchone()
        if row is not None and row[0] is None:
            from procrastinate.schema import SchemaManager

            await connection.execute(SchemaManager.get_schema())
            log.info("Made the tables of the job queue in the schema %s", identity.schema)
