"""`mlflow_server`: one real MLflow server for the tests that need one, on a database of its own."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.databases import DatabaseServer, TestDatabase
from tests.support.running_suite import ROOT, Program, free_ports

START_DEADLINE_S = 240


@dataclass
class MlflowServer:
    """The server's address, its database, the one it asks what is in use, and its process."""

    url: str
    database: TestDatabase
    datasets: TestDatabase
    program: Program

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    def wait(self) -> None:
        """Return when it answers; fail with its log when it has ended."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.1)
            assert self.program.process is not None
            assert self.program.process.poll() is None, self.program.log()
        raise AssertionError(f"MLflow is not up: {self.program.log()}")


@pytest.fixture(scope="session")
def mlflow_server(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """The server; its experiments stay, so a test takes names of its own."""
    with running_mlflow(database_server, tmp_path_factory.mktemp("mlflow_server")) as server:
        yield server


@contextmanager
def running_mlflow(
    database_server: DatabaseServer, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[MlflowServer]:
    """Run a server with artifacts in `folder`, or where `settings` (`CELLAR_...`) say."""
    port = free_ports(1)[0]
    with (
        database_server.new_database("template0", "cellar_tracking") as database,
        database_server.new_database() as datasets,
    ):
        kept = {name: text for name, text in os.environ.items() if not name.startswith("CELLAR_")}
        environment = kept | {
            "PYTHONPATH": str(ROOT / "services"),
            "CELLAR_PORT": "5002",
            "CELLAR_DATABASE_HOST": database_server.host,
            "CELLAR_DATABASE_PORT": str(database_server.port),
            "CELLAR_DATABASE_NAME": datasets.name,
            "CELLAR_DATABASE_USER": "cellar_tracking",
            "CELLAR_DATABASE_PASSWORD": database_server.passwords["cellar_tracking"],
            "CELLAR_MLFLOW_DATABASE_NAME": database.name,
            "CELLAR_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
            "CELLAR_MLFLOW_PORT": str(port),
            **(settings or {}),
        }
        command = [sys.executable, "-m", "tracking.mlflow_server"]
        program = Program(command, environment, folder / "mlflow.log")
        server = MlflowServer(f"http://127.0.0.1:{port}", database, datasets, program)
        program.start()
        try:
            server.wait()
            # MLflow makes its tables when it is first asked for something.
            asked = {"max_results": 1}
            url = f"{server.url}/api/2.0/mlflow/experiments/search"
            assert requests.post(url, json=asked, timeout=60).status_code == 200
            yield server
        finally:
            program.kill()
