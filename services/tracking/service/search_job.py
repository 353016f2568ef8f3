"""The job `search`: an optimization request, worked on in the background."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.tracking import OptimizationRequest
from jobkit.errors import JobGivenUp, WorkInterrupted
from jobkit.job import Job
from jobkit.program.child import OpenScope
from jobkit.program.scope import is_away
from jobkit.service.job_runs import JobRuns
from mlflowrest.client import Mlflow
from schema.sets import SetChanged
from servicekit.database import Database, DatabaseUnavailable
from tracking.domain import FINISHED, Run, TrainingSet
from tracking.errors import MlflowUnavailable
from tracking.repository.candidate_runs import CandidateRuns, ParentRun
from tracking.repository.jobs import KeptCandidate, SearchOfJob, digest
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.mlflow_tables import MlflowTables
from tracking.repository.training_set import TrainingSets
from tracking.service.job_watcher import JobWatcher
from tracking.service.optimization import OptimizationService
from tracking.service.search_progress import SearchProgress
from tracking.service.search_requests import asked_of

MLFLOW_PATIENCE_S = 300.0
PAUSE_S = 1.0

CLOCKS_APART_S = 3_600
"""By how much the clocks of PostgreSQL's machine and of this one may differ."""


class SearchJob:
    """Works on searches; a later attempt goes on where the one before was interrupted."""

    def __init__(
        self,
        database: Database,
        runs: JobRuns,
        progress: SearchProgress,
        training_sets: TrainingSets,
        tables: MlflowTables,
        store: MlflowStore,
        mlflow: Mlflow,
        optimization: OptimizationService,
        open_scope: OpenScope,
    ) -> None:
        self._database = database
        self._runs = runs
        self._progress = progress
        self._training_sets = training_sets
        self._tables = tables
        self._store = store
        self._mlflow = mlflow
        self._optimization = optimization
        self._open_scope = open_scope

    def work_on(self, job: Job, stored: Mapping[str, Any]) -> None:
        """Search every model, log, register, and end the job.

        Raises
        ------
        JobGivenUp
            The job was cancelled or is worked on by somebody else.
        SetChanged
            The training set is not the one that was loaded when the search was asked for, or is
            sampled at another limit.
        SearchFailed
            As `OptimizationService.optimize`.
        WorkInterrupted
            MLflow went away, and did not come back in time.
        """
        request, rows_key = asked_of(stored)
        with self._database.transaction():
            training_set = self._training_sets.get(
                request.dataset_name, request.dataset_version, request.folds
            )
        if training_set.rows_key != rows_key:
            raise SetChanged(
                "The training set was loaded anew, or CELLAR_FIT_MAX_ROWS changed, after the search"
                " was asked for: ask again."
            )
        try:
            self._work_on(job, request, training_set)
        except MlflowUnavailable as error:
            raise WorkInterrupted(str(error)) from error

    def _work_on(self, job: Job, request: OptimizationRequest, training_set: TrainingSet) -> None:
        self._wait_for_mlflow(job)
        search = self._progress.find(job)
        if search is None:
            experiment_id = self._optimization.ensure_experiment(request)
            search = self._progress.begin(job, experiment_id, request.model_dump())
        self._runs.keep_result(job, {"experiment_id": search.experiment_id})
        candidate_runs = CandidateRuns(self._mlflow, MLFLOW_PATIENCE_S)
        kept = self._progress.read(job)
        watcher = JobWatcher(
            job, request.models, kept, self._progress, candidate_runs, self._open_scope
        )
        try:
            host = _JobHost(
                self._runs,
                self._progress,
                self._tables,
                self._store,
                job,
                search,
                request,
                watcher,
                candidate_runs,
                kept,
            )
            run_ids = self._optimization.search(host, search.experiment_id, request, training_set)
            host.succeed(run_ids, training_set.notes)
        finally:
            watcher.give_up()
            candidate_runs.give_up()

    def _wait_for_mlflow(self, job: Job) -> None:
        """Return when MLflow answers: it starts with this program, and takes longer."""
        deadline_s = time.monotonic() + MLFLOW_PATIENCE_S
        while True:
            try:
                self._store.check()
                return
            except MlflowUnavailable:
                if time.monotonic() > deadline_s:
                    raise
                self._runs.report(job, job.progress, "waits for MLflow")
                time.sleep(PAUSE_S)


