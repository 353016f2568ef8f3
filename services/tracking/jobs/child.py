"""A process that searches: `python -m tracking.jobs.child`."""

from typing import TYPE_CHECKING

from jobkit.program.child import OpenScope, run_child
from jobkit.service.job_runs import JobRuns
from servicekit.database import Database
from tracking.repository.jobs import SearchJobs
from tracking.settings import Settings

if TYPE_CHECKING:
    from tracking.jobs.workshop import Workshop


def main() -> None:
    """Work until the standard input ends."""
    settings = Settings.load()

    def make_workshop(database: Database, runs: JobRuns, open_scope: OpenScope) -> "Workshop":
        from tracking.jobs.workshop import Workshop

        return Workshop(settings, database, runs, open_scope)

    run_child(settings, SearchJobs, make_workshop)


if __name__ == "__main__":
    main()
