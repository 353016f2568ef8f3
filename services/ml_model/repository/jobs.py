"""The ML service's jobs: trainings, and the retrainings that new rows set off."""

from sqlalchemy import update
from sqlalchemy.orm import Session, scoped_session

from jobkit.job import UNFINISHED, Job
from jobkit.queue_identity import QueueIdentity
from jobkit.repository.jobs import SqlJobs
from schema.tables import JOBS_SCHEMA, JobRow, TrainingRowRow

IDENTITY = QueueIdentity(
    name="ml_model",
    schema=JOBS_SCHEMA,
    kinds=("train", "retrain"),
    leader_lock=0x43454C484F555345,  # "CELHOUSE"
    listed_at="/jobs",
)


class TrainingJobs(SqlJobs):
    """Reads and writes the ML service's jobs."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        super().__init__(session, IDENTITY)

    def find_unfinished_retraining(self, dataset_name: str) -> Job | None:
        """Return the retraining of a dataset that waits or runs; there is one at most."""
        return self._first(
            JobRow.kind == "retrain",
            JobRow.dataset_name == dataset_name,
            JobRow.state.in_(UNFINISHED),
        )

    def _ended_in_vain(self, job_id: int) -> None:
        """Let the new rows that a retraining had taken count as new again."""
        self._session.execute(
            update(TrainingRowRow).where(TrainingRowRow.job_id == job_id).values(job_id=None)
        )
