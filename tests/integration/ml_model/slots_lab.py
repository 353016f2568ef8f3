"""The routes around the slots on a real PostgreSQL, with models that are rows and nothing else.

What MLflow and onnxruntime have to do with it is tested where they are.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from flask import Flask

import ml_model.settings
from ml_model.domain import ModelVersion
from ml_model.errors import VersionNotServable
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.prediction_history import SqlPredictionHistory
from ml_model.repository.rollouts import SqlRollouts
from ml_model.repository.serving_statistics import SqlServingStatistics
from ml_model.service.retention import Retention
from ml_model.service.rollouts import RolloutService
from ml_model.service.serving_state import ServingState
from ml_model.slot_routes import accuracy_gauge, slot_routes
from servicekit.app import create_service
from servicekit.database import Database
from servicekit.errors import Invalid
from tests.integration.ml_model.conftest import Service
from tests.support.databases import TestDatabase

COLUMNS = ("sepal_length", "petal_length")


class NoSuchModel(Invalid):
    """No such model."""


class RecordedModels:
    """Knows `models:/flower/<n>` (classes) and `models:/house/<n>` (a regression), n up to 9."""

    def __init__(self, database: TestDatabase) -> None:
        self._database = database

    def prepare(self, model_uri: str) -> ModelVersion:
        """Record a version with its form."""
        name, _, number = model_uri.removeprefix("models:/").partition("/")
        if name not in ("flower", "house") or not (number.isdigit() and len(number) == 1):
            raise NoSuchModel()
        self._database.execute(
            "INSERT INTO model_versions (registered_name, version, model_name, hyperparameters,"
            " training_run_id, model_uri) VALUES (%s, %s, %s, '{}', %s, %s) ON CONFLICT DO NOTHING",
            (name, int(number), name, f"run of {name} {number}", model_uri),
        )
        found = self._database.rows(
            "SELECT id FROM model_versions WHERE model_uri = %s", (model_uri,)
        )
        self._database.execute(
            "INSERT INTO serving_models (model_version_id, runtime, content, input_schema, task,"
            " classes, class_names, parity) VALUES (%s, 'onnx', '', %s, %s, %s, %s, '{}')"
            " ON CONFLICT DO NOTHING",
            (
                found[0][0],
                json.dumps([{"name": column, "type": "double"} for column in COLUMNS]),
                "classification" if name == "flower" else "regression",
                "[0, 1, 2]" if name == "flower" else "[]",
                '["setosa", "versicolor", "virginica"]' if name == "flower" else "[]",
            ),
        )
        return ModelVersion(found[0][0], name, int(number), name, None, None, None, None)

    def load(self, model_version_id: int) -> Any:
        """Return something that looks loaded."""
        if not self._database.rows(
            "SELECT FROM serving_models WHERE model_version_id = %s", (model_version_id,)
        ):
            raise VersionNotServable()
        return SimpleNamespace(runtime="onnx", numeric=True)


@dataclass
class SlotsLab:
    """The service, its database and what the housekeeping would call."""

    database: TestDatabase
    service: Service
    models: RecordedModels
    make_rollouts: Callable[[], RolloutService]
    retention: Retention
    app: Flask

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed and return its JSON."""
        status, answer = self.service.send(method, path, body)
        assert status in (200, 201), answer
        return answer

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send a request that must fail and return status and message."""
        status, answer = self.service.send(method, path, body)
        assert set(answer) <= {"error", "message", "details"}, answer
        return status, answer["message"]

    def put(self, *uris: str) -> None:
        """Fill current and, with two URIs, next."""
        self.ask("POST", "/update-model", {"model_uri": uris[0]})
        self.ask("POST", "/accept-next-model")
        for uri in uris[1:]:
            self.ask("POST", "/update-model", {"model_uri": uri})

    def version_id(self, uri: str) -> int:
        """Return the id of a recorded version."""
        return int(
            self.database.rows("SELECT id FROM model_versions WHERE model_uri = %s", (uri,))[0][0]
        )

    def log(
        self,
        uri: str,
        slot: str,
        predictions: Sequence[Any],
        *,
        first: int = 0,
        row: int = 0,
        latency_ms: float | Sequence[float] = 10.0,
        ago: str = "0 s",
        prefix: str = "r",
    ) -> None:
        """Log one request for each prediction: a class, a float, or an exception for a failure."""
        latencies = [latency_ms] * len(predictions) if isinstance(latency_ms, float) else latency_ms
        rows = []
        for number, (value, latency) in enumerate(zip(predictions, latencies, strict=True), first):
            failed = isinstance(value, Exception)
            is_class = isinstance(value, int | str)
            rows.append(
                {
                    "request_id": f"{prefix}{number}",
                    "predicted_class": str(value) if is_class else None,
                    "predicted_value": None if is_class or failed else value,
                    "probabilities": [0.1, 0.2, 0.7] if is_class else None,
                    "latency_us": round(latency * 1000),
                    "error": str(value) if failed else None,
                }
            )
        self.database.execute(
            "INSERT INTO prediction_log (request_id, row_number, slot, model_version_id, inputs,"
            " predicted_class, predicted_value, probabilities, latency_us, error, created_at)"
            " SELECT request_id, %s, %s, %s, '[5.1, 1.4]', predicted_class, predicted_value,"
            " probabilities, latency_us, error, clock_timestamp() - %s::interval"
            " FROM jsonb_to_recordset(%s) AS x(request_id text, predicted_class text,"
            " predicted_value float8, probabilities float8[], latency_us int, error text)",
            (row, slot, self.version_id(uri), ago, json.dumps(rows)),
        )

    def tick(self) -> bool:
        """Look at the running roll-out, as the housekeeping does every second."""
        with self.app.app_context():
            # A new one, which has no pause left of an earlier look.
            return self.make_rollouts().tick()

    def ledger(self) -> list[tuple[Any, ...]]:
        """Return slot, action and actor of every entry, the oldest first."""
        return self.database.rows("SELECT slot, action, actor FROM deployments ORDER BY id")


def make_slots_lab(cellar_database: TestDatabase) -> SlotsLab:
    """Compose the routes as `ml_model.app` does, around models that are recorded only."""
    settings = cellar_database.settings(ml_model.settings.Settings)
    database = Database(settings)
    models = RecordedModels(cellar_database)
    session = database.session
    serving = ServingState(database, SqlLedger(session), models)
    app = create_service(
        "ml_model",
        settings,
        title="slots",
        database=database,
        routes=slot_routes(database, models, serving),
        collectors=[accuracy_gauge(database)],
    )
    return SlotsLab(
        cellar_database,
        Service(app),
        models,
        lambda: RolloutService(
            database, SqlLedger(session), SqlRollouts(session), SqlServingStatistics(session)
        ),
        Retention(database, SqlPredictionHistory(session)),
        app,
    )
