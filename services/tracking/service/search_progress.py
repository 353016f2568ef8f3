"""What is known of a job's search while it runs: kept, reported, and read by the next attempt."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.job import Job
from servicekit.database import Database
from tracking.repository.jobs import KeptCandidate, SearchJobs, SearchOfJob


class SearchProgress:
    """The durable side of a search that is a job."""

    def __init__(self, database: Database, jobs: SearchJobs) -> None:
        self._database = database
        self._jobs = jobs

    def begin(self, job: Job, experiment_id: str, request: Mapping[str, Any]) -> SearchOfJob:
        """Enter the search as running; a later attempt gets the one that the first entered."""
        with self._database.transaction():
            return self._jobs.begin_search(job.id, experiment_id, request)

    def find(self, job: Job) -> SearchOfJob | None:
        """Return the search that an earlier attempt has entered, or None."""
        with self._database.transaction():
            return self._jobs.find_search(job.id)

    def read(self, job: Job) -> list[KeptCandidate]:
        """Return what earlier attempts have tried."""
        with self._database.transaction():
            return self._jobs.list_candidates(job.id)

    def write(
        self,
        job: Job,
        candidates: Sequence[KeptCandidate],
        progress: float,
        message: str,
        result: Mapping[str, Any],
    ) -> bool:
        """Keep candidates and say how far the search is.

        Returns whether it is to go on: False where somebody asked for its end. An attempt that is
        not the running one any more changes nothing, and is not to go on either.
        """
        with self._database.transaction():
            found = self._jobs.report(job.id, job.attempts, progress, message)
            if found is None:
                return False
            self._jobs.keep_result(job.id, job.attempts, result)
            self._jobs.add_candidates(job.id, candidates)
            return not found.cancel_requested

    def end_within(self, job: Job) -> None:
        """Enter the search as finished, in the transaction that the caller has open."""
        self._jobs.end_search(job.id, "finished")
