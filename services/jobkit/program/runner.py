"""What the program does with one job of the queue: begin it, watch over its child, end it."""

import asyncio
import logging
from collections.abc import Callable

from jobkit.job import Job, RunsEnd
from jobkit.program.children import Child, ChildEnded, Children
from jobkit.program.scope import Scopes
from jobkit.service.job_runs import JobRuns
from servicekit.telemetry import set_request_id

Tidy = Callable[[int, RunsEnd], None]

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often it is looked whether somebody wants a job to end."""


class JobInterrupted(RuntimeError):
    """The job has to begin again."""


class JobRunner:
    """Runs jobs in children.

    `tidy` takes away what an unfinished attempt has left in MLflow, whose open runs get the given
    status; after FAILED the job is begun again and goes on with what Postgres has recorded. With
    `runs_go_on` the next attempt goes on with the open runs as well: they end when the job does.
    """

    def __init__(
        self,
        scopes: Scopes,
        runs: JobRuns,
        children: Children,
        tidy: Tidy,
        *,
        runs_go_on: bool = False,
    ) -> None:
        self._scopes = scopes
        self._runs = runs
        self._children = children
        self._tidy_up = tidy
        self._runs_go_on = runs_go_on

    async def run(self, job_id: int) -> None:
        """Run a job to its end.

        Raises
        ------
        JobInterrupted
            Its process ended under it: it waits for the next attempt.
        asyncio.CancelledError
            The program is told to stop: it waits for the next start.
        """
        begun = await self._scopes.call(self._runs.begin, job_id)
        if begun is None:
            return
        job = begun.job
        set_request_id(job.request_id)
        log.info("Job %d (%s) begins, attempt %d", job.id, job.kind, job.attempts)
        if begun.unwanted:
            await self._cancel(job)
            return
        if begun.again:
            await self._tidy(job, "FAILED")
        child = await self._children.take()
        try:
            outcome = await self._watched(child, job)
        except asyncio.CancelledError:
            # What it leaves in MLflow is removed at its next start: MLflow may be stopping as well.
            await child.kill()
            await self._scopes.call(self._runs.stopped, job)
            raise
        except ChildEnded as error:
            if await self._scopes.call(self._runs.cancel_requested, job.id):
                await self._cancel(job)
                return
            await self._tidy(job, "FAILED")
            await self._scopes.call(self._runs.interrupted, job, str(error))
            raise JobInterrupted(str(error)) from error
        if outcome == "cancelled":
            await child.kill()
            await self._cancel(job)
            return
        self._children.give_back(child)
        if outcome == "given up":
            log.warning("Job %d is worked on by somebody else", job.id)
            return
        if outcome == "interrupted":
            await self._tidy(job, "FAILED")
            why = "What it needs was away when it was worked on"
            await self._scopes.call(self._runs.interrupted, job, why)
            raise JobInterrupted(why)
        log.info("Job %d ended", job.id)

    async def _watched(self, child: Child, job: Job) -> str:
        """Return how the child's work went; `cancelled` once somebody asks for that."""
        work = asyncio.create_task(child.work_on(job))
        try:
            while True:
                done, _ = await asyncio.wait({work}, timeout=LOOK_S)
                wanted_to_end = await self._scopes.call(self._runs.cancel_requested, job.id)
                if done:
                    outcome = work.result()
                    return "cancelled" if outcome == "given up" and wanted_to_end else outcome
                if wanted_to_end:
                    return "cancelled"
        finally:
            work.cancel()

    async def _cancel(self, job: Job) -> None:
        await self._tidy(job, "KILLED")
        await self._scopes.call(self._runs.cancelled, job)
        log.info("Job %d is cancelled", job.id)

    async def _tidy(self, job: Job, status: RunsEnd) -> None:
        """Remove what is half done, unless the job has ended after all; MLflow may be away."""
        if await self._scopes.call(self._runs.is_finished, job.id):
            return
        if self._runs_go_on and status == "FAILED":
            # Should there be no other attempt, the housekeeping ends the runs.
            await self._scopes.call(self._runs.leave_untidy, job, status)
            return
        try:
            await self._scopes.call(self._tidy_up, job.id, status)
        except Exception:
            log.warning("What job %d left in MLflow stays for now", job.id, exc_info=True)
            await self._scopes.call(self._runs.leave_untidy, job, status)
        else:
            await self._scopes.call(self._runs.leave_untidy, job, None)
