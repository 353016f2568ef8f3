"""A child process: works on the jobs that the program names, `python -m <service>.jobs.child`.

One JSON line per job comes in on standard input, one goes out on standard output for each, with
the `outcome`: `finished` (well or badly, as the row of the job says), `given up` (the attempt is
not wanted any more) or `interrupted` (PostgreSQL, or what else the work needs, was away).
"""

import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from jobkit.errors import JobGivenUp, WorkInterrupted
from jobkit.job import Job
from jobkit.program.scope import is_away
from jobkit.repository.jobs import SqlJobs
from jobkit.service.job_runs import JobRuns
from servicekit.api import status_of
from servicekit.background import bind_outside_requests
from servicekit.database import Database, DatabaseUnavailable
from servicekit.errors import DomainError
from servicekit.settings import ServiceSettings
from servicekit.syntax_trees import make_parsing_thread_safe
from servicekit.telemetry import configure_logging, set_request_id

log = logging.getLogger(__name__)


class Workshop(Protocol):
    """What a service does about its jobs; made with the first one, in the child."""

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Work on a job to its end and record that, or raise why it cannot be.

        Raises
        ------
        JobGivenUp
            The attempt is not wanted any more.
        WorkInterrupted
            Something was away; the next attempt may do better.
        DomainError
            The job has failed; the row of the job says why.
        """

    def take_back(self, job_id: int) -> None:
        """Remove what a job that has failed left in MLflow; `DomainError` while that is away."""


OpenScope = Callable[[], AbstractContextManager[Any]]
"""For a thread that writes to the database beside the one that works."""

MakeWorkshop = Callable[[Database, JobRuns, OpenScope], Workshop]


class Worker:
    """Works on one job after the other."""

    def __init__(self, database: Database, jobs: SqlJobs, make_workshop: MakeWorkshop) -> None:
        self._database = database
        self._scope = bind_outside_requests(database, "job")
        self._runs = JobRuns(database, jobs)
        self._make_workshop = make_workshop
        self._workshop: Workshop | None = None

    def work_on(self, job_id: int, attempt: int) -> str:
        """Work on an attempt and return its outcome; nothing is raised."""
        with self._scope():
            try:
                job = self._runs.get(job_id)
                if job.attempts != attempt:
                    return "given up"
                return self._attempt(job)
            except JobGivenUp:
                return "given up"
            except WorkInterrupted as error:
                log.warning("Job %d is interrupted: %s", job_id, error)
                return "interrupted"
            except Exception as error:
                if not is_away(error):
                    log.exception("Job %d: its failure could not be stored", job_id)
                return "interrupted"

    def _attempt(self, job: Job) -> str:
        try:
            self._tools().work_on(job, self._runs.read_request(job.id))
        except (JobGivenUp, WorkInterrupted, DatabaseUnavailable):
            raise
        except DomainError as error:
            log.warning("Job %d failed: %s", job.id, error, exc_info=error.__cause__)
            self._fail(job, error.error, error.message, status_of(error))
        except Exception as error:
            if is_away(error):
                raise
            log.exception("Job %d failed", job.id)
            self._fail(job, "Internal error", "The fault is ours; see the log of the jobs.", 500)
        return "finished"

    def _fail(self, job: Job, error: str, message: str, status: int) -> None:
        try:
            self._tools().take_back(job.id)
        except DomainError:
            self._runs.leave_untidy(job, "FAILED")
        else:
            self._runs.leave_untidy(job, None)
        result = {"error": error, "message": message, "status_code": status}
        self._runs.fail(job, message, result)

    def _tools(self) -> Workshop:
        if self._workshop is None:
            # scikit-learn and what else the work needs: some seconds.
            self._workshop = self._make_workshop(self._database, self._runs, self._scope)
        return self._workshop


def run_child(
    settings: ServiceSettings,
    make_jobs: Callable[[Any], SqlJobs],
    make_workshop: MakeWorkshop,
) -> None:
    """Work until the standard input ends. `make_jobs` is given the session."""
    # Whatever a library prints goes to the log; what was standard output speaks to the program.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    make_parsing_thread_safe()
    configure_logging(settings.log_level, settings.log_format)
    database = Database(settings)
    worker = Worker(database, make_jobs(database.session), make_workshop)
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        order = json.loads(asked.get())
        set_request_id(order["request_id"])
        outcome = worker.work_on(order["job_id"], order["attempt"])
        answers.write(f"{json.dumps({'outcome': outcome})}\n")
        answers.flush()


def _listen(asked: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        asked.put(line)
    # The program has ended, or does not need this process any more: no work goes on without it,
    # here or in the processes that fit for it. It leads their group; see `Child.start`.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGTERM)
    os._exit(0)
