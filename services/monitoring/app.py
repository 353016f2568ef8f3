"""The composition root of the monitoring service."""

from flask import Flask

from monitoring.controller.monitoring import MonitoringResource
from monitoring.evidently_adapter import EvidentlyAdapter
from monitoring.repository.results import ResultRepository
from monitoring.repository.scored_sets import ScoredSetsRepository
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
        routes=[Route(MonitoringResource, "/root/monitoring", {"service": service})],
        checks={
            "migrations": LoadedSets(database.session).check_head,
            "ml_model": ml_model.check,
        },
    )
