"""A child process: works on the jobs that the program names, `python -m ml_model.jobs.child`.

One JSON line per job comes in on standard input, one goes out on standard output for each, with
the `outcome`: `finished` (well or badly, as the row of the job says), `given up` (the attempt is
not wanted any more) or `interrupted` (PostgreSQL was away).
"""

import json
import logging
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING

from ml_model.background_job import Job
from ml_model.errors import JobGivenUp
from ml_model.jobs.scope import is_away
from ml_model.repository.jobs import SqlJobs
from ml_model.service.job_runs import JobRuns
from ml_model.settings import Settings
from servicekit.api import status_of
from servicekit.background import bind_outside_requests
from servicekit.database import Database, DatabaseUnavailable
from servicekit.errors import DomainError
from servicekit.telemetry import configure_logging, set_request_id

if TYPE_CHECKING:
    from ml_model.jobs.workshop import Workshop

log = logging.getLogger(__name__)


class Worker:
    """Works on one job after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings)
        self._scope = bind_outside_requests(self._database, "job")
        self._runs = JobRuns(self._database, SqlJobs(self._database.session))
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
            except Exception as error:
                if not is_away(error):
                    log.exception("Job %d: its failure could not be stored", job_id)
                return "interrupted"

    def _attempt(self, job: Job) -> str:
        try:
            self._tools().work_on(job, self._runs.read_request(job.id))
        except (JobGivenUp, DatabaseUnavailable):
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
            self._tools().leftovers.remove(job.id, "FAILED", keep_recorded=False)
        except DomainError:
            self._runs.leave_untidy(job, "FAILED")
        result = {"error": error, "message": message, "status_code": status}
        self._runs.fail(job, message, result)

    def _tools(self) -> "Workshop":
        if self._workshop is None:
            # scikit-learn and what else the work needs: some seconds.
            from ml_model.jobs.workshop import Workshop

            self._workshop = Workshop(self._settings, self._database, self._runs)
        return self._workshop


def main() -> None:
    """Work until the standard input ends."""
    # Whatever a library prints goes to the log; what was standard output speaks to the program.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = Settings.load()
    configure_logging(settings.log_level, settings.log_format)
    worker = Worker(settings)
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
    # The program has ended, or does not need this process any more: no work goes on without it.
    os._exit(0)


if __name__ == "__main__":
    main()
