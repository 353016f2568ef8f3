"""The routes around what serves: slots, roll-outs, labels, history; wired for `ml_model.app`."""

from ml_model.controller.feedback import (
    HistoryResource,
    LabelsResource,
    MetricsResource,
    QualityResource,
)
from ml_model.controller.gauges import AccuracyGauge
from ml_model.controller.rollouts import CancelRolloutResource, RolloutResource, RolloutsResource
from ml_model.controller.slots import (
    AcceptNextResource,
    CanaryProbabilityResource,
    DeploymentsResource,
    RollbackResource,
    RunningResource,
    ShadowResource,
    SlotsResource,
    UpdateModelResource,
    VersionsResource,
)
from ml_model.repository.labels import SqlLabels
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.prediction_history import SqlPredictionHistory
from ml_model.repository.rollouts import SqlRollouts
from ml_model.repository.serving_statistics import SqlServingStatistics
from ml_model.repository.versions import SqlVersions
from ml_model.service.labels import LabelService
from ml_model.service.prediction_history import PredictionHistoryService
from ml_model.service.rollouts import RolloutService
from ml_model.service.serving_state import ServingState
from ml_model.service.slots import Preparation, SlotService
from servicekit.api import Route
from servicekit.database import Database


def accuracy_gauge(database: Database) -> AccuracyGauge:
    """Return the gauge for Prometheus; nothing is connected."""
    session = database.session
    return AccuracyGauge(
        LabelService(database, SqlLabels(session), SqlVersions(session), SqlLedger(session))
    )


def slot_routes(database: Database, models: Preparation, serving: ServingState) -> list[Route]:
    """Return the routes; nothing is connected."""
    session = database.session
    ledger, versions = SqlLedger(session), SqlVersions(session)
    statistics, labels = SqlServingStatistics(session), SqlLabels(session)
    slots = {"slots": SlotService(database, ledger, versions, statistics, models, serving)}
    rollouts = {
        "rollouts": RolloutService(database, ledger, SqlRollouts(session), statistics, serving)
    }
    judged = {"labels": LabelService(database, labels, versions, ledger)}
    history = {
        "history": PredictionHistoryService(
            database, SqlPredictionHistory(session), labels, versions, ledger
        )
    }
    return [
        Route(RunningResource, "/", {"serving": serving}),
        Route(UpdateModelResource, "/update-model", slots),
        Route(AcceptNextResource, "/accept-next-model", slots),
        Route(CanaryProbabilityResource, "/set-canary-probability", slots),
        Route(SlotsResource, "/slots", slots),
        Route(ShadowResource, "/set-shadow", slots),
        Route(RollbackResource, "/rollback", slots),
        Route(DeploymentsResource, "/deployments", slots),
        Route(VersionsResource, "/versions", slots),
        Route(RolloutsResource, "/rollouts", rollouts),
        Route(RolloutResource, "/rollouts/<rollout_id>", rollouts),
        Route(CancelRolloutResource, "/rollouts/<rollout_id>/cancel", rollouts),
        Route(LabelsResource, "/labels", judged),
        Route(QualityResource, "/quality", judged),
        Route(HistoryResource, "/predictions/history", history),
        Route(MetricsResource, "/metrics", history),
    ]
