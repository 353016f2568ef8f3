"""The program that runs searches, beside tracking in process."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from flask import Flask
from mlflow import MlflowClient

import simulator.app
import simulator.settings
import tracking.app
import tracking.settings
from tests.support.databases import TestDatabase
from tests.support.job_waits import WaitsForJobs
from tests.support.mlflow_fixture import MlflowServer
from tests.support.running_suite import ROOT, Program


@dataclass
class SearchJobsLab(WaitsForJobs):
    """Requests to tracking, the program that searches for it, MLflow and the database."""

    database: TestDatabase
    app: Flask
    program: Program
    client: MlflowClient

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request below /root/tracking; return status and JSON."""
        answer = self.app.test_client().open(f"/root/tracking{path}", method=method, json=body)
        return answer.status_code, answer.get_json()

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a request that must be answered with `status`, and return its JSON."""
        found, answer = self.send(method, path, body)
        assert found == status, (found, answer, self.program.log()[-4000:])
        return answer

    def child(self) -> psutil.Process:
        """Return the process that searches."""
        assert self.program.process is not None
        [child] = psutil.Process(self.program.process.pid).children()
        return child

    def load(self, seed: int = 42) -> None:
        """Load the training set of wine."""
        client = simulator.app.create_app(
            self.database.settings(simulator.settings.Settings)
        ).test_client()
        answer = client.post("/root/simulator", json={"set_name": "training", "seed": seed})
        assert answer.status_code == 200, answer.get_json()


@contextmanager
def search_jobs_lab(
    database: TestDatabase, mlflow: MlflowServer, folder: Path, **over: Any
) -> Iterator[SearchJobsLab]:
    """Start everything on a database; `over` are settings of tracking."""
    values: dict[str, Any] = {
        "mlflow_url": mlflow.url,
        "mlflow_database_name": mlflow.database.name,
        "connect_timeout_s": 20.0,
        **over,
    }
    settings = database.settings(tracking.settings.Settings, **values)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CELLAR_")}
    environment = kept | {
        "PYTHONPATH": str(ROOT / "services"),
        "CELLAR_DATABASE_HOST": settings.database_host,
        "CELLAR_DATABASE_PORT": str(settings.database_port),
        "CELLAR_DATABASE_NAME": settings.database_name,
        "CELLAR_DATABASE_USER": settings.database_user,
        "CELLAR_DATABASE_PASSWORD": settings.database_password.get_secret_value(),
        "CELLAR_PORT": str(settings.port),
        **{f"CELLAR_{name.upper()}": str(value) for name, value in values.items()},
    }
    program = Program([sys.executable, "-m", "tracking.jobs"], environment, folder / "jobs.log")
    lab = SearchJobsLab(
        database,
        tracking.app.create_app(settings),
        program,
        MlflowClient(tracking_uri=mlflow.url, registry_uri=mlflow.url),
    )
    program.start()
    try:
        yield lab
    finally:
        program.stop()
