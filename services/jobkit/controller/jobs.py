"""Jobs as they are shown."""

from collections.abc import Sequence
from typing import cast

from flask_restful import Resource

from contracts.jobs import JobAnswer, JobKindName, JobsAnswer
from jobkit.job import Job
from jobkit.service.jobs import JobService
from servicekit.api import endpoint


def job_answer(job: Job) -> JobAnswer:
    """Return a job as it is shown."""
    return JobAnswer(
        id=job.id,
        kind=cast(JobKindName, job.kind),
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


def jobs_answer(jobs: Sequence[Job], limit: int) -> JobsAnswer:
    """Return a page of up to `limit` jobs as it is shown."""
    return JobsAnswer(
        jobs=[job_answer(job) for job in jobs],
        count=len(jobs),
        next_cursor=jobs[-1].id if len(jobs) == limit else None,
    )


class JobResource(Resource):  # type: ignore[misc]
    """`GET .../jobs/<id>`."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @endpoint(summary="One job", answers={200: JobAnswer}, errors=(404,))
    def get(self, job_id: int) -> JobAnswer:
        """How far it is, and what came of it."""
        return job_answer(self._jobs.get(job_id))
