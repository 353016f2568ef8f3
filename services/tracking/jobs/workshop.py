"""The composition root of a process that searches."""

from collections.abc import Mapping
from typing import Any

from jobkit.job import Job
from jobkit.program.child import OpenScope
from jobkit.service.job_runs import JobRuns
from mlflowrest.client import Mlflow
from servicekit.database import Database
from tracking.repository.jobs import SearchJobs
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.mlflow_tables import MlflowTables
from tracking.repository.searches import Searches
from tracking.repository.training_set import TrainingSets
from tracking.service.optimization import OptimizationService
from tracking.service.search_job import SearchJob
from tracking.service.search_leftovers import SearchLeftovers
from tracking.service.search_progress import SearchProgress
from tracking.settings import Settings


class Workshop:
    """Works on searches."""

    def __init__(
        self, settings: Settings, database: Database, runs: JobRuns, open_scope: OpenScope
    ) -> None:
        jobs = SearchJobs(database.session)
        training_sets = TrainingSets(database.session, settings.fit_max_rows)
        store = MlflowStore(settings)
        mlflow = Mlflow(settings.mlflow_url)
        self._leftovers = SearchLeftovers(database, jobs, mlflow)
        self._search = SearchJob(
            database,
            runs,
            SearchProgress(database, jobs),
            training_sets,
            MlflowTables(settings),
            store,
            mlflow,
            OptimizationService(
                database,
                training_sets,
                Searches(settings),
                store,
                max_candidates=settings.search_max_candidates,
                jobs=settings.search_jobs,
                dask_address=settings.dask_address,
            ),
            open_scope,
        )

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Search; see `SearchJob` for what is raised."""
        self._search.work_on(job, request)

    def take_back(self, job_id: int) -> None:
        """End the runs of a search that has failed; `MlflowUnavailable` while MLflow is away."""
        self._leftovers.end(job_id, "FAILED")
