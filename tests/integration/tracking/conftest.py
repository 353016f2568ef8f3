"""Tracking on a real PostgreSQL and a real MLflow server, both behind a gate.

The simulator and a stand-in for the ML service run in process. Each module has its own dataset
database; MLflow is shared, so experiments have names of their own.
"""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask
from mlflow import MlflowClient

import simulator.app
import simulator.settings
import tracking.app
import tracking.settings
from tests.support.databases import TestDatabase
from tests.support.gate import Gate
from tests.support.mlflow_fixture import MlflowServer

_numbers = itertools.count(1)


def new_name(start: str = "experiment") -> str:
    """Return a name that no other test uses."""
    return f"{start} {next(_numbers)}"


@dataclass
class MlServiceStandIn:
    """Answers `/root/ml/set_model` as told, and keeps what it was sent."""

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=lambda: {"message": "Model successfully uploaded"})
    received: list[Any] = field(default_factory=list)


@dataclass
class Lab:
    """Tracking in process, its databases and what stands between it and its peers."""

    app: Flask
    settings: tracking.settings.Settings
    database: TestDatabase
    mlflow: MlflowServer
    client: MlflowClient
    ml: MlServiceStandIn
    mlflow_gate: Gate
    database_gate: Gate

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request below /root/tracking; return status and JSON."""
        answer = self.app.test_client().open(f"/root/tracking{path}", method=method, json=body)
        return answer.status_code, answer.get_json()

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a request that must be answered with `status`."""
        found, answer = self.send(method, path, body)
        assert found == status, answer
        return answer

    def optimization(self, name: str = "", **over: Any) -> dict[str, Any]:
        """Return a small search."""
        return {
            "request_information": "optimization",
            "experiment_name": name or new_name(),
            "experiment_description": "A small search",
            "experiment_owner": "Ada",
            "models": ["DecisionTree"],
            "hyperparameters": {"DecisionTree": {"max_depth": [1, None]}},
            "scoring": "accuracy",
            "cv": 2,
        } | over

    def optimize(self, name: str = "", **over: Any) -> Any:
        """Run a small search and return its `data`."""
        body = self.optimization(name, **over)
        return self.ask("POST", "/model_management", body, 201)["data"]

    def describe(self, experiment_id: str, information: str, **more: Any) -> Any:
        """Return what is known of an experiment."""
        body = {"experiment_id": experiment_id, "request_information": information, **more}
        return self.ask("POST", "/experiments", body)["data"]

    def run_by_hand(self, experiment_id: str, status: str = "FINISHED", **metrics: float) -> str:
        """Log a run as somebody who works with MLflow directly."""
        run_id = str(self.client.create_run(experiment_id, start_time=1_000).info.run_id)
        for key, value in metrics.items():
            self.client.log_metric(run_id, key, value)
        if status != "RUNNING":
            self.client.set_terminated(run_id, status, end_time=3_500)
        return run_id

    def all_runs(self) -> list[tuple[Any, ...]]:
        """Return every run MLflow has, deleted ones too."""
        return self.mlflow.database.rows("SELECT run_uuid, status, lifecycle_stage FROM runs")


@pytest.fixture(scope="module")
def ml_stand_in() -> Iterator[MlServiceStandIn]:
    """The ML service's place, taken."""
    state = MlServiceStandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            state.received.append(json.loads(self.rfile.read(length)))
            body = json.dumps(state.answer).encode()
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def bare_lab(
    module_database: TestDatabase, mlflow_server: MlflowServer, ml_stand_in: MlServiceStandIn
) -> Iterator[Lab]:
    """Tracking before any set is loaded."""
    with laboratory(module_database, mlflow_server, ml_stand_in) as lab:
        yield lab


@contextmanager
def laboratory(
    module_database: TestDatabase, mlflow_server: MlflowServer, ml_stand_in: MlServiceStandIn
) -> Iterator[Lab]:
    """Put tracking between its databases, an MLflow server and the ML service's place."""
    database_gate = Gate(module_database.server.host, module_database.server.port)
    mlflow_gate = Gate("127.0.0.1", mlflow_server.port)
    settings = module_database.settings(
        tracking.settings.Settings,
        database_port=database_gate.port,
        mlflow_url=f"http://127.0.0.1:{mlflow_gate.port}",
        mlflow_database_name=mlflow_server.database.name,
        ml_model_url=ml_stand_in.url,
        search_max_candidates=20,
    )
    yield Lab(
        app=tracking.app.create_app(settings),
        settings=settings,
        database=module_database,
        mlflow=mlflow_server,
        client=MlflowClient(tracking_uri=mlflow_server.url, registry_uri=mlflow_server.url),
        ml=ml_stand_in,
        mlflow_gate=mlflow_gate,
        database_gate=database_gate,
    )
    mlflow_gate.shut()
    database_gate.shut()


@pytest.fixture(scope="module")
def loaded_lab(bare_lab: Lab) -> Lab:
    """Tracking with the training set loaded."""
    settings = bare_lab.database.settings(simulator.settings.Settings)
    client = simulator.app.create_app(settings).test_client()
    answer = client.post("/root/simulator", json={"set_name": "training"})
    assert answer.status_code == 200, answer.get_json()
    return bare_lab


@pytest.fixture
def lab(loaded_lab: Lab) -> Lab:
    """Tracking with the training set loaded; the ML stand-in answers 200."""
    loaded_lab.ml.status = 200
    loaded_lab.ml.answer = {"message": "Model successfully uploaded"}
    loaded_lab.ml.received.clear()
    return loaded_lab
