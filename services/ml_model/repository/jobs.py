"""Jobs as rows of Postgres, and their place in Procrastinate's queue on the same Postgres.

The row of `jobs` says what is true of a job; the queue only sees to it that somebody works on it.
Both are written in one transaction.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, cast, func, select, text, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, scoped_session

from ml_model.background_job import UNFINISHED, Job, JobKind, JobState, RunsEnd, UntidyJob
from schema.tables import JOBS_SCHEMA, JobRow, TrainingRowRow

QUEUE = "ml_model"
TASK = "run_job"
ROWS_OF_REQUEST = ("data", "target")
"""What a request holds many of; shown and kept without them."""

_DEFER = text(
    f"SELECT {JOBS_SCHEMA}.procrastinate_defer_jobs_v1(ARRAY["
    "ROW(:queue, :task, 0, :lock, NULL, CAST(:args AS jsonb), CAST(NULL AS timestamptz))"
    f"]::{JOBS_SCHEMA}.procrastinate_job_to_defer_v1[])"
)
_UNDEFERRED = text(
    "SELECT id FROM jobs WHERE state IN ('queued', 'running') AND NOT EXISTS ("  # noqa: S608
    f"SELECT FROM {JOBS_SCHEMA}.procrastinate_jobs AS queued"
    " WHERE queued.status IN ('todo', 'doing') AND queued.queue_name = :queue"
    " AND (queued.args ->> 'job_id')::bigint = jobs.id) ORDER BY id"
)
_SHOWN_REQUEST = JobRow.request.op("-", return_type=JSONB())(
    cast(list(ROWS_OF_REQUEST), ARRAY(Text))
)


class SqlJobs:
    """Reads and writes jobs. Never commits; takes the session of the running scope."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def add(
        self, kind: JobKind, request: Mapping[str, Any], dataset_name: str | None, request_id: str
    ) -> int:
        """Store a job that waits for its turn and return its id."""
        row = JobRow(
            kind=kind,
            state="queued",
            dataset_name=dataset_name,
            request=dict(request),
            progress=0.0,
            message="waits for its turn",
            cancel_requested=False,
            attempts=0,
            request_id=request_id,
        )
        self._session.add(row)
        self._session.flush()
        return row.id

    def defer(self, job_id: int) -> bool:
        """Put a job into the queue; False while the queue's tables are not there yet."""
        function = f"{JOBS_SCHEMA}.procrastinate_defer_jobs_v1"
        if self._session.scalar(select(func.to_regproc(function))) is None:
            return False
        # Procrastinate's functions name their tables without a schema.
        self._session.execute(
            select(func.set_config("search_path", f"public, {JOBS_SCHEMA}", True))
        )
        self._session.execute(
            _DEFER,
            {
                "queue": QUEUE,
                "task": TASK,
                # Should a job stand in the queue twice, one waits for the other.
                "lock": f"job-{job_id}",
                "args": json.dumps({"job_id": job_id}),
            },
        )
        return True

    def undeferred(self) -> list[int]:
        """Return the unfinished jobs that do not stand in the queue."""
        return list(self._session.scalars(_UNDEFERRED, {"queue": QUEUE}))

    def find(self, job_id: int) -> Job | None:
        """Return a job without the rows of its request."""
        return self._first(JobRow.id == job_id)

    def find_repeated(
        self, kind: JobKind, request: Mapping[str, Any], request_id: str
    ) -> Job | None:
        """Return the job that the same request made under the same id, if it did not fail."""
        return self._first(
            JobRow.request_id == request_id,
            JobRow.kind == kind,
            JobRow.state.not_in(("failed", "cancelled")),
            JobRow.request["sha256"].astext == request["sha256"],
        )

    def find_unfinished_retraining(self, dataset_name: str) -> Job | None:
        """Return the retraining of a dataset that waits or runs; there is one at most."""
        return self._first(
            JobRow.kind == "retrain",
            JobRow.dataset_name == dataset_name,
            JobRow.state.in_(UNFINISHED),
        )

    def page(
        self,
        limit: int,
        before_id: int | None,
        kind: JobKind | None,
        state: JobState | None,
        dataset_name: str | None,
    ) -> list[Job]:
        """Return up to `limit` jobs, newest first, older than the job `before_id`."""
        conditions = [
            column == value
            for column, value in (
                (JobRow.kind, kind),
                (JobRow.state, state),
                (JobRow.dataset_name, dataset_name),
            )
            if value is not None
        ]
        if before_id is not None:
            conditions.append(JobRow.id < before_id)
        return self._all(conditions, limit)

    def read_request(self, job_id: int) -> Mapping[str, Any]:
        """Return a job's request with its rows."""
        request: Mapping[str, Any] = self._session.scalars(
            select(JobRow.request).where(JobRow.id == job_id)
        ).one()
        return request

    def begin(self, job_id: int) -> Job | None:
        """Count an attempt and return the job as it runs now; None unless it is unfinished."""
        return self._changed(
            job_id,
            JobRow.state.in_(UNFINISHED),
            state="running",
            attempts=JobRow.attempts + 1,
            started_at=func.coalesce(JobRow.started_at, func.clock_timestamp()),
            message="is begun",
        )

    def report(self, job_id: int, attempt: int, progress: float, message: str) -> Job | None:
        """Say how far an attempt is; None where it is no longer the running one."""
        return self._changed(job_id, _running(attempt), progress=progress, message=message)

    def keep_result(self, job_id: int, attempt: int, result: Mapping[str, Any]) -> Job | None:
        """Add to what an attempt has so far; None where it is no longer the running one."""
        return self._changed(job_id, _running(attempt), result=_added(result))

    def wait_again(self, job_id: int, attempt: int, message: str, *, counted: bool) -> Job | None:
        """Give an attempt up, so that the job can be begun again; see `keep_result`."""
        return self._changed(
            job_id,
            _running(attempt),
            state="queued",
            progress=0.0,
            message=message,
            attempts=attempt if counted else attempt - 1,
        )

    def succeed(
        self, job_id: int, attempt: int, message: str, result: Mapping[str, Any]
    ) -> Job | None:
        """End an attempt well; None where it is no longer the running one."""
        return self._end(
            job_id, _running(attempt), "succeeded", message, result=_added(result), progress=1.0
        )

    def fail(self, job_id: int, attempt: int, reason: str, result: Mapping[str, Any]) -> Job | None:
        """End an attempt badly; None where it is no longer the running one."""
        ended = self._end(
            job_id, _running(attempt), "failed", "failed", reason=reason, result=_added(result)
        )
        return ended and self._released(ended)

    def cancel(self, job_id: int) -> Job | None:
        """Mark a job as cancelled if it is unfinished; else None."""
        return self._cancelled(job_id, JobRow.state.in_(UNFINISHED))

    def cancel_unbegun(self, job_id: int) -> Job | None:
        """Mark a job as cancelled if nobody has begun it yet; else None."""
        return self._cancelled(job_id, (JobRow.state == "queued") & JobRow.started_at.is_(None))

    def ask_to_cancel(self, job_id: int) -> Job | None:
        """Ask whoever runs the job, or begins it again, to end it; None of a finished one."""
        return self._changed(job_id, JobRow.state.in_(UNFINISHED), cancel_requested=True)

    def note_untidy(self, job_id: int, runs_end: RunsEnd | None) -> None:
        """Note that MLflow still holds what the job left, or (None) that it does not."""
        self._changed(job_id, true(), untidy=runs_end)

    def find_untidy(self) -> list[UntidyJob]:
        """Return the ended jobs whose leftovers MLflow still holds, the first first."""
        query = select(JobRow.id, JobRow.untidy, JobRow.state == "succeeded").where(
            JobRow.untidy.is_not(None), JobRow.state.not_in(UNFINISHED)
        )
        rows: Any = self._session.execute(query.order_by(JobRow.id))
        return [UntidyJob(*row) for row in rows]

    def _cancelled(self, job_id: int, condition: ColumnElement[bool]) -> Job | None:
        ended = self._end(job_id, condition, "cancelled", "cancelled", cancel_requested=True)
        return ended and self._released(ended)

    def _end(
        self,
        job_id: int,
        condition: ColumnElement[bool],
        state: JobState,
        message: str,
        **values: Any,
    ) -> Job | None:
        rows = func.jsonb_array_length(JobRow.request.op("->")("data"))
        return self._changed(
            job_id,
            condition,
            state=state,
            message=message,
            finished_at=func.clock_timestamp(),
            request=_SHOWN_REQUEST.op("||")(
                func.jsonb_strip_nulls(func.jsonb_build_object("rows", rows))
            ),
            **values,
        )

    def _released(self, job: Job) -> Job:
        """Let the new rows that a retraining had taken count as new again."""
        self._session.execute(
            update(TrainingRowRow).where(TrainingRowRow.job_id == job.id).values(job_id=None)
        )
        return job

    def _changed(self, job_id: int, condition: ColumnElement[bool], **values: Any) -> Job | None:
        statement = update(JobRow).where(JobRow.id == job_id, condition).values(**values)
        if self._session.execute(statement).rowcount == 0:  # type: ignore[attr-defined]
            return None
        return self.find(job_id)

    def _first(self, *conditions: ColumnElement[bool]) -> Job | None:
        found = self._all(conditions, 1)
        return found[0] if found else None

    def _all(self, conditions: Sequence[ColumnElement[bool]], limit: int) -> list[Job]:
        columns = [
            _SHOWN_REQUEST.label("request") if name == "request" else getattr(JobRow, name)
            for name in Job.__dataclass_fields__
        ]
        query = select(*columns).where(*conditions).order_by(JobRow.id.desc()).limit(limit)
        return [Job(*row) for row in self._session.execute(query)]


def _running(attempt: int) -> ColumnElement[bool]:
    """Fence off an attempt that was given up for lost and yet goes on."""
    return (JobRow.state == "running") & (JobRow.attempts == attempt)


def _added(result: Mapping[str, Any]) -> Any:
    """Put values into what the result holds already."""
    kept = func.coalesce(JobRow.result, cast({}, JSONB))
    return kept.op("||", return_type=JSONB())(cast(dict(result), JSONB))
