"""The optimization request: check, search, log, register.

Nothing is begun before everything is checked. All models are searched before any is logged, so
that a search in which one model fails leaves FAILED runs and no registered version.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Protocol

from contracts.tracking import OptimizationAnswer, OptimizationData, OptimizationRequest
from modelkit.registry import get_entry
from modelkit.validation import check_task
from servicekit.database import Database
from servicekit.errors import DomainError
from tracking.domain import (
    DATASET_NAME_TAG,
    DATASET_VERSION_TAG,
    HYPERPARAMETERS_TAG,
    KIND_TAG,
    MODEL_TAG,
    SEARCH_KINDS,
    SEARCH_NAMES,
    SEARCH_TAG,
    Run,
    RunRecord,
    SearchOutcome,
    SearchPlan,
    SearchWatcher,
    TrainingSet,
)
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.searches import Searches
from tracking.repository.training_set import TrainingSets
from tracking.service.candidates import candidates_csv, candidates_svg
from tracking.service.fold_workers import processors
from tracking.service.scoring import check_scoring, is_scorer
from tracking.service.search import search
from tracking.service.search_checks import check_request, check_rows
from tracking.service.search_plans import plan_of
from tracking.service.strategies import planned_candidates

log = logging.getLogger(__name__)

UPLOADS = 3
"""Runs that are logged at the same time: it is mostly waiting for the MLflow server."""


class SearchHost(Protocol):
    """What a search runs in: the request that waits for it, or a job."""

    id: int
    """Of the row in `searches`."""

    @property
    def watcher(self) -> SearchWatcher:
        """Who follows the search."""

    def known_run(self, model_name: str) -> Run | None:
        """Return the run that an earlier attempt has opened for a model: open or finished."""

    def opened(self, model_name: str, run_id: str) -> None:
        """Hear which run a model has, before its search."""

    def searched(self, model_name: str) -> None:
        """Hear that a model's search has ended."""

    def check_alive(self) -> None:
        """Raise what ends the search, before anything is logged, unless it is still wanted."""

    def interrupted_by(self, error: BaseException) -> bool:
        """Tell whether the open runs are left as they are after an error."""

    def end(self, state: str, reason: str | None = None) -> None:
        """Hear how it ended: `finished` or `failed`."""


class OptimizationService:
    """Searches the best hyperparameters of models on the loaded training set."""

    def __init__(
        self,
        database: Database,
        training_sets: TrainingSets,
        searches: Searches,
        store: MlflowStore,
        *,
        max_candidates: int,
        jobs: int,
        dask_address: str = "",
    ) -> None:
        self._database = database
        self._training_sets = training_sets
        self._searches = searches
        self._store = store
        self._max_candidates = max_candidates
        self._jobs = jobs or None
        self._dask_address = dask_address

    def optimize(self, request: OptimizationRequest) -> OptimizationAnswer:
        """Search every model and return where the runs are.

        Raises
        ------
        ModelNotFound, InvalidSearch, UnknownScoring, HyperparametersRefused
            The request cannot be meant, or an estimator refuses a value; nothing was begun.
        SetNotLoaded, DatasetNotFound
            There is no training set.
        ModelOfAnotherTask
            The models do not predict what the dataset's target is.
        SearchFailed
            Every candidate of a model fails; all runs of the request are marked FAILED.
        Unavailable
            Postgres or MLflow went away; runs that were begun are FAILED, now or by the sweep.
        """
        training_set = self.check(request)
        experiment_id = self.ensure_experiment(request)
        with self._searches.begin(experiment_id, request.model_dump()) as running:
            run_ids = self.search(running, experiment_id, request, training_set)
        data = OptimizationData(
            experiment_id=experiment_id,
            run_ids=run_ids,
            notes=list(training_set.notes),
            dataset_name=training_set.dataset_name,
            dataset_version=training_set.dataset_version,
        )
        return OptimizationAnswer(data=data)

    def check(self, request: OptimizationRequest) -> TrainingSet:
        """Return the training set of a request that can be begun; see `optimize` for the errors."""
        check_request(request, self._max_candidates)
        task = get_entry(request.models[0]).task
        if not is_scorer(request.scoring):
            check_scoring(request.scoring, task=task)
        # The connection goes back to the pool before the search: it may take minutes.
        with self._database.transaction():
            training_set = self._training_sets.get(
                request.dataset_name, request.dataset_version, request.folds
            )
        for model in request.models:
            check_task(model, training_set.task, training_set.dataset_name)
        check_scoring(request.scoring, training_set.classes, task)
        check_rows(request, training_set)
        self._store.check()
        return training_set

    def search(
        self,
        host: SearchHost,
        experiment_id: str,
        request: OptimizationRequest,
        training_set: TrainingSet,
    ) -> dict[str, str]:
        """Search, log and register what was checked, and return the run of each model."""
        return _Search(
            self._store, host, experiment_id, training_set, self._jobs, self._dask_address
        ).run(request)

    def ensure_experiment(self, request: OptimizationRequest) -> str:
        """Return the experiment of a request, made when there is none of its name."""
        tags = {"description": request.experiment_description, "owner": request.experiment_owner}
        with self._searches.name_lock(request.experiment_name):
            return self._store.ensure_experiment(request.experiment_name, tags)


