"""Remove what an attempt at a job has left half done: open runs, versions, drift samples."""

from ml_model.repository.jobs import TrainingJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.trained_versions import SqlTrainedVersions
from ml_model.repository.training_traces import TrainingTraces
from mlflowrest.runs import Status
from servicekit.database import Database

WHY = {
    "KILLED": "The job was cancelled.",
    "FAILED": "The training was interrupted before it ended.",
}


class Leftovers:
    """Tidies up after attempts that did not end well; may be repeated."""

    def __init__(
        self,
        database: Database,
        jobs: TrainingJobs,
        ledger: SqlLedger,
        versions: SqlTrainedVersions,
        traces: TrainingTraces,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._ledger = ledger
        self._versions = versions
        self._traces = traces

    def remove(self, job_id: int, status: Status, *, keep_recorded: bool) -> None:
        """End the open runs of a job with `status` and delete what was not finished.

        With `keep_recorded` a version that Postgres knows stays: the next attempt goes on with it.
        A version in a slot always stays.

        Raises
        ------
        MlflowUnavailable
        """
        runs = self._traces.run_ids(job_id)
        for run_id in runs:
            self._traces.end_run(run_id, status, WHY[status])
        with self._database.transaction():
            job = self._jobs.find(job_id)
            result = dict(job.result or {}) if job else {}
            recorded = self._versions.recorded_runs(runs)
            version_id = result.get("model_version_id")
            serving = self._ledger.serving()
            in_use = version_id is not None and version_id in (
                serving.current_version_id,
                serving.next_version_id,
            )
        if recorded and (keep_recorded or in_use):
            runs = [run_id for run_id in runs if run_id not in recorded]
            sample_id = None
        else:
            sample_id = result.get("drift_sample_id")
        for run_id in runs:
            self._traces.delete_versions(run_id)
        if sample_id is not None:
            self._traces.delete_sample(sample_id)
        if recorded and runs:
            with self._database.transaction():
                self._versions.lose(runs)
