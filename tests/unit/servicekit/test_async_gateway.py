"""The gateway: hot routes first, Flask for the rest, bodies within their limit."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, request

from servicekit.async_gateway import HOT_BODY_BYTES, Gateway, HotAnswer, HotRoutes
from servicekit.own_sites import OwnSites

LIMIT = 100_000


@dataclass
class Protocol:
    """A connection: gives the body in pieces and keeps the answer."""

    pieces: list[bytes]
    answer: tuple[int, dict[str, str], bytes] | None = None
    read: int = 0

    async def __call__(self) -> bytes:
        body = b"".join(self.pieces)
        self.read += len(body)
        return body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += len(piece)
            yield piece

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        """Answer."""
        assert self.answer is None
        self.answer = (status, {key.lower(): value for key, value in headers}, body)

    def response_empty(self, status: int, headers: Any) -> None:
        """Answer without a body."""
        self.response_bytes(status, headers, b"")


@dataclass
class Server:
    """A gateway over a small application, and requests to it."""

    gateway: Gateway
    hot: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        *pieces: bytes,
        query: str = "",
        headers: dict[str, str] | None = None,
        chunked: bool = False,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return the answer."""
        given = {"host": "cellar.test", **(headers or {})}
        if pieces and not chunked:
            given["content-length"] = str(sum(map(len, pieces)))
        scope = SimpleNamespace(
            proto="http",
            http_version="1.1",
            server="127.0.0.1:5001",
            client="127.0.0.1:4000",
            scheme="http",
            method=method,
            path=path,
            query_string=query,
            authority=None,
            headers=given,
        )
        protocol = Protocol(list(pieces))

        async def run() -> None:
            loop = asyncio.get_running_loop()
            self.gateway.__rsgi_init__(loop)
            await self.gateway.__rsgi__(scope, protocol)
            self.gateway.__rsgi_del__(loop)

        asyncio.run(run())
        assert protocol.answer is not None
        return protocol.answer


@pytest.fixture
def server() -> Server:
    app = Flask("test")
    app.config["MAX_CONTENT_LENGTH"] = LIMIT
    started: list[str] = []
    hot: list[bytes] = []
    ids: list[str] = []

    async def answer(headers: Any, body: bytes, request_id: str) -> HotAnswer | None:
        hot.append(body)
        ids.append(request_id)
        if body == b"fail":
            raise RuntimeError("broken")
        return HotAnswer(200, [("x-way", "hot")], b"hot") if body == b"hot" else None

    @app.route("/<path:path>", methods=["GET", "POST"])
    def echo(path: str) -> Any:
        return {
            "path": path,
            "query": request.args.to_dict(),
            "body": request.get_data().decode("latin-1")[:50],
            "length": len(request.get_data()),
            "agent": request.headers.get("User-Agent"),
            "host": request.host,
            "from": request.remote_addr,
            "id": request.headers.get("X-Request-ID"),
        }

    @app.get("/nothing")
    def nothing() -> Any:
        return "", 204

    routes = HotRoutes({("POST", "/hot"): answer}, start=lambda loop: started.append("start"))
    sites = OwnSites(frozenset({"cellar.test"}), frozenset())
    return Server(Gateway(app.wsgi_app, routes, sites=sites, threads=2, max_body=LIMIT), hot, ids)


def json_of(answer: tuple[int, dict[str, str], bytes]) -> Any:
    """Return an answer's JSON."""
    import json

    assert answer[0] == 200, answer
    return json.loads(answer[2])


@pytest.mark.parametrize("given", ["mine-7", "not acceptable: ä", None])
def test_what_is_left_to_flask_keeps_its_request_id(server: Server, given: str | None) -> None:
    headers = {"x-request-id": given} if given else {}
    seen = json_of(server.send("POST", "/hot", b"left", headers=headers))["id"]
    assert [seen] == server.ids
    assert seen == given if given == "mine-7" else len(seen) == 32


def test_a_hot_route_answers_without_flask(server: Server) -> None:
    assert server.send("POST", "/hot", b"hot") == (200, {"x-way": "hot"}, b"hot")


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.com"}, {"origin": "http://cellar.test"}, {"sec-fetch-site": "cross-site"}],
)
def test_what_a_page_may_have_sent_goes_to_flask(server: Server, headers: dict[str, str]) -> None:
    json_of(server.send("POST", "/hot", b"hot", headers=headers))
    assert server.hot == []


def test_what_it_declines_goes_to_flask(server: Server) -> None:
    assert json_of(server.send("POST", "/hot", b"other"))["body"] == "other"
    assert server.hot == [b"other"]


def test_large_bodies_and_other_methods_never_reach_it(server: Server) -> None:
    large = b"x" * (HOT_BODY_BYTES + 1)
    assert json_of(server.send("POST", "/hot", large))["length"] == len(large)
    assert json_of(server.send("GET", "/hot"))["path"] == "hot"
    assert server.hot == []


def test_a_request_arrives_whole(server: Server) -> None:
    answer = json_of(
        server.send(
            "POST",
            "/a%20b/%C3%BC",
            b"one ",
            b"two",
            query="x=1&y=%26",
            headers={"user-agent": "tests", "x-forwarded-for": "nobody"},
        )
    )
    assert answer == {
        "path": "a b/ü",
        "query": {"x": "1", "y": "&"},
        "body": "one two",
        "length": 7,
        "agent": "tests",
        "host": "cellar.test",
        "from": "127.0.0.1",
        "id": None,
    }


@pytest.mark.parametrize("chunked", [True, False])
def test_too_large_a_body_is_refused(server: Server, chunked: bool) -> None:
    pieces: Iterable[bytes] = [b"x" * 60_000] * 2
    assert server.send("POST", "/cold", *pieces, chunked=chunked)[0] == 413


def test_too_long_an_address_is_refused(server: Server) -> None:
    status, headers, _ = server.send("GET", "/cold", query="x=" + "9" * 5_000)
    assert (status, headers["content-type"]) == (414, "application/json")


def test_a_body_in_chunks_is_put_together(server: Server) -> None:
    assert json_of(server.send("POST", "/cold", b"a", b"b", b"c", chunked=True))["body"] == "abc"


def test_an_empty_answer_has_no_body(server: Server) -> None:
    status, _, body = server.send("GET", "/nothing")
    assert (status, body) == (204, b"")


def test_a_fault_is_answered_in_our_shape(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    status, headers, body = server.send("POST", "/hot", b"fail")
    assert status == 500
    assert headers["content-type"] == "application/json"
    assert b"broken" not in body
    assert "broken" in caplog.text
