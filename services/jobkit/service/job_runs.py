"""Jobs as the program sees them that runs them, and the process in it that works on one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobkit.errors import JobGivenUp
from jobkit.job import MOST_ATTEMPTS, Job, RunsEnd
from jobkit.repository.jobs import SqlJobs
from servicekit.database import Database


@dataclass(frozen=True)
class Begun:
    """An attempt that is begun.

    `again` where there was one before it, counted or not; `unwanted` where the job was cancelled
    meanwhile, so that the attempt is only to tidy up.
    """

    job: Job
    again: bool
    unwanted: bool


class JobRuns:
    """Begins, follows and ends attempts at jobs.

    An attempt is known by its number: one that was given up for lost and yet goes on can change
    nothing any more.
    """

    def __init__(self, database: Database, jobs: SqlJobs) -> None:
        self._database = database
        self._jobs = jobs

    def begin(self, job_id: int) -> Begun | None:
        """Count an attempt and return it; None where there is nothing (more) to do.

        A job whose process ended under it `MOST_ATTEMPTS` times fails here.
        """
        with self._database.transaction():
            found = self._jobs.find(job_id)
            if found is None or found.finished:
                return None
            begun = self._jobs.begin(job_id)
            if begun is None:
                return None
            if begun.cancel_requested or begun.attempts <= MOST_ATTEMPTS:
                return Begun(begun, found.started_at is not None, begun.cancel_requested)
            reason = f"The work was interrupted {MOST_ATTEMPTS} times; see the log of the jobs."
            self._jobs.fail(
                job_id,
                begun.attempts,
                reason,
                {"error": "Job interrupted", "message": reason, "status_code": 500},
            )
            return None

    def get(self, job_id: int) -> Job:
        """Return a job; `JobGivenUp` if there is none."""
        with self._database.transaction():
            job = self._jobs.find(job_id)
        if job is None:
            raise JobGivenUp()
        return job

    def read_request(self, job_id: int) -> Mapping[str, Any]:
        """Return what was asked, rows included."""
        with self._database.transaction():
            return self._jobs.read_request(job_id)

    def cancel_requested(self, job_id: int) -> bool:
        """Tell whether somebody asked for the job's end."""
        with self._database.transaction():
            job = self._jobs.find(job_id)
        return job is not None and job.cancel_requested and not job.finished

    def is_finished(self, job_id: int) -> bool:
        """Tell whether nothing more is to be done about the job."""
        with self._database.transaction():
            job = self._jobs.find(job_id)
        return job is None or job.finished

    def report(self, job: Job, progress: float, message: str) -> None:
        """Say how far the attempt is; `JobGivenUp` where it is to end instead."""
        with self._database.transaction():
            found = self._jobs.report(job.id, job.attempts, progress, message)
        if found is None or found.cancel_requested:
            raise JobGivenUp()

    def keep_result(self, job: Job, result: Mapping[str, Any]) -> None:
        """Store what there is so far, so that the next attempt need not do it again."""
        with self._database.transaction():
            self.keep_result_within(job, result)

    def keep_result_within(self, job: Job, result: Mapping[str, Any]) -> None:
        """Do as `keep_result` in the transaction that the caller has open."""
        if self._jobs.keep_result(job.id, job.attempts, result) is None:
            raise JobGivenUp()

    def succeed(
        self,
        job: Job,
        message: str,
        result: Mapping[str, Any],
        then: Callable[[], object] | None = None,
    ) -> None:
        """End the job well, and do what follows from it in the same transaction.

        Raises
        ------
        JobGivenUp
            The attempt is no longer the running one.
        """
        with self._database.transaction():
            if self._jobs.succeed(job.id, job.attempts, message, result) is None:
                raise JobGivenUp()
            if then is not None:
                then()

    def fail(self, job: Job, reason: str, result: Mapping[str, Any]) -> None:
        """End the job badly, unless the attempt is no longer the running one."""
        with self._database.transaction():
            self._jobs.fail(job.id, job.attempts, reason, result)

    def interrupted(self, job: Job, why: str) -> None:
        """Let the job wait for its next attempt: its process ended under it."""
        message = f"{why}; attempt {job.attempts} of {MOST_ATTEMPTS}"
        with self._database.transaction():
            self._jobs.wait_again(job.id, job.attempts, message, counted=True)

    def stopped(self, job: Job) -> None:
        """Let the job wait for the next start of this program; the attempt does not count."""
        message = "waits: the program that runs jobs was stopped"
        with self._database.transaction():
            self._jobs.wait_again(job.id, job.attempts, message, counted=False)

    def cancelled(self, job: Job) -> None:
        """End a job whose process was ended because somebody asked for it."""
        with self._database.transaction():
            self._jobs.cancel(job.id)

    def leave_untidy(self, job: Job, runs_end: RunsEnd | None) -> None:
        """Note that what the job left in MLflow could not be removed, or (None) that it is."""
        with self._database.transaction():
            self._jobs.note_untidy(job.id, runs_end)

    def defer_forgotten(self) -> list[int]:
        """Put unfinished jobs into the queue that do not stand in it, and return them.

        Such are those handed in before the queue's tables were made.
        """
        with self._database.transaction():
            forgotten = self._jobs.undeferred()
            for job_id in forgotten:
                self._jobs.defer(job_id)
            return forgotten
