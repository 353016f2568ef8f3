"""A process that trains: `python -m ml_model.jobs.child`."""

from typing import TYPE_CHECKING

from jobkit.program.child import OpenScope, run_child
from jobkit.service.job_runs import JobRuns
from ml_model.repository.jobs import TrainingJobs
from ml_model.settings import Settings
from servicekit.database import Database

if TYPE_CHECKING:
    from ml_model.jobs.workshop import Workshop


def main() -> None:
    """Work until the standard input ends."""
    settings = Settings.load()

    def make_workshop(database: Database, runs: JobRuns, _: OpenScope) -> "Workshop":
        from ml_model.jobs.workshop import Workshop

        return Workshop(settings, database, runs)

    run_child(settings, TrainingJobs, make_workshop)


if __name__ == "__main__":
    main()
