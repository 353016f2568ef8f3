"""The ML service on a real PostgreSQL and a real MLflow server, both in front of a gate.

The simulator, whose job loading is, runs in process on the same database.
"""

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
from tests.support.databases import TestDatabase
from tests.support.gate import Gate
from tests.support.mlflow_fixture import MlflowServer


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
                    # The gate's threads share this process with an import of MLflow.
                    connect_timeout_s=20.0,
                )
            )
        )

    def predictions(self, set_name: str) -> dict[tuple[int, int], tuple[str, list[float] | None]]:
        """Return every stored prediction of a set by (model version id, sample id)."""
        found = self.database.rows(
            "SELECT model_version_id, sample_id, predicted_class, probabilities"
            " FROM predictions WHERE set_name = %s",
            (set_name,),
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

    def finished_runs(self) -> list[Any]:
        """Return those that ended well; under load MLflow's client may leave a failed twin."""
        return [run for run in self.training_runs() if run["info"]["status"] == "FINISHED"]


def tags_of(data: Any) -> dict[str, str]:
    """Return MLflow's list of tags as a dict."""
    return {tag["key"]: tag["value"] for tag in data.get("tags", [])}


@pytest.fixture
def lab(
    cellar_database: TestDatabase, mlflow_server: MlflowServer, database_gate: Gate
) -> Iterator[Lab]:
    """A fresh database with both services on it."""
    gate = Gate("127.0.0.1", mlflow_server.port)
    lab = Lab(
        database=cellar_database,
        mlflow_url=mlflow_server.url,
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