class _Search:
    """One request under way; knows which runs it opened."""

    def __init__(
        self,
        store: MlflowStore,
        running: SearchHost,
        experiment_id: str,
        training_set: TrainingSet,
        jobs: int | None,
        dask_address: str,
    ) -> None:
        self._store = store
        self._running = running
        self._experiment_id = experiment_id
        self._training_set = training_set
        self._jobs = jobs
        self._dask_address = dask_address
        self._run_ids: dict[str, str] = {}
        self._ended: set[str] = set()

    def run(self, request: OptimizationRequest) -> dict[str, str]:
        """Search, log, register; whatever goes wrong, no run of this request stays open."""
        try:
            records = [
                self._search(plan_of(request, model))
                for model in request.models
                if not self._has_ended(model)
            ]
            self._running.check_alive()
            model_ids = _at_once(self._store.log_run, records)
            for record, model_id in zip(records, model_ids, strict=True):
                self._store.finish_run(record, model_id)
                self._ended.add(record.run_id)
            self._running.end("finished")
        except BaseException as error:
            if not self._running.interrupted_by(error):
                self._fail(error)
            raise
        return self._run_ids

    def _has_ended(self, model: str) -> bool:
        """Tell whether an earlier attempt has logged and registered a model."""
        found = self._running.known_run(model)
        if found is None:
            return False
        self._run_ids[model] = found.id
        return not found.is_open

    def _search(self, plan: SearchPlan) -> RunRecord:
        model = plan.model_name
        run_id = self._run_ids.get(model) or self._open_run(plan)
        self._running.opened(model, run_id)
        log.info("Search %d: %s begins, run %s", self._running.id, model, run_id)
        wall_s, processor_s = time.perf_counter(), time.process_time()
        outcome = search(
            plan,
            self._training_set,
            self._jobs,
            self._running.watcher,
            self._dask_address,
        )
        self._running.searched(model)
        wall_s = time.perf_counter() - wall_s
        processor_s = time.process_time() - processor_s + outcome.workers_processor_s
        log.info(
            "Search %d: %s done, %d candidates x %d folds in %.2f s, best %s %.4f with %s",
            self._running.id,
            model,
            len(outcome.candidates),
            plan.folds,
            wall_s,
            plan.scoring,
            outcome.best_score,
            json.dumps(outcome.best),
        )
        usage = min(100.0, 100 * processor_s / (wall_s * processors()))
        return self._record(
            run_id, outcome, {"system_cpu_usage": usage, "system_execution_time": wall_s}
        )

    def _open_run(self, plan: SearchPlan) -> str:
        model = plan.model_name
        run_id = self._store.create_run(
            self._experiment_id,
            f"{model} {SEARCH_NAMES[plan.strategy]}",
            {
                KIND_TAG: SEARCH_KINDS[plan.strategy],
                MODEL_TAG: model,
                SEARCH_TAG: str(self._running.id),
                DATASET_NAME_TAG: self._training_set.dataset_name,
                DATASET_VERSION_TAG: str(self._training_set.dataset_version),
                **self._training_set.sample_tags,
            },
        )
        self._run_ids[model] = run_id
        return run_id

    def _record(
        self, run_id: str, outcome: SearchOutcome, system_metrics: Mapping[str, float]
    ) -> RunRecord:
        hyperparameters = json.dumps(outcome.best)
        failed = sum(item.mean_score is None for item in outcome.candidates)
        return RunRecord(
            run_id=run_id,
            experiment_id=self._experiment_id,
            model_name=outcome.plan.model_name,
            params=run_params(outcome, self._training_set),
            metrics={**outcome.metrics, **system_metrics},
            tags={
                HYPERPARAMETERS_TAG: hyperparameters,
                "cellar.candidates": str(len(outcome.candidates)),
                "cellar.failed_candidates": str(failed),
                "cellar.best_score": str(outcome.best_score),
                **({"cellar.stopped": outcome.stopped} if outcome.stopped else {}),
            },
            training_set=self._training_set,
            pipeline=outcome.pipeline,
            files={
                "candidates.csv": candidates_csv(outcome),
                "candidates.svg": candidates_svg(outcome),
                "grid.json": json.dumps(outcome.plan.grid, indent=1),
            },
            ended_ms=outcome.ended_ms,
            version_tags={
                "dataset_name": self._training_set.dataset_name,
                "dataset_version": str(self._training_set.dataset_version),
                "source_run_id": run_id,
                HYPERPARAMETERS_TAG: hyperparameters,
                **self._training_set.sample_tags,
            },
        )

    def _fail(self, error: BaseException) -> None:
        """Mark the open runs FAILED; what cannot be reached now is left to the sweep."""
        reason = error.message if isinstance(error, DomainError) else type(error).__name__
        log.info("Search %d failed: %s", self._running.id, reason)
        try:
            for run_id in self._run_ids.values():
                if run_id not in self._ended:
                    self._store.fail_run(run_id, reason)
            self._running.end("failed", reason)
        except DomainError as problem:
            log.warning("Search %d is left to the sweep: %s", self._running.id, problem)


