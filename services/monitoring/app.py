"""The composition root of the monitoring service."""

from functools import partial
from urllib.parse import urlsplit

from flask import Flask

from mlflowrest.client import Mlflow
from monitoring.controller.dashboard import (
    DashboardActionsResource,
    DashboardEventsResource,
    DashboardResource,
    DashboardStateResource,
    register_page_files,
)
from monitoring.controller.drift import DataDriftResource, DriftChecksResource
from monitoring.controller.monitoring import MonitoringResource, RetrainingVerdictsResource
from monitoring.evidently_adapter import EvidentlyAdapter
from monitoring.repository.drift_log import DriftLog
from monitoring.repository.drift_references import DriftReferences
from monitoring.repository.drift_runs import DriftRuns
from monitoring.repository.results import ResultRepository
from monitoring.repository.scored_sets import ScoredSetsRepository
from monitoring.repository.set_counts import SetCounts
from monitoring.repository.set_statistics import SetStatisticsRepository
from monitoring.repository.shared_snapshot import SharedSnapshot
from monitoring.service.counted_sets import CountedSetsReader
from monitoring.service.dashboard import ActionService, DashboardService, drift_time_line
from monitoring.service.drift import DriftRule
from monitoring.service.drift_checks import DriftCheckService
from monitoring.service.questions import LongSets, QuestionService
from monitoring.service.retraining_signals import RetrainingRule
from monitoring.service.verdicts import VerdictService
from monitoring.settings import Settings
from schema.sets import LoadedSets
from servicekit.api import Route
from servicekit.app import create_service
from servicekit.clients import ServiceClient
from servicekit.database import Database
from servicekit.event_stream import EventStreams


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
        error_growth=settings.retraining_error_growth,
    )
    results = ResultRepository(database.session)
    service = QuestionService(
        database,
        ScoredSetsRepository(database.session),
        results,
        EvidentlyAdapter(settings.evidently_max_rows),
        rule,
        CountedSetsReader(
            SetCounts(
                SharedSnapshot(
                    database.session,
                    partial(database.connect, "counting", statement_timeout_s=0),
                )
            ),
            SetStatisticsRepository(database.session),
        ),
        LongSets(settings.retraining_read_max_rows, settings.evidently_max_rows),
    )
    verdicts = VerdictService(database, results)
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
    dashboard = DashboardService(
        database,
        # Its viewers wait for the slowest answer.
        _peers(settings, connect_timeout_s=1.0, read_timeout_s=3.0),
        {
            "verdicts": lambda: verdicts.list(20, None).model_dump(mode="json"),
            "drift": lambda: drift_time_line(drift, limit=50),
        },
    )
    actions = ActionService(
        _peers(
            settings,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
        )
    )
    ports = {
        "ml_model_port": settings.ml_model_public_port or _port_of(settings.ml_model_url),
        "tracking_port": settings.tracking_public_port or _port_of(settings.tracking_url),
        "mlflow_port": settings.mlflow_public_port or _port_of(settings.mlflow_url),
    }
    shown = {"dashboard": dashboard, "ports": ports}
    streams = EventStreams(
        # Whoever else asks needs a thread as well.
        min(settings.dashboard_streams, settings.threads - 1),
        advice="Ask GET /dashboard/state instead, or try again later.",
    )
    app = create_service(
        "monitoring",
        settings,
        title="Cellar monitoring",
        description="Compares production with testing and says whether to train again.",
        database=database,
        routes=[
            Route(
                MonitoringResource,
                "/root/monitoring",
                {"service": service, "verdicts": verdicts},
            ),
            Route(RetrainingVerdictsResource, "/retraining-verdicts", {"verdicts": verdicts}),
            Route(DataDriftResource, "/data-drift", {"drift": drift}),
            Route(DriftChecksResource, "/drift-checks", {"drift": drift}),
            Route(DashboardResource, "/dashboard"),
            Route(DashboardStateResource, "/dashboard/state", shown),
            Route(
                DashboardEventsResource,
                "/dashboard/events",
                {**shown, "streams": streams, "lifetime_s": settings.dashboard_stream_s},
            ),
            Route(DashboardActionsResource, "/dashboard/actions", {"actions": actions}),
        ],
        checks={
            "migrations": LoadedSets(database.session).check_head,
            "ml_model": ml_model.check,
        },
    )
    register_page_files(app)
    return app


def _peers(settings: Settings, **time_limits_s: float) -> dict[str, ServiceClient]:
    """Return clients of the services that the live page asks, by name."""
    return {
        "ml_model": ServiceClient("ML model", settings.ml_model_url, **time_limits_s),
        "tracking": ServiceClient("tracking", settings.tracking_url, **time_limits_s),
    }


def _port_of(url: str) -> int:
    """Return the port of a service's base URL."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
