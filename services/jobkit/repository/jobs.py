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

from jobkit.job import UNFINISHED, Job, JobState, RunsEnd, UntidyJob
from jobkit.queue_identity import QueueIdentity
from schema.tables import JobRow

TASK = "run_job"
ROWS_OF_REQUEST = ("data", "target")
"""What a request holds many of; shown and kept without them."""

_SHOWN_REQUEST = JobRow.request.op("-", return_type=JSONB())(
    cast(list(ROWS_OF_REQUEST), ARRAY(Text))
)


class SqlJobs:
    """Reads and writes the jobs of one service. Never commits; takes the scope's session."""

    def __init__(self, session: "scoped_session[Session]", identity: QueueIdentity) -> None:
        self._session = session
        self.identity = identity

    def add(
        self, kind: str, request: Mapping[str, Any], dataset_name: str | None, request_id: str
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
        schema = self.identity.schema
        function = f"{schema}.procrastinate_defer_jobs_v1"
        if self._session.scalar(select(func.to_regproc(function))) is None:
            return False
        # Procrastinate's functions name their tables without a schema.
        self._session.execute(select(func.set_config("search_path", f"public, {schema}", True)))
        self._session.execute(
            text(
                f"SELECT {function}(ARRAY["
                "ROW(:queue, :task, 0, :lock, NULL, CAST(:args AS jsonb),"
                f" CAST(NULL AS timestamptz))::{schema}.procrastinate_job_to_defer_v1])"
            ),
            {
                "queue": self.identity.name,
                "task": TASK,
                # Should a job stand in the queue twice, one waits for the other.
                "lock": f"job-{job_id}",
                "args": json.dumps({"job_id": job_id}),
            },
        )
        return True

    def undeferred(self) -> list[int]:
        """Return the unfinished jobs that do not stand in the queue."""
        query = text(
            "SELECT id FROM jobs WHERE state IN ('queued', 'running') AND kind = ANY(:kinds)"  # noqa: S608
            f" AND NOT EXISTS (SELECT FROM {self.identity.schema}.procrastinate_jobs AS queued"
            " WHERE queued.status IN ('todo', 'doing') AND queued.queue_name = :queue"
            " AND (queued.args ->> 'job_id')::bigint = jobs.id) ORDER BY id"
        )
        values = {"queue": self.identity.name, "kinds": list(self.identity.kinds)}
        return list(self._session.scalars(query, values))

    def find(self, job_id: int) -> Job | None:
        """Return a job without the rows of its request."""
        return self._first(JobRow.id == job_id)

    def find_repeated(self, kind: str, request: Mapping[str, Any], request_id: str) -> Job | None:
        """Return the job that the same request made under the same id, if it did not fail."""
        return self._first(
            JobRow.request_id == request_id,
            JobRow.kind == kind,
            JobRow.state.not_in(("failed", "cancelled")),
            JobRow.request["sha256"].astext == request["sha256"],
        )

    def page(
        self,
        limit: int,
        before_id: int | None,
        kind: str | None,
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
            select(JobRow.request).where(JobRow.id == job_id, self._own)
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
        if ended is not None:
            self._ended_in_vain(job_id)
        return ended

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
            self._own, JobRow.untidy.is_not(None), JobRow.state.not_in(UNFINISHED)
        )
        rows: Any = self._session.execute(query.order_by(JobRow.id))
        return [UntidyJob(*row) for row in rows]

    def _cancelled(self, job_id: int, condition: ColumnElement[bool]) -> Job | None:
        ended = self._end(job_id, condition, "cancelled", "cancelled", cancel_requested=True)
        if ended is not None:
            self._ended_in_vain(job_id)
        return ended

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

    def _ended_in_vain(self, job_id: int) -> None:
        """Do what has to follow, in the same transaction, when a job fails or is cancelled."""

    def _changed(self, job_id: int, condition: ColumnElement[bool], **values: Any) -> Job | None:
        statement = update(JobRow).where(JobRow.id == job_id, self._own, condition).values(**values)
        if self._session.execute(statement).rowcount == 0:  # type: ignore[attr-defined]
            return None
        return self.find(job_id)

    @property
    def _own(self) -> ColumnElement[bool]:
        return JobRow.kind.in_(self.identity.kinds)

    def _first(self, *conditions: ColumnElement[bool]) -> Job | None:
        found = self._all(conditions, 1)
        return found[0] if found else None

    def _all(self, conditions: Sequence[ColumnElement[bool]], limit: int) -> list[Job]:
        columns = [
            _SHOWN_REQUEST.label("request") if name == "request" else getattr(JobRow, name)
            for name in Job.__dataclass_fields__
        ]
        query = (
            select(*columns).where(self._own, *conditions).order_by(JobRow.id.desc()).limit(limit)
        )
        return [Job(*row) for row in self._session.execute(query)]


def _running(attempt: int) -> ColumnElement[bool]:
    """Fence off an attempt that was given up for lost and yet goes on."""
    return (JobRow.state == "running") & (JobRow.attempts == attempt)


def _added(result: Mapping[str, Any]) -> Any:
    """Put values into what the result holds already."""
    kept = func.coalesce(JobRow.result, cast({}, JSONB))
    return kept.op("||", return_type=JSONB())(cast(dict(result), JSONB))
