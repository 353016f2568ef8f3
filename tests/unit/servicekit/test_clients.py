"""Calls to a peer: the id goes along, and silence has one name."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from flask import Flask

from servicekit.clients import ServiceClient, ServiceUnavailable


class Echo(BaseHTTPRequestHandler):
    """Answers with the request id that came in."""

    def do_GET(self) -> None:
        """Answer; `/slow` never does, `/health` is ill."""
        if self.path == "/slow":
            self.server.released.wait(10)  # type: ignore[attr-defined]
        body = json.dumps({"id": self.headers.get("X-Request-ID"), "path": self.path}).encode()
        self.send_response(503 if self.path == "/health" else 418)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def peer() -> Iterator[str]:
    """A peer's base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_any_status_is_an_answer_and_the_request_id_goes_along(app: Flask, peer: str) -> None:
    client = ServiceClient("peer", peer + "/")

    @app.get("/call")
    def call() -> dict[str, object]:
        answer = client.get("/path")
        assert answer.status_code == 418
        return dict(answer.json())

    answer = app.test_client().get("/call", headers={"X-Request-ID": "passed-on"})
    assert answer.get_json() == {"id": "passed-on", "path": "/path"}


def test_nobody_there_is_unavailable_and_named() -> None:
    client = ServiceClient("cellar door", "http://127.0.0.1:1")
    with pytest.raises(ServiceUnavailable, match="cellar door"):
        client.get("/")


def test_a_silent_peer_is_unavailable(peer: str) -> None:
    client = ServiceClient("peer", peer, read_timeout_s=0.2)
    with pytest.raises(ServiceUnavailable):
        client.get("/slow")


def test_an_ill_peer_fails_its_check(peer: str) -> None:
    with pytest.raises(ServiceUnavailable, match="peer"):
        ServiceClient("peer", peer).check()
