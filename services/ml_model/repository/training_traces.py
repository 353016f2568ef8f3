"""What an unfinished job has left in MLflow, found by the job's id and removed."""

from mlflowrest.client import Mlflow
from mlflowrest.runs import Status

EXPERIMENT = "training"
JOB_TAG = "cellar.job_id"
REASON_TAG = "cellar.failure_reason"


class TrainingTraces:
    """Runs, versions and drift samples of jobs, over MLflow's REST API."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    def run_ids(self, job_id: int) -> list[str]:
        """Return the runs that attempts at the job have opened."""
        experiment_id = self._mlflow.experiments.ensure(EXPERIMENT)
        found = self._mlflow.runs.search([experiment_id], f"tags.`{JOB_TAG}` = '{job_id}'")
        return [run.id for run in found]

    def end_run(self, run_id: str, status: Status, why: str) -> None:
        """End a run if it is still open."""
        if self._mlflow.runs.get(run_id).status == "RUNNING":
            self._mlflow.runs.log(run_id, tags={REASON_TAG: why})
            self._mlflow.runs.terminate(run_id, status)

    def delete_versions(self, run_id: str) -> None:
        """Delete the model versions that were registered from a run."""
        for version in self._mlflow.registry.of_run(run_id):
            self._mlflow.registry.delete(version.name, version.version)

    def delete_sample(self, sample_id: str) -> None:
        """Delete a drift sample; none there is no error."""
        self._mlflow.artifacts.delete(sample_id)
