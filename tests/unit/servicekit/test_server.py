"""The kit under its real server: what gunicorn itself would answer takes our shape too."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

SERVICES = Path(__file__).parents[3] / "services"

APP = """
import os
from flask_restful import Resource
from servicekit.api import Route, endpoint
from servicekit.app import create_service
from servicekit.wire import AnswerModel, RequestModel


class Note(RequestModel):
    text: str


class NoteAnswer(AnswerModel):
    size: int
    worker: int


class Notes(Resource):
    @endpoint(summary="Take a note", body=Note, answers={200: NoteAnswer})
    def post(self, body):
        return NoteAnswer(size=len(body.text), worker=os.getpid())


def create_app(settings):
    return create_service("simulator", settings, title="Notes", routes=[Route(Notes, "/notes")])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, **variables: str) -> "subprocess.Popen[str]":
    package = folder / "simulator"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(
        "from servicekit.settings import ServiceSettings as Settings\n"
    )
    (package / "app.py").write_text(APP)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CELLAR_")
    }
    environment |= {
        "PYTHONPATH": f"{folder}:{SERVICES}",
        "CELLAR_DATABASE_HOST": "127.0.0.1",
        "CELLAR_DATABASE_USER": "nobody",
        "CELLAR_DATABASE_PASSWORD": "correct-horse-battery",
        "CELLAR_MAX_BODY_BYTES": "1000000",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "servicekit.serve", "simulator"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a served application."""
    number = free_port()
    process = start(tmp_path_factory.mktemp("served"), CELLAR_PORT=str(number))
    wait_until_up(process, number)
    yield number
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert "Traceback" not in log
    assert "correct-horse-battery" not in log


def wait_until_up(process: "subprocess.Popen[str]", port: int) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/ready", timeout=5)
            return
        except requests.ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline, "the server is not up"
            time.sleep(0.05)


def converse(port: int, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(raw)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no request line"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, id="long path"),
        pytest.param(b"GET /?q=" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n", 414, id="huge query"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, id="broken header"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431, id="long header"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
            431,
            id="many headers",
        ),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", 400, id="unknown version"),
        pytest.param(
            b"POST /notes HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400, id="length in words"
        ),
    ],
)
def test_what_the_server_refuses_takes_the_one_shape(port: int, raw: bytes, status: int) -> None:
    got, headers, body = converse(port, raw)
    assert got == status, body
    assert headers["content-type"] == "application/json"
    assert set(json.loads(body)) == {"error", "message"}


def test_a_client_that_is_still_sending_gets_the_answer_on_an_oversized_body(port: int) -> None:
    body = json.dumps({"text": "x" * 20_000_000}).encode()
    for _ in range(3):
        answer = requests.post(
            f"http://127.0.0.1:{port}/notes",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
        assert answer.status_code == 413
        assert answer.json()["error"] == "Body too large"


def test_oversized_body_of_unknown_length_is_413(port: int) -> None:
    answer = requests.post(
        f"http://127.0.0.1:{port}/notes",
        data=(b"x" * 100_000 for _ in range(40)),
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
    assert answer.status_code == 413
    assert set(answer.json()) == {"error", "message"}


def test_body_in_chunks_is_read_whole(port: int) -> None:
    chunks = [b'{"text": "', b"x" * 300_000, b"x" * 300_000, b'"}']
    answer = requests.post(
        f"http://127.0.0.1:{port}/notes",
        data=iter(chunks),
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
    assert answer.json()["size"] == 600_000


def test_connection_serves_on_after_a_refused_body(port: int) -> None:
    with requests.Session() as session:
        url = f"http://127.0.0.1:{port}/notes"
        assert session.post(url, data=b"{" * 1000, timeout=10).status_code == 415
        assert session.post(url, json={"text": 1}, timeout=10).status_code == 400
        assert session.post(url, json={"text": "four"}, timeout=10).json()["size"] == 4


def test_counters_are_summed_over_the_workers(port: int) -> None:
    url = f"http://127.0.0.1:{port}"

    def counted() -> float:
        text = requests.get(f"{url}/prometheus_metrics", timeout=10).text
        return sum(
            float(line.split()[-1])
            for line in text.splitlines()
            if line.startswith("http_requests_total{")
            and 'route="/notes",' in line
            and '"200"' in line
        )

    before = counted()
    workers: set[int] = set()
    sent = 0
    deadline = time.monotonic() + 60
    # Which worker takes a connection is up to the system; a busy one may take many in a row.
    while len(workers) < 2:
        assert time.monotonic() < deadline, "one worker never answers"
        workers.add(requests.post(f"{url}/notes", json={"text": ""}, timeout=10).json()["worker"])
        sent += 1
    assert counted() == before + sent


def test_misspelt_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    process = start(tmp_path, CELLAR_PORT=str(free_port()), CELLAR_MODEL_PRT="correct-horse")
    _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert log.strip() == "simulator: Unknown setting(s) CELLAR_MODEL_PRT in the environment."


def test_a_connection_that_a_caller_keeps_open_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    port = free_port()
    process = start(tmp_path, CELLAR_PORT=str(port))
    try:
        wait_until_up(process, port)
        with requests.Session() as session:
            session.get(f"http://127.0.0.1:{port}/health", timeout=20)
            process.terminate()
            # Far less than the 30 s that running requests are given.
            assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()
