"""`/jobs`: trainings in the background."""

from flask_restful import Resource

from contracts.jobs import JobAnswer, JobsAnswer, JobsQuery
from jobkit.controller.jobs import job_answer, jobs_answer
from jobkit.service.jobs import JobService
from servicekit.api import endpoint


class JobsResource(Resource):  # type: ignore[misc]
    """`GET /jobs`."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @endpoint(summary="The jobs, newest first", query=JobsQuery, answers={200: JobsAnswer})
    def get(self, query: JobsQuery) -> JobsAnswer:
        """Trainings and retrainings that wait, run or have ended; all are kept."""
        jobs = self._jobs.page(
            query.limit,
            query.cursor,
            kind=query.kind,
            state=query.state,
            dataset_name=query.dataset_name,
        )
        return jobs_answer(jobs, query.limit)


class CancelJobResource(Resource):  # type: ignore[misc]
    """`POST /jobs/<id>/cancel`."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @endpoint(summary="Cancel a job", answers={200: JobAnswer, 202: JobAnswer}, errors=(404, 409))
    def post(self, job_id: int) -> tuple[JobAnswer, int]:
        """A job that waits is cancelled at once (200); one that runs is ended within a second or
        two (202), and what it had begun in MLflow is taken back. Sent again, it changes nothing;
        409 once the job has succeeded or failed.
        """
        job = self._jobs.cancel(job_id)
        return job_answer(job), 200 if job.finished else 202
