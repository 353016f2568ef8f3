"""Waiting for readiness, against small servers that answer as the suite does."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from launcher.env_file import ensure_env_file, read_env_file
from launcher.errors import LaunchError
from launcher.places import ROOT
from launcher.readiness import ask_ready, wait_until_ready
from launcher.suite_settings import PROGRAMS, SuiteSettings, port_variable

Answer = tuple[int, dict[str, object]]
READY: Answer = (200, {"status": "ready"})


class _Servers:
    """One server for each program; `answers` says what it answers."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.running = {name: self._serve(name) for name in PROGRAMS if name != "postgres"}
        changes = {
            port_variable(name): str(server.server_port) for name, server in self.running.items()
        }
        ensure_env_file(folder / ".env", ROOT / ".env.example", changes)
        self.settings = SuiteSettings.of(read_env_file(folder / ".env"))

    def _serve(self, name: str) -> ThreadingHTTPServer:
        servers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == ("/health" if name == "mlflow" else "/ready")
                status, body = servers.answers.get(name, lambda: READY)()
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def close(self) -> None:
        for server in self.running.values():
            server.shutdown()
            server.server_close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[_Servers]:
    opened = _Servers(tmp_path)
    yield opened
    opened.close()


def _wait(
    servers: _Servers,
    deadline_s: float = 20,
    dead: dict[str, str] | None = None,
    lack_of_jobs: Callable[[str], str] = lambda _: "",
) -> None:
    wait_until_ready(
        servers.settings,
        deadline_s=deadline_s,
        given_up=lambda: dead or {},
        log_of=lambda name: f"the log of {name}",
        lack_of_jobs=lack_of_jobs,
    )


def _not_ready(**checks: str) -> Answer:
    return 503, {"status": "not ready", "checks": checks}


def test_what_is_missing_is_what_the_service_says(servers: _Servers) -> None:
    servers.answers["tracking"] = lambda: _not_ready(database="ok", mlflow="is away")

    assert ask_ready(servers.settings, "tracking") == "mlflow: is away"
    assert ask_ready(servers.settings, "simulator") == ""


def test_no_server_is_not_ready(servers: _Servers) -> None:
    server = servers.running["monitoring"]
    server.shutdown()
    server.server_close()

    assert ask_ready(servers.settings, "monitoring") == "does not answer yet"


def test_an_answer_that_is_no_json_is_not_ready(servers: _Servers) -> None:
    servers.answers["simulator"] = lambda: (502, {})

    assert ask_ready(servers.settings, "simulator") == "answers 502"


def test_it_waits_for_the_last_one(servers: _Servers) -> None:
    asked = []

    def ready_at_the_third_time() -> Answer:
        asked.append(1)
        return READY if len(asked) >= 3 else _not_ready(migrations="are missing")

    servers.answers["ml_model"] = ready_at_the_third_time
    _wait(servers)

    assert len(asked) == 3


def test_what_is_not_ready_in_time_is_named_with_its_log(servers: _Servers) -> None:
    servers.answers["ml_model"] = lambda: _not_ready(mlflow="is away")

    with pytest.raises(LaunchError) as caught:
        _wait(servers, deadline_s=0.5)
    assert "ml_model: mlflow: is away" in str(caught.value)
    assert "the log of ml_model" in caught.value.detail
    assert "simulator" not in caught.value.detail


def test_a_program_that_has_ended_is_not_waited_for(servers: _Servers) -> None:
    servers.answers["simulator"] = lambda: _not_ready(database="is away")

    with pytest.raises(LaunchError, match="simulator: has ended"):
        _wait(servers, deadline_s=3600, dead={"simulator": "has ended"})


def test_the_jobs_are_waited_for_as_well(servers: _Servers) -> None:
    lacks = {name: iter(["starting", "starting", ""]) for name in ("jobs", "searches")}

    _wait(servers, lack_of_jobs=lambda name: next(lacks[name]))

    assert {next(left, "asked no more") for left in lacks.values()} == {"asked no more"}


def test_jobs_that_do_not_start_are_named_with_their_log(servers: _Servers) -> None:
    with pytest.raises(LaunchError, match="jobs: has ended") as caught:
        _wait(
            servers,
            deadline_s=3600,
            dead={"jobs": "has ended"},
            lack_of_jobs=lambda name: "fatal" if name == "jobs" else "",
        )
    assert "the log of jobs" in caught.value.detail
