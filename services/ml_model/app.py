"""The composition root of the ML service."""

from flask import Flask

from jobkit.service.jobs import JobService
from ml_model.controller.dashboard import DashboardResource
from ml_model.controller.ml import MLResource, SetModelResource
from ml_model.inference_routes import inference_routes
from ml_model.prediction_routes import Predictions
from ml_model.repository.jobs import TrainingJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.model_store import MlflowModelStore
from ml_model.repository.model_uris import ModelUris
from ml_model.repository.serving_models import SqlServingModels
from ml_model.repository.sets import SqlSets
from ml_model.service.deployment import DeploymentService
from ml_model.service.job_waiting import JobWaiting
from ml_model.service.scoring import ScoringService
from ml_model.service.scoring_requests import ScoringRequests
from ml_model.service.serving_models import ServingModels
from ml_model.service.serving_state import ServingState
from ml_model.service.training import TrainingService
from ml_model.settings import Settings
from ml_model.slot_routes import accuracy_gauge, slot_routes
from ml_model.training_routes import training_routes
from mlflowrest.client import Mlflow
from schema.sets import LoadedSets
from servicekit.api import Route
from servicekit.app import create_service
from servicekit.database import Database


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the service; nothing is connected before the first request."""
    settings = settings or Settings.load()
    database = Database(settings)
    ledger, sets = SqlLedger(database.session), SqlSets(database.session)
    store = MlflowModelStore(
        settings.mlflow_url,
        capacity=settings.cached_models,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    serving = ServingModels(
        database,
        SqlServingModels(database.session),
        sets,
        ModelUris(
            Mlflow(
                settings.mlflow_url,
                connect_timeout_s=settings.connect_timeout_s,
                read_timeout_s=settings.read_timeout_s,
            )
        ),
        capacity=settings.cached_models,
        allow_pickled=settings.allow_pickled_models,
    )
    state = ServingState(database, ledger, serving)
    deployments = DeploymentService(database, ledger)
    jobs = JobService(database, TrainingJobs(database.session))
    waiting = JobWaiting(
        jobs, wait_s=settings.train_wait_s, most_waiting=max(1, settings.threads // 2)
    )
    scoring = ScoringService(database, ledger, sets, store)
    services = {
        "deployments": deployments,
        "training": TrainingService(
            database, ledger, sets, store, serving, state, jobs, waiting, settings.fit_max_rows
        ),
        "scoring": ScoringRequests(scoring, jobs, waiting),
    }
    predictions = Predictions(settings, database, state)
    app = create_service(
        "ml_model",
        settings,
        title="Cellar ML model",
        description="Sets, trains and scores the model of the suite.",
        database=database,
        routes=[
            Route(MLResource, "/root/ml", services),
            Route(SetModelResource, "/root/ml/set_model", {"deployments": deployments}),
            *slot_routes(database, serving, state),
            Route(DashboardResource, "/dashboard", {"port": settings.dashboard_port}),
            *predictions.routes(),
            *training_routes(settings, database, jobs, waiting),
            *inference_routes(settings, database, serving),
        ],
        checks={
            "migrations": LoadedSets(database.session).check_head,
            "mlflow": store.check,
        },
        collectors=[accuracy_gauge(database)],
    )
    app.extensions["cellar_hot_routes"] = predictions.hot_routes()
    app.extensions["cellar_worker_start"] = [lambda: state.follow(app.app_context)]
    return app