class _JobHost:
    """The job in which a search runs: what it has already, and whether it is still wanted."""

    def __init__(
        self,
        runs: JobRuns,
        progress: SearchProgress,
        tables: MlflowTables,
        store: MlflowStore,
        job: Job,
        search: SearchOfJob,
        request: OptimizationRequest,
        watcher: JobWatcher,
        candidate_runs: CandidateRuns,
        kept: Sequence[KeptCandidate],
    ) -> None:
        self.id = search.id
        self.watcher = watcher
        self._runs = runs
        self._progress = progress
        self._tables = tables
        self._store = store
        self._job = job
        self._search = search
        self._scoring = request.scoring
        self._models = request.models
        self._candidate_runs = candidate_runs
        self._kept = kept
        self._run_ids: dict[str, str] = {}
        self._known = {
            run.model: run
            for run in tables.list_search_runs(search.id)
            if (run.is_open or run.status == FINISHED) and self._is_of_this_job(run)
        }

    def _is_of_this_job(self, run: Run) -> bool:
        """Tell it from one of another database's search with the same number, long ago."""
        since_ms = 1000 * (self._job.created_at.timestamp() - CLOCKS_APART_S)
        is_recent = run.started_ms is not None and run.started_ms >= since_ms
        return str(run.experiment_id) == self._search.experiment_id and is_recent

    def known_run(self, model_name: str) -> Run | None:
        """Return the run that an earlier attempt has opened for a model.

        Where that came as far as a registered version, the run is ended first.
        """
        run = self._known.get(model_name)
        if run is not None and run.is_open:
            self._store.resume_run(run.id, str(run.experiment_id))
            run = self._tables.find_run(run.id)
        return run

    def opened(self, model_name: str, run_id: str) -> None:
        """Hear which run a model has, before its search."""
        search = self._search
        self._candidate_runs.begin(
            ParentRun(run_id, search.experiment_id, search.id, model_name, self._scoring)
        )
        kept = {digest(item.key): item for item in self._kept if item.model_name == model_name}
        logged = set()
        for child in self._tables.list_candidate_runs(run_id):
            if child.is_open or child.key not in kept:
                # It was being logged when the attempt was interrupted, or was logged and not yet
                # kept: it is tried again.
                self._store.delete_run(child.id)
            else:
                logged.add(child.key)
        for key, item in kept.items():
            if key not in logged:
                self._candidate_runs.add(model_name, item.key, item.candidate)
        self._run_ids[model_name] = run_id
        self._runs.keep_result(self._job, {"run_ids": dict(self._run_ids)})

    def searched(self, model_name: str) -> None:
        """Hear that a model's search has ended."""
        self.watcher.over(model_name)
        if self.watcher.stopping():
            raise JobGivenUp()

    def check_alive(self) -> None:
        """Return when everything that was found is kept and logged; `JobGivenUp` to end instead."""
        self.watcher.close("logs the runs and registers the models")
        self._candidate_runs.close()
        if self.watcher.stopping():
            raise JobGivenUp()

    def interrupted_by(self, error: BaseException) -> bool:
        """Tell whether the runs stay open after an error: for the next attempt, or the cancel."""
        return (
            isinstance(error, JobGivenUp | DatabaseUnavailable | MlflowUnavailable)
            or self.watcher.stopping()
            or is_away(error)
        )

    def end(self, state: str, reason: str | None = None) -> None:
        """Do nothing: a search ends with its job."""

    def succeed(self, run_ids: Mapping[str, str], notes: Sequence[str]) -> None:
        """End the job well; `notes` say what was searched on, where it was a sample."""
        versions = ", ".join(self._models)
        self._runs.succeed(
            self._job,
            " ".join([f"searched and registered {versions}", *(f"({note})" for note in notes)]),
            {"run_ids": dict(run_ids), "time_left_s": 0.0, "notes": list(notes)},
            then=lambda: self._progress.end_within(self._job),
        )
