"""Take away what ended jobs have left in MLflow, where it was away when they ended."""

import logging
import time
from collections.abc import Callable

from jobkit.job import UntidyJob
from jobkit.repository.jobs import SqlJobs
from servicekit.database import Database
from servicekit.errors import DomainError

log = logging.getLogger(__name__)

PAUSE_S = 15.0
"""After an attempt in vain."""


class Tidying:
    """Tries again until it is done; the jobs know what is to be done."""

    def __init__(
        self, database: Database, jobs: SqlJobs, remove: Callable[[UntidyJob], None]
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._remove = remove
        self._not_before_s = 0.0

    def tick(self) -> None:
        """Tidy up after the jobs that wait for it, unless MLflow was away just now."""
        if time.monotonic() < self._not_before_s:
            return
        with self._database.transaction():
            waiting = self._jobs.find_untidy()
        for job in waiting:
            try:
                self._remove(job)
            except DomainError as error:
                log.info("What job %d left in MLflow stays for now: %s", job.id, error)
                self._not_before_s = time.monotonic() + PAUSE_S
                return
            with self._database.transaction():
                self._jobs.note_untidy(job.id, None)
