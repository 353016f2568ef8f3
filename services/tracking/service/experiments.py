"""What experiments are, how their runs did, and taking them away."""

from collections.abc import Sequence

from contracts.tracking import (
    BestModelAnswer,
    BestModelData,
    BestModelRequest,
    DeletedAnswer,
    ExperimentInfo,
    ExperimentItem,
    ExperimentRuns,
    ExperimentsAnswer,
    GeneralAnswer,
    GeneralData,
    GeneralRequest,
    StatisticsAnswer,
    StatisticsRequest,
)
from servicekit.database import Database
from tracking.domain import (
    FINISHED,
    METRICS,
    MODEL_METRICS,
    NESTED_METRICS,
    REGRESSION_METRICS,
    Experiment,
    Run,
    utc_text,
)
from tracking.errors import (
    ExperimentNotFound,
    MetricNotLogged,
    NoRuns,
    SearchRunning,
    UnknownMetric,
    still_deployed,
)
from tracking.repository.deployments import Deployments
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.mlflow_tables import MlflowTables
from tracking.service.dataset_names import dataset_keys
from tracking.service.ranking import best_run
from tracking.service.statistics import statistics_of
from tracking.service.sweep import Sweep, has_open_searches

ALL = "all"
DURATION = "duration"


class ExperimentService:
    """The use cases of experiments."""

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

    def list_experiments(self) -> ExperimentsAnswer:
        """Return the active experiments; MLflow's "Default" only when it holds runs."""
        return ExperimentsAnswer(
            data=[
                ExperimentItem(
                    experiment_id=str(experiment.id),
                    name=experiment.name,
                    lifecycle_stage=experiment.lifecycle_stage,
                    run_count=run_count,
                    **dataset_keys(dataset),
                )
                for experiment, run_count, dataset in self._tables.list_experiments()
            ]
        )

    def describe(self, request: GeneralRequest) -> GeneralAnswer:
        """Return what the experiment is and how many of its runs are in which state."""
        experiment = self._get(request.experiment_id)
        runs = self._runs(experiment)
        if not runs:
            raise NoRuns()
        own_tags = self._tables.read_experiment_tags(experiment)
        tags: dict[str, str | None] = {"description": None, "owner": None, **own_tags}
        info = ExperimentInfo(
            experiment_id=str(experiment.id),
            experiment_name=experiment.name,
            artifact_location=experiment.artifact_location,
            lifecycle_stage=experiment.lifecycle_stage,
            tags=tags,
            data_creation=utc_text(experiment.created_ms),
            last_updated=utc_text(experiment.updated_ms),
            **dataset_keys(next((run.dataset for run in runs if run.dataset), None)),
        )
        return GeneralAnswer(
            data=GeneralData(experiment_info=info, experiment_runs=count_runs(runs))
        )

    def find_best(self, request: BestModelRequest) -> BestModelAnswer:
        """Return the finished run that ranks first by the asked metrics."""
        metrics = list(dict.fromkeys(request.filter or ()))
        unknown = [name for name in metrics if name not in METRICS]
        if unknown or not metrics:
            raise UnknownMetric(
                f"'filter' names one or more of: {', '.join(METRICS)}.",
                error=None if unknown else "No metric",
            )
        experiment = self._get(request.experiment_id)
        runs = self._tables.list_finished_runs(experiment, metrics)
        best = best_run(runs, metrics)
        if best is None:
            if not self._tables.list_runs(experiment):
                raise NoRuns()
            raise MetricNotLogged(
                f"No finished run of experiment {experiment.id} has {metrics[0]}."
            )
        return BestModelAnswer(
            data=BestModelData(
                run_id=best.id,
                run_name=best.name,
                model=best.model,
                metrics=dict(best.metrics),
                **dataset_keys(best.dataset),
            )
        )

    def describe_metrics(self, request: StatisticsRequest) -> StatisticsAnswer:
        """Return the statistics of the finished runs' duration and metrics."""
        asked = statistics_metrics(request.filter)
        # Those of a regression, and of outer folds, are described where a run has them, beside
        # all the others.
        everything = set(MODEL_METRICS) <= set(asked)
        others = (*REGRESSION_METRICS, *NESTED_METRICS) if everything else ()
        metrics = list(dict.fromkeys((*asked, *others)))
        experiment = self._get(request.experiment_id)
        runs = self._tables.list_finished_runs(experiment, metrics)
        if not runs and not self._tables.list_runs(experiment):
            raise NoRuns()
        durations = [run.duration_s for run in runs if run.duration_s is not None]
        described = {DURATION: statistics_of(durations)}
        for metric in metrics:
            values = [run.metrics[metric] for run in runs if metric in run.metrics]
            if values or metric in asked:
                described[short_name(metric)] = statistics_of(values)
        return StatisticsAnswer(data=described)

    def delete(self, experiment_id: str) -> DeletedAnswer:
        """Delete an experiment with its runs.

        Raises
        ------
        ExperimentNotFound
            There is none, or it is deleted already.
        SearchRunning
            A search is running in it.
        StillDeployed
            It holds a run whose model serves, is set, or is being rolled out.
        """
        experiment = self._get(experiment_id)
        runs = self._runs(experiment)
        if has_open_searches(runs):
            raise SearchRunning()
        with self._database.transaction():
            in_use = self._deployments.runs_in_use()
        held = {run.id: in_use[run.id] for run in runs if run.id in in_use}
        if held:
            raise still_deployed(held)
        self._store.delete_experiment(str(experiment.id))
        return DeletedAnswer(message=f"Experiment {experiment.id} deleted successfully.")

    def _get(self, experiment_id: str) -> Experiment:
        experiment = self._tables.find_experiment(experiment_id)
        if experiment is None:
            raise ExperimentNotFound()
        return experiment

    def _runs(self, experiment: Experiment) -> list[Run]:
        def read() -> list[Run]:
            return self._tables.list_runs(experiment)

        return self._sweep.refresh(read(), read)


def count_runs(runs: Sequence[Run]) -> ExperimentRuns:
    """Count runs by state; the two times are the first and last end of a finished run."""
    ends = [run.ended_ms for run in runs if run.status == FINISHED and run.ended_ms is not None]
    return ExperimentRuns(
        number_of_runs=len(runs),
        completed_runs=sum(run.status == FINISHED for run in runs),
        failed_runs=sum(run.status == "FAILED" for run in runs),
        active_runs=sum(run.is_open for run in runs),
        stopped_runs=sum(run.status == "KILLED" for run in runs),
        first_run_completed=utc_text(min(ends, default=None)),
        last_run_completed=utc_text(max(ends, default=None)),
    )


def short_name(metric: str) -> str:
    """Return a metric's name without `model_` or `system_`."""
    return metric.removeprefix("model_").removeprefix("system_")


def statistics_metrics(chosen: Sequence[str] | None) -> list[str]:
    """Return the metrics to describe: the chosen ones, the four model metrics for all or none.

    A metric may be named in full or as it stands in the answer; `duration` is always described.
    Raises `UnknownMetric` naming the valid ones.
    """
    if not chosen or list(chosen) == [ALL]:
        return list(MODEL_METRICS)
    by_name = {name: metric for metric in METRICS for name in (metric, short_name(metric))}
    unknown = [name for name in chosen if name not in by_name and name not in (ALL, DURATION)]
    if unknown:
        valid = ", ".join((ALL, DURATION, *METRICS))
        raise UnknownMetric(f"'filter' names one or more of: {valid}.")
    everything = MODEL_METRICS if ALL in chosen else ()
    asked = [by_name[name] for name in chosen if name in by_name]
    return list(dict.fromkeys((*everything, *asked)))
