"""The routes `/inference`, `/evaluate` and `/data-drift`; wired here for `ml_model.app`."""

from ml_model.controller.inference import DataDriftResource, EvaluateResource, InferenceResource
from ml_model.repository.inference_log import SqlInferenceLog
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.prediction_log import SqlPredictionLog
from ml_model.repository.sets import SqlSets
from ml_model.repository.version_lookup import SqlVersionLookup
from ml_model.repository.work_runs import WorkRuns
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.drift_forwarding import DriftForwarding
from ml_model.service.evaluation import EvaluationService
from ml_model.service.inference import InferenceService
from ml_model.service.serving_models import ServingModels
from ml_model.service.version_choice import VersionChoice
from ml_model.settings import Settings
from mlflowrest.client import Mlflow
from servicekit.api import Route
from servicekit.clients import ServiceClient
from servicekit.database import Database


def inference_routes(settings: Settings, database: Database, serving: ServingModels) -> list[Route]:
    """Return the routes; nothing is connected."""
    session, sets = database.session, SqlSets(database.session)
    times = {
        "connect_timeout_s": settings.connect_timeout_s,
        "read_timeout_s": settings.read_timeout_s,
    }
    runs = WorkRuns(Mlflow(settings.mlflow_url, **times))
    drift = DriftForwarding(ServiceClient("monitoring", settings.monitoring_url, **times))
    simulator = ServiceClient("simulator", settings.simulator_url, **times)
    versions = VersionChoice(database, SqlLedger(session), SqlVersionLookup(session), serving)
    inference = InferenceService(
        database, versions, SqlInferenceLog(session), SqlPredictionLog(session), runs, drift
    )
    loading = DatasetLoading(database, sets, simulator)
    evaluation = EvaluationService(database, versions, sets, loading, runs)
    return [
        Route(InferenceResource, "/inference", {"inference": inference}),
        Route(EvaluateResource, "/evaluate", {"evaluation": evaluation}),
        Route(DataDriftResource, "/data-drift", {"drift": drift}),
    ]
