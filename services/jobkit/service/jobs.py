"""Jobs as the web side sees them: hand one in, wait for it, look at it, cancel it."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from jobkit.errors import JobFinished, JobNotFound
from jobkit.job import Job, JobState
from jobkit.repository.jobs import SqlJobs
from servicekit.database import Database
from servicekit.telemetry import request_id

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5
LARGEST_ID = 2**63 - 1


class JobService:
    """Hands jobs in and tells how they are."""

    def __init__(self, database: Database, jobs: SqlJobs) -> None:
        self._database = database
        self._jobs = jobs
        self._listed_at = jobs.identity.listed_at

    def submit(self, kind: str, request: Mapping[str, Any], dataset_name: str | None = None) -> Job:
        """Store a job and put it into the queue, both or neither.

        The same request sent again under the same request id gives the job that it gave before,
        unless that failed or was cancelled.
        """
        asked = {**request, "sha256": hashlib.sha256(_canonical(request).encode()).hexdigest()}
        with self._database.transaction():
            known = self._jobs.find_repeated(kind, asked, request_id())
            if known is not None:
                return known
            job_id = self._jobs.add(kind, asked, dataset_name, request_id())
            self._jobs.defer(job_id)
            return self._get(job_id)

    def wait(self, job_id: int, timeout_s: float) -> Job:
        """Return the job when it has finished, or as it is after `timeout_s`.

        Holds no connection while it waits.

        Raises
        ------
        JobNotFound
        """
        deadline_s = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            job = self.get(job_id)
            left_s = deadline_s - time.monotonic()
            if job.finished or left_s <= 0:
                return job
            time.sleep(min(pause_s, left_s))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.3)

    def get(self, job_id: int) -> Job:
        """Return a job; `JobNotFound` if there is none."""
        with self._database.transaction():
            return self._get(job_id)

    def page(
        self,
        limit: int,
        before_id: int | None = None,
        *,
        kind: str | None = None,
        state: JobState | None = None,
        dataset_name: str | None = None,
    ) -> list[Job]:
        """Return up to `limit` jobs, newest first, older than the job `before_id`."""
        with self._database.transaction():
            return self._jobs.page(limit, before_id, kind, state, dataset_name)

    def cancel(self, job_id: int) -> Job:
        """End a job at once that was never begun, ask for the end of another; again is the same.

        Raises
        ------
        JobNotFound
        JobFinished
            It has succeeded or failed already.
        """
        with self._database.transaction():
            job = self._get(job_id)
            job = self._jobs.cancel_unbegun(job_id) or self._jobs.ask_to_cancel(job_id) or job
        if job.state in ("succeeded", "failed"):
            raise JobFinished(f"Job {job_id} has {job.state} already.")
        return job

    def _get(self, job_id: int) -> Job:
        job = self._jobs.find(job_id) if job_id <= LARGEST_ID else None
        if job is None:
            raise JobNotFound(
                f"There is no job {job_id}; GET {self._listed_at} lists those there are."
            )
        return job


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
