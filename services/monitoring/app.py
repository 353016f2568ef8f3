"""The composition root of the monitoring service."""

from flask import Flask

from mlflowrest.client import Mlflow
from monitoring.controller.drift import DataDriftResource, DriftChecksResource
from monitoring.controller.monitoring import MonitoringResource
from monitoring.evidently_adapter import EvidentlyAdapter
from monitoring.repository.drift_log import DriftLog
from monitoring.repository.drift_references import DriftReferences
from monitoring.repository.drift_runs import DriftRuns
from monitoring.repository.results import ResultRepository
from monitoring.repository.scored_sets import ScoredSetsRepository
from monitoring.service.drift import DriftRule
from monitoring.service.drift_checks import DriftCheckService
from monitoring.service.questions import QuestionService
from monitoring.service.retraining_rule import RetrainingRule
from monitoring.settings import Settings
from schema.sets import LoadedSets
from servicekit.api import Route
from servicekit.app import create_service
from servicekit.clients import ServiceClient
from servicekit.database import Database


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the service; nothing connects before the first request."""
    settings = settings or Settings.load()
    database = Database(settings)
    rule = RetrainingRule(
        false_alarm_rate=settings.retraining_false_alarm_rate,
        drift_share=settings.retraining_drift_share,
        drift_distance=settings.retraining_drift_distance,
        missing_growth=settings.retraining_missing_growth,
        accuracy_drop=settings.retraining_accuracy_drop,
        prediction_distance=settings.retraining_prediction_distance,
    )
    service = QuestionService(
        database,
        ScoredSetsRepository(database.session),
        ResultRepository(database.session),
        EvidentlyAdapter(settings.evidently_max_rows),
        rule,
    )
    mlflow = Mlflow(
        settings.mlflow_url,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    drift = DriftCheckService(
        database,
        DriftReferences(database.session, mlflow),
        DriftLog(database.session),
        DriftRuns(mlflow),
        DriftRule(
            false_alarm_rate=settings.drift_false_alarm_rate,
            distance=settings.drift_distance,
            missing_difference=settings.drift_missing_difference,
            share=settings.drift_share,
        ),
    )
    ml_model = ServiceClient(
        "ML model",
        settings.ml_model_url,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.connect_timeout_s,
    )
    return create_service(
        "monitoring",
        settings,
        title="Cellar monitoring",
        description="Compares production with testing and says whether to train again.",
        database=database,
        routes=[
            Route(MonitoringResource, "/root/monitoring", {"service": service}),
            Route(DataDriftResource, "/data-drift", {"drift": drift}),
            Route(DriftChecksResource, "/drift-checks", {"drift": drift}),
        ],
        checks={
            "migrations": LoadedSets(database.session).check_head,
            "ml_model": ml_model.check,
        },
    )
