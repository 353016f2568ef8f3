"""Requests that wait for their job. Of the threads of a process only some may: others predict."""

import threading
from collections.abc import Mapping
from typing import Any

from jobkit.job import Job
from jobkit.service.jobs import JobService
from ml_model.errors import JobCancelled, JobFailed
from servicekit.errors import Conflict, DomainError, Impossible, NotFound, Unavailable

KINDS: Mapping[int, type[DomainError]] = {
    404: NotFound,
    409: Conflict,
    422: Impossible,
    503: Unavailable,
}
"""What the work raised, by the status that the failed job notes."""


class JobWaiting:
    """Waits in as many threads at once as there are places."""

    def __init__(self, jobs: JobService, *, wait_s: float, most_waiting: int) -> None:
        self._jobs = jobs
        self._wait_s = wait_s
        self._places = threading.BoundedSemaphore(most_waiting)

    def wait(self, job: Job) -> Job:
        """Return the job when it has finished, or as it is when the waiting time is over.

        At once where too many wait already.
        """
        if not self._places.acquire(blocking=False):
            return job
        try:
            return self._jobs.wait(job.id, self._wait_s)
        finally:
            self._places.release()


def outcome_of(job: Job) -> Mapping[str, Any]:
    """Return the result of a job that has finished.

    Raises
    ------
    JobCancelled, JobFailed
    NotFound, Conflict, Impossible, Unavailable
        What the work raised, in its words.
    """
    result = job.result or {}
    if job.state == "succeeded":
        return result
    if job.state == "cancelled":
        raise JobCancelled(f"Job {job.id} was cancelled before it ended.")
    kind = KINDS.get(result["status_code"], JobFailed)
    raise kind(result["message"], error=result["error"])