def run_params(outcome: SearchOutcome, training_set: TrainingSet) -> dict[str, str]:
    """Return the params of a search run, as text in Python's notation."""
    grid = {f"grid_search_{name}": str(values) for name, values in outcome.plan.grid.items()}
    return {
        "data_samples": str(training_set.rows.shape[0]),
        "data_features": str(training_set.rows.shape[1]),
        "data_classes": str(len(training_set.classes)),
        **{f"model_{name}": str(value) for name, value in outcome.best.items()},
        **grid,
        "grid_search_scoring": outcome.plan.scoring,
        "grid_search_cv_folds": str(outcome.plan.folds),
        **_params_of_folds(training_set),
        **_params_of_strategy(outcome.plan),
    }


def _params_of_folds(training_set: TrainingSet) -> dict[str, str]:
    """Return how folds were cut; nothing where they were as of a table that is only rows."""
    kind = training_set.fold_kind
    return {} if kind == training_set.plain_fold_kind else {"grid_search_folds": kind}


def _params_of_strategy(plan: SearchPlan) -> dict[str, str]:
    """Return what a plan says beside its grid; of a plain grid search nothing."""
    drawn = plan.strategy != "grid"
    said = {
        "strategy": plan.strategy if drawn else None,
        "n_candidates": planned_candidates(plan) if drawn else None,
        "seed": plan.seed if drawn else None,
        "time_budget_s": plan.time_budget_s,
        "nested_cv": plan.nested_folds,
    }
    return {f"grid_search_{name}": str(value) for name, value in said.items() if value is not None}


def _at_once(log_run: Callable[[RunRecord], str], records: Sequence[RunRecord]) -> list[str]:
    with ThreadPoolExecutor(max_workers=UPLOADS, thread_name_prefix="upload") as pool:
        futures = [pool.submit(copy_context().run, log_run, record) for record in records]
        return [future.result() for future in futures]
