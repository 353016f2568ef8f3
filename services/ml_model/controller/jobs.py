"""`/jobs`: work in the background."""

from flask_restful import Resource

from contracts.jobs import JobAnswer, JobsAnswer, JobsQuery
from ml_model.background_job import Job
from ml_model.service.jobs import JobService
from servicekit.api import endpoint


def job_answer(job: Job) -> JobAnswer:
    """Return a job as it is shown."""
    return JobAnswer(
        id=job.id,
        kind=job.kind,
        state=job.state,
        dataset_name=job.dataset_name,
        request={key: value for key, value in job.request.items() if key != "sha256"},
        result=None if job.result is None else dict(job.result),
        progress=job.progress,
        message=job.message,
        reason=job.reason,
        cancel_requested=job.cancel_requested,
        attempts=job.attempts,
        request_id=job.request_id,
        created_at=job.created_at.isoformat(),
        started_at=job.started_at.isoformat() if job.started_at else None,
        finished_at=job.finished_at.isoformat() if job.finished_at else None,
    )


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
        return JobsAnswer(
            jobs=[job_answer(job) for job in jobs],
            count=len(jobs),
            next_cursor=jobs[-1].id if len(jobs) == query.limit else None,
        )


class JobResource(Resource):  # type: ignore[misc]
    """`GET /jobs/<id>`."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @endpoint(summary="One job", answers={200: JobAnswer}, errors=(404,))
    def get(self, job_id: int) -> JobAnswer:
        """How far it is, and what came of it."""
        return job_answer(self._jobs.get(job_id))


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
