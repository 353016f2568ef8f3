"""Run searches until told to stop: `python -m tracking.jobs`."""

from functools import cache
from typing import TYPE_CHECKING

from jobkit.job import UntidyJob
from jobkit.program.running import Duties, run_program
from servicekit.database import Database
from tracking.repository.jobs import SearchJobs
from tracking.settings import Settings

if TYPE_CHECKING:
    from tracking.service.search_leftovers import SearchLeftovers

MODULE = "tracking.jobs"


def furnish(settings: Settings, database: Database) -> Duties:
    """Wire what the program has to do; nothing is connected."""
    jobs = SearchJobs(database.session)

    @cache
    def leftovers() -> "SearchLeftovers":
        # An HTTP client comes with it: memory that a program at rest does without.
        from mlflowrest.client import Mlflow
        from tracking.service.search_leftovers import SearchLeftovers

        return SearchLeftovers(database, jobs, Mlflow(settings.mlflow_url))

    def tidy_ended(job: UntidyJob) -> None:
        # One that went well in the end has ended its runs itself.
        if not job.succeeded:
            leftovers().end(job.id, job.runs_end)

    return Duties(
        module=MODULE,
        processes=settings.search_processes,
        jobs=jobs,
        tidy=lambda job_id, end: leftovers().end(job_id, end),
        tidy_ended=tidy_ended,
        runs_go_on=True,
    )


if __name__ == "__main__":
    run_program(MODULE, Settings.load, furnish)
