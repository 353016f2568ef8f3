"""A worker that is killed in the middle of an upload leaves neither rows nor files."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator.repository.datasets import LOAD_LOCK
from simulator.settings import Settings
from tests.conftest import MakeSettings
from tests.support.databases import TestDatabase
from tests.support.running_suite import ROOT, Program, free_ports

DATASETS = "/root/simulator/datasets"
DEADLINE_S = 60.0
TABLE = b"x,y\n" + b"".join(b"%d,%d\n" % (n, n % 2) for n in range(20_000))
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="dataset_name"\r\n\r\nmine\r\n'
    b'--b\r\nContent-Disposition: form-data; name="target"\r\n\r\ny\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="t"\r\n\r\n'
    + TABLE
    + b"\r\n--b--\r\n"
)


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Simulator:
    """The service as a process, with one worker."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.port, self.uploads = free_ports(1)[0], folder / "uploads"
        self.uploads.mkdir()
        given = {
            "CELLAR_DATABASE_HOST": settings.database_host,
            "CELLAR_DATABASE_PORT": str(settings.database_port),
            "CELLAR_DATABASE_NAME": settings.database_name,
            "CELLAR_DATABASE_USER": settings.database_user,
            "CELLAR_DATABASE_PASSWORD": settings.database_password.get_secret_value(),
            "CELLAR_PORT": str(self.port),
            "CELLAR_WORKERS": "1",
            "CELLAR_UPLOAD_FOLDER": str(self.uploads),
            "PYTHONPATH": str(ROOT / "services"),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CELLAR_")}
        command = [sys.executable, "-m", "servicekit.serve", "simulator"]
        self.program = Program(command, kept | given, folder / "simulator.log")
        self.program.start()
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/ready", timeout=5).ok
        except requests.RequestException:
            return False

    def worker(self) -> int:
        assert self.program.process is not None
        pid = self.program.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def send(self, form: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        connection.sendall(
            f"POST {DATASETS} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type:"
            f" multipart/form-data; boundary=b\r\nContent-Length: {len(FORM)}\r\n\r\n".encode()
            + form
        )
        return connection

    def files(self) -> list[Path]:
        return [path for path in self.uploads.glob("*/*") if path.stat().st_size]


@pytest.fixture
def simulator(make_settings: MakeSettings, tmp_path: Path) -> Iterator[Simulator]:
    running = Simulator(make_settings(Settings), tmp_path)
    try:
        yield running
    finally:
        running.program.kill()


def test_what_a_killed_worker_leaves_is_removed(
    simulator: Simulator, cellar_database: TestDatabase, state: Callable[[], Any]
) -> None:
    before = state()
    # Killed while the file comes in.
    with simulator.send(FORM[: len(FORM) // 2]):
        wait_until(simulator.files)
        os.kill(simulator.worker(), signal.SIGKILL)
        wait_until(lambda: not list(simulator.uploads.iterdir()))
    wait_until(simulator.is_ready)
    # Killed while it is stored: somebody else holds the dataset.
    with cellar_database.connection() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext('mine'))", (LOAD_LOCK,))
        with simulator.send(FORM):
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            wait_until(lambda: cellar_database.rows(waiting))
            assert simulator.files()
            os.kill(simulator.worker(), signal.SIGKILL)
            wait_until(lambda: not list(simulator.uploads.iterdir()))
    wait_until(simulator.is_ready)
    assert state() == before
    with simulator.send(FORM) as connection, connection.makefile("rb") as answer:
        assert b" 201 " in answer.readline()
        answer.read()
    assert list(simulator.uploads.iterdir()) == []


def test_a_caller_who_leaves_in_the_middle_leaves_nothing(
    simulator: Simulator, state: Callable[[], Any]
) -> None:
    before = state()
    with simulator.send(FORM[: len(FORM) // 2]):
        wait_until(simulator.files)
    wait_until(lambda: not list(simulator.uploads.iterdir()))
    assert simulator.is_ready()
    assert state() == before
