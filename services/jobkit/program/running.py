"""Run a service's jobs and keep house until told to stop."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import psycopg

from jobkit.job import UntidyJob
from jobkit.program.children import Children
from jobkit.program.housekeeping import Leadership, keep_house
from jobkit.program.queue import JobQueue, make_tables
from jobkit.program.runner import JobRunner, Tidy
from jobkit.program.scope import Scopes
from jobkit.repository.jobs import SqlJobs
from jobkit.service.job_runs import JobRuns
from jobkit.service.tidying import Tidying
from servicekit.background import bind_outside_requests
from servicekit.database import Database
from servicekit.settings import ServiceSettings, SettingsError
from servicekit.telemetry import configure_logging

log = logging.getLogger(__name__)

PAUSE_S = 1.0

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


@dataclass(frozen=True)
class Duties:
    """What a service's program has to do.

    `module` is the program's (`ml_model.jobs`), its children are `<module>.child`; `processes` jobs
    are worked on at once. For `tidy` and `runs_go_on` see `JobRunner`; `tidy_ended` does the same
    for a job that has ended. `chores` are done once a second by one program of however many there
    are.
    """

    module: str
    processes: int
    jobs: SqlJobs
    tidy: Tidy
    tidy_ended: Callable[[UntidyJob], None]
    runs_go_on: bool = False
    chores: Mapping[str, Callable[[], object]] = field(default_factory=dict)


def run_program(
    module: str,
    load_settings: Callable[[], SettingsT],
    furnish: Callable[[SettingsT, Database], Duties],
) -> None:
    """Run; a wrong setting ends with one line that names it."""
    try:
        settings = load_settings()
    except SettingsError as error:
        raise SystemExit(f"{module}: {error}") from None
    configure_logging(settings.log_level, settings.log_format)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    # Inherited by the processes that do the work: see `servicekit.serve`.
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    database = Database(settings)
    asyncio.run(_run(settings, database, furnish(settings, database)))
    log.info("Stopped")


async def _run(settings: ServiceSettings, database: Database, duties: Duties) -> None:
    """Run until a signal says to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    scopes = Scopes(bind_outside_requests(database, "jobs"), stopping)
    identity = duties.jobs.identity
    runs = JobRuns(database, duties.jobs)
    children = Children((sys.executable, "-m", f"{duties.module}.child"))
    runner = JobRunner(scopes, runs, children, duties.tidy, runs_go_on=duties.runs_go_on)
    tidying = Tidying(database, duties.jobs, duties.tidy_ended)
    await _wait_for_tables(settings, duties, stopping)
    if stopping.is_set():
        return
    queue = JobQueue(settings, identity, stopping, runner.run, duties.processes)
    house = asyncio.create_task(
        keep_house(
            Leadership(settings, identity),
            {
                "jobs that stand in no queue": partial(scopes.call, runs.defer_forgotten),
                "lost jobs": queue.retry_lost,
                "leftovers of jobs": partial(scopes.call, tidying.tick),
                **{name: partial(scopes.call, chore) for name, chore in duties.chores.items()},
            },
            stopping,
        )
    )
    log.info("Ready for jobs: %d at once", duties.processes)
    try:
        await queue.work()
    finally:
        stopping.set()
        await house
        await children.end_all()


async def _wait_for_tables(
    settings: ServiceSettings, duties: Duties, stopping: asyncio.Event
) -> None:
    """Return when the queue's tables are there: PostgreSQL may start or be migrated after us."""
    while not stopping.is_set():
        try:
            await make_tables(settings, duties.jobs.identity)
            return
        except psycopg.Error as error:
            log.info("Waiting for the database: %s", str(error).splitlines()[0])
            try:
                await asyncio.wait_for(stopping.wait(), PAUSE_S)
            except TimeoutError:
                continue
