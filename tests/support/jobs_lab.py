"""The program that runs jobs, beside an ML service in process and a simulator on a port."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
from flask import Flask
from werkzeug.serving import make_server

import ml_model.app
import ml_model.settings
import simulator.app
import simulator.settings
from tests.support.databases import TestDatabase
from tests.support.job_waits import WaitsForJobs
from tests.support.running_suite import ROOT, Program


@dataclass
class JobsLab(WaitsForJobs):
    """Requests to the ML service, the program that does its work, and their database."""

    database: TestDatabase
    app: Flask
    program: Program
    mlflow_url: str
    simulator_url: str
    more_programs: list[Program] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: Any = None, request_id: str | None = None
    ) -> tuple[int, Any]:
        """Send a request and return status and JSON."""
        headers = {"X-Request-ID": request_id} if request_id else {}
        answer = self.app.test_client().open(path, method=method, json=body, headers=headers)
        return answer.status_code, answer.get_json()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed and return its JSON."""
        status, answer = self.send(method, path, body)
        assert status in (200, 201, 202), (status, answer, self.program.log()[-4000:])
        return answer

    def load(self, set_name: str, dataset_name: str, seed: int) -> None:
        """Have the simulator load a set."""
        body = {"set_name": set_name, "dataset_name": dataset_name, "seed": seed}
        answer = requests.post(f"{self.simulator_url}/root/simulator", json=body, timeout=60)
        assert answer.status_code == 200, answer.text

    def children(self) -> list[psutil.Process]:
        """Return the processes that work for the program."""
        assert self.program.process is not None
        return psutil.Process(self.program.process.pid).children()

    def kill_program(self) -> None:
        """End the program alone, at once."""
        assert self.program.process is not None
        self.program.process.send_signal(signal.SIGKILL)
        self.program.process.wait()


@contextmanager
def jobs_lab(
    database: TestDatabase, mlflow_url: str, folder: Path, **over: Any
) -> Iterator[JobsLab]:
    """Start everything on a database; `over` are settings of the ML service."""
    simulation = simulator.app.create_app(database.settings(simulator.settings.Settings))
    server = make_server("127.0.0.1", 0, simulation, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    values: dict[str, Any] = {
        "mlflow_url": mlflow_url,
        "simulator_url": f"http://127.0.0.1:{server.server_port}",
        "connect_timeout_s": 20.0,
        **over,
    }
    settings = database.settings(ml_model.settings.Settings, **values)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CELLAR_")}
    environment = kept | {
        "PYTHONPATH": str(ROOT / "services"),
        "CELLAR_DATABASE_HOST": settings.database_host,
        "CELLAR_DATABASE_PORT": str(settings.database_port),
        "CELLAR_DATABASE_NAME": settings.database_name,
        "CELLAR_DATABASE_PASSWORD": settings.database_password.get_secret_value(),
        "CELLAR_LOG_LEVEL": "INFO",
        **{f"CELLAR_{name.upper()}": str(value) for name, value in values.items()},
    }
    program = Program([sys.executable, "-m", "ml_model.jobs"], environment, folder / "jobs.log")
    app = ml_model.app.create_app(settings)
    lab = JobsLab(database, app, program, mlflow_url, values["simulator_url"])
    program.start()
    try:
        yield lab
    finally:
        for one in (program, *lab.more_programs):
            one.stop()
        server.shutdown()
        server.server_close()
        thread.join()
