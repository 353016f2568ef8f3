"""The ML service on a real PostgreSQL and a real MLflow server, both in front of a gate.

The simulator, whose job loading is, runs in process on the same database.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from flask import Flask

import ml_model.app
import ml_model.settings
import simulator.app
import simulator.settings
from tests.support.databases import DatabaseServer, TestDatabase
from tests.support.gate import Gate
from tests.support.running_suite import ROOT, Program, free_ports

START_DEADLINE_S = 120


@pytest.fixture(scope="session")
def mlflow_url(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """One MLflow server for all tests here: each has its own model versions by its own rows."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_ports(1)[0]
    with database_server.new_database("template0", "cellar_tracking") as database:
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("CELLAR_")},
            "PYTHONPATH": str(ROOT / "services"),
            "CELLAR_PORT": "5002",
            "CELLAR_DATABASE_HOST": database_server.host,
            "CELLAR_DATABASE_PORT": str(database_server.port),
            "CELLAR_DATABASE_USER": "cellar_tracking",
            "CELLAR_DATABASE_PASSWORD": database_server.passwords["cellar_tracking"],
            "CELLAR_MLFLOW_DATABASE_NAME": database.name,
            "CELLAR_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
            "CELLAR_MLFLOW_PORT": str(port),
        }
        command = [sys.executable, "-m", "tracking.mlflow_server"]
        program = Program(command, environment, folder / "mlflow.log")
        program.start()
        try:
            _wait(f"http://127.0.0.1:{port}", program)
            yield f"http://127.0.0.1:{port}"
        finally:
            program.kill()


def _wait(url: str, program: Program) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
        assert program.process is not None
        assert program.process.poll() is None, program.log()
    raise AssertionError(f"MLflow is not up: {program.log()}")


@dataclass
class Service:
    """Requests to an application in process; each in a client of its own, as from anywhere."""

    app: Flask

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request and return status and JSON."""
        answer = self.app.test_client().open(path, method=method, json=body)
        return answer.status_code, answer.get_json()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed and return its JSON."""
        status, answer = self.send(method, path, body)
        assert status == 200, answer
        return answer

    def set_model(self, name: str, run_id: str | None = None, **hyperparameters: Any) -> Any:
        """Set a model."""
        body = {"model_name": name, "hyperparameters": hyperparameters, "run_id": run_id}
        return self.ask("POST", "/root/ml/set_model", body)

    def score(self, dataset: str, **more: Any) -> Any:
        """Train on or score a set."""
        return self.ask("POST", "/root/ml", {"dataset": dataset, **more})


@dataclass
class Lab:
    """Both services, their database and what stands between them and their peers."""

    database: TestDatabase
    mlflow_url: str
    mlflow_gate: Gate
    database_gate: Gate
    ml: Service
    simulator: Service
    started_ms: int

    def load(self, *set_names: str, **more: Any) -> None:
        """Load sets."""
        for set_name in set_names:
            self.simulator.ask("POST", "/root/simulator", {"set_name": set_name, **more})

    def another_ml(self) -> Service:
        """Return the service as a restarted or a second process would be: with empty caches."""
        return Service(
            ml_model.app.create_app(
                self.database.settings(
                    ml_model.settings.Settings,
                    mlflow_url=f"http://127.0.0.1:{self.mlflow_gate.port}",
                    database_port=self.database_gate.port,
                )
            )
        )

    def predictions(self, set_name: str) -> dict[tuple[int, int], tuple[str, list[float] | None]]:
        """Return every stored prediction of a set by (model version id, sample id)."""
        found = self.database.rows(
            "SELECT model_version_id, sample_id, predicted_class, probabilities"
            " FROM predictions WHERE set_name = %s",
            set_name,
        )
        return {(version, sample): (label, shares) for version, sample, label, shares in found}

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self.database.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608

    def mlflow(self, path: str, **query: str) -> Any:
        """Ask MLflow's REST API."""
        url = f"{self.mlflow_url}/api/2.0/mlflow/{path}"
        answer = requests.get(url, params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def training_runs(self) -> list[Any]:
        """Return the MLflow runs that were begun since this lab stands."""
        experiment = self.mlflow("experiments/get-by-name", experiment_name="training")
        body = {
            "experiment_ids": [experiment["experiment"]["experiment_id"]],
            "filter": f"attributes.start_time >= {self.started_ms}",
            "max_results": 1000,
        }
        url = f"{self.mlflow_url}/api/2.0/mlflow/runs/search"
        return list(requests.post(url, json=body, timeout=30).json().get("runs", []))


def tags_of(data: Any) -> dict[str, str]:
    """Return MLflow's list of tags as a dict."""
    return {tag["key"]: tag["value"] for tag in data.get("tags", [])}


@pytest.fixture
def lab(cellar_database: TestDatabase, mlflow_url: str, database_gate: Gate) -> Iterator[Lab]:
    """A fresh database with both services on it."""
    gate = Gate("127.0.0.1", int(mlflow_url.rsplit(":", 1)[1]))
    lab = Lab(
        database=cellar_database,
        mlflow_url=mlflow_url,
        mlflow_gate=gate,
        database_gate=database_gate,
        ml=None,  # type: ignore[arg-type]
        simulator=Service(
            simulator.app.create_app(cellar_database.settings(simulator.settings.Settings))
        ),
        started_ms=time.time_ns() // 1_000_000,
    )
    lab.ml = lab.another_ml()
    yield lab
    gate.shut()


@pytest.fixture
def wine(lab: Lab) -> Lab:
    """All three sets of wine are loaded."""
    lab.load("training", "testing", "production")
    return lab
