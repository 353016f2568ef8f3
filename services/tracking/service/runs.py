"""What runs hold, and taking them away."""

from contracts.tracking import (
    DeletedAnswer,
    MetricsRequest,
    ParametersRequest,
    RunAnswer,
    RunItem,
    RunsAnswer,
    RunTags,
)
from servicekit.database import Database
from tracking.domain import Run, utc_text
from tracking.errors import ExperimentNotFound, RunNotFound, SearchRunning, still_deployed
from tracking.repository.deployments import Deployments
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.mlflow_tables import MlflowTables, parse_experiment_id
from tracking.service.dataset_names import dataset_keys
from tracking.service.sweep import Sweep, has_open_searches


class RunService:
    """The use cases of runs."""

    def __init__(
        self,
        database: Database,
        deployments: Deployments,
        tables: MlflowTables,
        store: MlflowStore,
        sweep: Sweep,
    ) -> None:
        self._database = database
        self._deployments = deployments
        self._tables = tables
        self._store = store
        self._sweep = sweep

    def list_runs(self, experiment_id: str) -> RunsAnswer:
        """Return the runs of an active experiment, the newest first; it may have none."""
        experiment = self._tables.find_experiment(experiment_id)
        if experiment is None:
            raise ExperimentNotFound()

        def read() -> list[Run]:
            return self._tables.list_runs(experiment)

        return RunsAnswer(data=[_item(run) for run in self._sweep.refresh(read(), read)])

    def read_parameters(self, request: ParametersRequest) -> RunAnswer:
        """Return the params of one kind, as MLflow keeps them: text."""
        run = self._get(request.experiment_id, request.run_id)
        params = self._tables.read_params(run, f"{request.type}_")
        return RunAnswer(data={**params}, **dataset_keys(run.dataset))

    def read_metrics(self, request: MetricsRequest) -> RunAnswer:
        """Return the metrics of one kind; NaN is left out."""
        run = self._get(request.experiment_id, request.run_id)
        metrics = self._tables.read_metrics(run, f"{request.type}_")
        return RunAnswer(data={**metrics}, **dataset_keys(run.dataset))

    def delete(self, experiment_id: str, run_id: str) -> DeletedAnswer:
        """Delete a run, and the runs of its candidates where it has any.

        Raises
        ------
        RunNotFound
            The experiment has no such run, or it is deleted already.
        SearchRunning
            Its search is still running.
        StillDeployed
            Its model serves, is set, or is being rolled out.
        """
        run = self._get(experiment_id, run_id)
        if has_open_searches([run]):
            self._sweep.end_orphans()
            run = self._get(experiment_id, run_id)
            if run.is_open:
                raise SearchRunning()
        with self._database.transaction():
            in_use = self._deployments.runs_in_use()
        if run.id in in_use:
            raise still_deployed({run.id: in_use[run.id]})
        self._store.delete_run(run.id)
        self._store.delete_runs([item.id for item in self._tables.list_candidate_runs(run.id)])
        return DeletedAnswer(message=f"Run {run.id} deleted successfully.")

    def _get(self, experiment_id: str, run_id: str) -> Run:
        """Return a run of that experiment; `RunNotFound` if it belongs to another one."""
        run = self._tables.find_run(run_id)
        if run is None or run.experiment_id != parse_experiment_id(experiment_id):
            raise RunNotFound()
        return run


def _item(run: Run) -> RunItem:
    return RunItem(
        run_id=run.id,
        status=run.status,
        start_time=utc_text(run.started_ms),
        end_time=None if run.is_open else utc_text(run.ended_ms),
        run_name=run.name,
        tags=RunTags(model_type=run.model, experiment_type=run.kind),
        **dataset_keys(run.dataset),
    )
