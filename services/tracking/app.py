"""The composition root of tracking."""

from flask import Flask

from jobkit.controller.jobs import JobResource
from jobkit.service.jobs import JobService
from servicekit.api import Route
from servicekit.app import create_service
from servicekit.clients import ServiceClient
from servicekit.database import Database
from tracking.controller.experiments import ExperimentsResource
from tracking.controller.jobs import CancelSearchJobResource, SearchJobsResource
from tracking.controller.model_management import ModelManagementResource
from tracking.controller.runs import RunsResource
from tracking.repository.deployments import Deployments
from tracking.repository.jobs import SearchJobs
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.mlflow_tables import MlflowTables
from tracking.repository.searches import Searches
from tracking.repository.training_set import TrainingSets
from tracking.service.experiments import ExperimentService
from tracking.service.optimization import OptimizationService
from tracking.service.runs import RunService
from tracking.service.search_requests import SearchRequests
from tracking.service.setting import SettingService
from tracking.service.start_up import StartUp
from tracking.service.sweep import Sweep
from tracking.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the service; nothing is connected before a worker starts."""
    settings = settings or Settings.load()
    database = Database(settings)
    training_sets = TrainingSets(database.session, settings.fit_max_rows)
    deployments = Deployments(database.session)
    tables, searches, store = MlflowTables(settings), Searches(settings), MlflowStore(settings)
    sweep = Sweep(searches, tables, store)
    ml_model = ServiceClient(
        "ML",
        settings.ml_model_url,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    optimization = OptimizationService(
        database,
        training_sets,
        searches,
        store,
        max_candidates=settings.search_max_candidates,
        jobs=settings.search_jobs,
        dask_address=settings.dask_address,
    )
    jobs = JobService(database, SearchJobs(database.session))
    experiments = ExperimentService(database, deployments, tables, store, sweep)
    runs = RunService(database, deployments, tables, store, sweep)
    app = create_service(
        "tracking",
        settings,
        title="Cellar tracking",
        description="Searches hyperparameters, keeps experiments and runs in MLflow, sets models.",
        database=database,
        routes=[
            Route(
                ModelManagementResource,
                "/root/tracking/model_management",
                {
                    "optimization": optimization,
                    "searches": SearchRequests(optimization, jobs),
                    "setting": SettingService(tables, ml_model),
                },
            ),
            Route(SearchJobsResource, "/root/tracking/jobs", {"jobs": jobs}),
            Route(JobResource, "/root/tracking/jobs/<int:job_id>", {"jobs": jobs}),
            Route(
                CancelSearchJobResource, "/root/tracking/jobs/<int:job_id>/cancel", {"jobs": jobs}
            ),
            Route(ExperimentsResource, "/root/tracking/experiments", {"experiments": experiments}),
            Route(RunsResource, "/root/tracking/runs", {"runs": runs}),
        ],
        checks={
            "migrations": training_sets.check_head,
            "mlflow": store.check,
            "mlflow_database": tables.check,
            "ml_model": ml_model.check,
        },
    )
    worker_start = app.extensions.setdefault("cellar_worker_start", [])
    worker_start += [tables.forget_connections, StartUp(store, sweep).begin]
    return app
