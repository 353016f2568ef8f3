"""Run trainings and keep house until told to stop: `python -m ml_model.jobs`."""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from jobkit.program.running import Duties, run_program
from ml_model.repository.jobs import TrainingJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.prediction_history import SqlPredictionHistory
from ml_model.repository.rollouts import SqlRollouts
from ml_model.repository.serving_statistics import SqlServingStatistics
from ml_model.service.retention import Retention
from ml_model.service.rollouts import RolloutService
from ml_model.settings import Settings
from servicekit.database import Database

if TYPE_CHECKING:
    from ml_model.service.leftovers import Leftovers

MODULE = "ml_model.jobs"


def furnish(settings: Settings, database: Database) -> Duties:
    """Wire what the program has to do; nothing is connected."""
    session = database.session
    leftovers = _make_leftovers(settings, database)
    rollouts = RolloutService(
        database, SqlLedger(session), SqlRollouts(session), SqlServingStatistics(session)
    )
    retention = Retention(database, SqlPredictionHistory(session))
    return Duties(
        module=MODULE,
        processes=settings.training_processes,
        jobs=TrainingJobs(session),
        # After FAILED the job begins again.
        tidy=lambda job_id, end: leftovers().remove(job_id, end, keep_recorded=end == "FAILED"),
        tidy_ended=lambda job: leftovers().remove(
            job.id, job.runs_end, keep_recorded=job.succeeded
        ),
        chores={
            "roll-outs": rollouts.tick,
            "old predictions": partial(retention.tick, settings.prediction_retention_days),
        },
    )


def _make_leftovers(settings: Settings, database: Database) -> Callable[[], "Leftovers"]:
    """Return what makes, when first called, what removes the leftovers of jobs."""

    @cache
    def leftovers() -> "Leftovers":
        # An HTTP client comes with it: memory that a program at rest does without.
        from ml_model.repository.trained_versions import SqlTrainedVersions
        from ml_model.repository.training_traces import TrainingTraces
        from ml_model.service.leftovers import Leftovers
        from mlflowrest.client import Mlflow

        session = database.session
        return Leftovers(
            database,
            TrainingJobs(session),
            SqlLedger(session),
            SqlTrainedVersions(session),
            TrainingTraces(Mlflow(settings.mlflow_url)),
        )

    return leftovers


if __name__ == "__main__":
    run_program(MODULE, Settings.load, furnish)
