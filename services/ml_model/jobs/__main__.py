"""Run jobs and keep house until told to stop: `python -m ml_model.jobs`."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import psycopg

from ml_model.jobs.children import Children
from ml_model.jobs.housekeeping import Leadership, keep_house
from ml_model.jobs.queue import JobQueue, make_tables
from ml_model.jobs.runner import JobRunner
from ml_model.jobs.scope import Scopes
from ml_model.repository.jobs import SqlJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.prediction_history import SqlPredictionHistory
from ml_model.repository.rollouts import SqlRollouts
from ml_model.repository.serving_statistics import SqlServingStatistics
from ml_model.service.job_runs import JobRuns
from ml_model.service.retention import Retention
from ml_model.service.rollouts import RolloutService
from ml_model.service.tidying import Tidying
from ml_model.settings import Settings
from servicekit.background import bind_outside_requests
from servicekit.database import Database
from servicekit.settings import SettingsError
from servicekit.telemetry import configure_logging

if TYPE_CHECKING:
    from ml_model.service.leftovers import Leftovers

log = logging.getLogger("ml_model.jobs")

PAUSE_S = 1.0


async def run(settings: Settings) -> None:
    """Run until a signal says to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    database = Database(settings)
    scopes = Scopes(bind_outside_requests(database, "jobs"), stopping)
    runs = JobRuns(database, SqlJobs(database.session))
    children = Children()
    leftovers = _make_leftovers(settings, database)
    runner = JobRunner(
        scopes,
        runs,
        children,
        # After FAILED the job begins again.
        lambda job_id, end: leftovers().remove(job_id, end, keep_recorded=end == "FAILED"),
    )
    tidying = Tidying(
        database,
        SqlJobs(database.session),
        lambda job: leftovers().remove(job.id, job.runs_end, keep_recorded=job.succeeded),
    )
    rollouts = RolloutService(
        database,
        SqlLedger(database.session),
        SqlRollouts(database.session),
        SqlServingStatistics(database.session),
    )
    retention = Retention(database, SqlPredictionHistory(database.session))
    days = settings.prediction_retention_days
    await _wait_for_tables(settings, stopping)
    if stopping.is_set():
        return
    queue = JobQueue(settings, stopping, runner.run, settings.training_processes)
    house = asyncio.create_task(
        keep_house(
            Leadership(settings),
            {
                "jobs that stand in no queue": lambda: scopes.call(runs.defer_forgotten),
                "lost jobs": queue.retry_lost,
                "leftovers of jobs": lambda: scopes.call(tidying.tick),
                "roll-outs": lambda: scopes.call(rollouts.tick),
                "old predictions": lambda: scopes.call(retention.tick, days),
            },
            stopping,
        )
    )
    log.info("Ready for jobs: %d at once", settings.training_processes)
    try:
        await queue.work()
    finally:
        stopping.set()
        await house
        await children.end_all()


def _make_leftovers(settings: Settings, database: Database) -> Callable[[], "Leftovers"]:
    """Return what makes, when first called, what removes the leftovers of jobs."""

    @cache
    def leftovers() -> "Leftovers":
        # An HTTP client comes with it: memory that a program at rest does without.
        from ml_model.repository.trained_versions import SqlTrainedVersions
        from ml_model.repository.training_traces import TrainingTraces
        from ml_model.service.leftovers import Leftovers
        from mlflowrest.client import Mlflow

        session = database.session
        return Leftovers(
            database,
            SqlJobs(session),
            SqlLedger(session),
            SqlTrainedVersions(session),
            TrainingTraces(Mlflow(settings.mlflow_url)),
        )

    return leftovers


async def _wait_for_tables(settings: Settings, stopping: asyncio.Event) -> None:
    """Return when the queue's tables are there: PostgreSQL may start or be migrated after us."""
    while not stopping.is_set():
        try:
            await make_tables(settings)
            return
        except psycopg.Error as error:
            log.info("Waiting for the database: %s", str(error).splitlines()[0])
            try:
                await asyncio.wait_for(stopping.wait(), PAUSE_S)
            except TimeoutError:
                continue


def main() -> None:
    """Run; a wrong setting ends with one line that names it."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise SystemExit(f"ml_model.jobs: {error}") from None
    configure_logging(settings.log_level, settings.log_format)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    # Inherited by the processes that train: see `servicekit.serve`.
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    asyncio.run(run(settings))
    log.info("Stopped")


if __name__ == "__main__":
    main()
