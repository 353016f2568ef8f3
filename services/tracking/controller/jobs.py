"""`/root/tracking/jobs`: searches in the background."""

from flask_restful import Resource

from contracts.jobs import JobAnswer, JobsAnswer, SearchJobsQuery
from jobkit.controller.jobs import job_answer, jobs_answer
from jobkit.service.jobs import JobService
from servicekit.api import endpoint


class SearchJobsResource(Resource):  # type: ignore[misc]
    """`GET /root/tracking/jobs`."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @endpoint(
        summary="The searches in the background, newest first",
        query=SearchJobsQuery,
        answers={200: JobsAnswer},
    )
    def get(self, query: SearchJobsQuery) -> JobsAnswer:
        """Searches handed in with `"wait": false` that wait, run or have ended; all are kept."""
        jobs = self._jobs.page(
            query.limit, query.cursor, state=query.state, dataset_name=query.dataset_name
        )
        return jobs_answer(jobs, query.limit)


class CancelSearchJobResource(Resource):  # type: ignore[misc]
    """`POST /root/tracking/jobs/<id>/cancel`."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @endpoint(
        summary="Cancel a search", answers={200: JobAnswer, 202: JobAnswer}, errors=(404, 409)
    )
    def post(self, job_id: int) -> tuple[JobAnswer, int]:
        """A search that waits is cancelled at once (200); one that runs is ended within a second or
        two (202). What it has tried is kept: the runs of its models are KILLED, with the finished
        candidates as `search/candidates.csv`, the best one's scores as metrics, and a run for each
        candidate below them; nothing is registered. Sent again, it changes nothing; 409 once the
        search has succeeded or failed.
        """
        job = self._jobs.cancel(job_id)
        return job_answer(job), 200 if job.finished else 202
