"""The routes that predict, on the event loop and beside it; wired here for `ml_model.app`."""

from collections.abc import Sequence

from ml_model.controller.hot_predict import HotPredict
from ml_model.controller.invocations import InvocationsResource, PingResource, VersionResource
from ml_model.controller.open_inference import (
    V2InferResource,
    V2LiveResource,
    V2ModelReadyResource,
    V2ModelResource,
    V2ReadyResource,
    V2ServerResource,
)
from ml_model.controller.predict import PredictResource
from ml_model.prediction_metrics import PredictionMetrics
from ml_model.repository.cut_off import CutOff
from ml_model.repository.prediction_log import PredictionLogWriter, SqlPredictionLog
from ml_model.service.group_commit import GroupCommit
from ml_model.service.prediction import PredictionService
from ml_model.service.serving_state import ServingState
from ml_model.settings import Settings
from servicekit.api import Route
from servicekit.async_gateway import HotRoutes
from servicekit.database import Database


class Predictions:
    """What predicts, with its routes. Nothing is connected before the first prediction."""

    def __init__(self, settings: Settings, database: Database, state: ServingState) -> None:
        self._metrics = PredictionMetrics()
        cut_off = CutOff()
        # A connection each, so that none of the three waits for another.
        together, now, unseen = (PredictionLogWriter(database.connect, cut_off) for _ in range(3))
        self._commits = GroupCommit(together.write)
        self.service = PredictionService(
            database,
            state,
            self._commits,
            SqlPredictionLog(database.session),
            self._metrics,
            write_now=now.write,
            write_unseen=unseen.write,
            may_go_unlogged=settings.predict_without_log,
        )

    def routes(self) -> Sequence[Route]:
        """Return the routes that Flask serves."""
        needs = {"predictions": self.service}
        model = "/v2/models/<model_name>"
        version = f"{model}/versions/<model_version>"
        return [
            Route(PredictResource, "/predict", needs),
            Route(InvocationsResource, "/invocations", needs),
            Route(PingResource, "/ping", needs),
            Route(VersionResource, "/version"),
            Route(V2ServerResource, "/v2"),
            Route(V2LiveResource, "/v2/health/live"),
            Route(V2ReadyResource, "/v2/health/ready", needs),
            Route(V2ModelResource, model, needs),
            Route(V2ModelResource, version, needs),
            Route(V2ModelReadyResource, f"{model}/ready", needs),
            Route(V2ModelReadyResource, f"{version}/ready", needs),
            Route(V2InferResource, f"{model}/infer", needs),
            Route(V2InferResource, f"{version}/infer", needs),
        ]

    def hot_routes(self) -> HotRoutes:
        """Return the routes of the event loop."""
        return HotPredict(self.service, self._metrics).routes(stop=self._commits.stop)
