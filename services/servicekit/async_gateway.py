"""A service behind an asynchronous server: hot routes on the event loop, the rest in threads.

Granian speaks HTTP and hands each request to `Gateway`. A hot route is a coroutine that answers
the common case without Flask; what it declines, and every other path, goes to the Flask
application as before, in one of `threads` threads.
"""

import asyncio
import io
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from servicekit.api import DISCARD_BYTES, HTTP_ADVICE, error_response
from servicekit.own_sites import OwnSites
from servicekit.telemetry import REQUEST_ID_HEADER, acceptable_request_id

log = logging.getLogger(__name__)

HOT_BODY_BYTES = 64 * 1024
"""Larger bodies would hold up the event loop; they go to a thread."""

MOST_ADDRESS_CHARACTERS = 4096
"""As gunicorn has it for the other services."""

_ID_HEADER = REQUEST_ID_HEADER.lower()
_ID_VARIABLE = f"HTTP_{REQUEST_ID_HEADER.upper().replace('-', '_')}"

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class HotAnswer:
    """A whole answer of a hot route."""

    status: int
    headers: Headers
    body: bytes


HotRoute = Callable[[Any, bytes, str], Awaitable[HotAnswer | None]]
"""Takes the request's headers (`get(name)`), body and id; None leaves it to Flask, with that id."""


@dataclass
class HotRoutes:
    """What a service serves on the event loop: kept in `app.extensions["cellar_hot_routes"]`.

    `start` is called once in each worker, with its event loop, before the first request.
    """

    routes: Mapping[tuple[str, str], HotRoute]
    start: Callable[[asyncio.AbstractEventLoop], None]
    stop: Callable[[], None] = field(default=lambda: None)


class Gateway:
    """An RSGI application over a WSGI one."""

    def __init__(
        self,
        wsgi: Callable[..., Iterable[bytes]],
        hot: HotRoutes,
        *,
        sites: OwnSites,
        threads: int,
        max_body: int,
    ) -> None:
        self._wsgi = wsgi
        self._hot = hot
        self._sites = sites
        self._threads = threads
        self._max_body = max_body

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare a worker."""
        self._loop = loop
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="request")
        self._hot.start(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let running requests end."""
        self._pool.shutdown(wait=True)
        self._hot.stop()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        if scope.proto != "http":
            protocol.close(1003)
            return
        try:
            answer = await self._answer(scope, protocol)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("The server failed on a request")
            answer = _flask_answer(error_response(500, *HTTP_ADVICE[500]))
        if answer.body:
            protocol.response_bytes(answer.status, answer.headers, answer.body)
        else:
            protocol.response_empty(answer.status, answer.headers)

    async def _answer(self, scope: Any, protocol: Any) -> HotAnswer:
        route = self._hot.routes.get((scope.method, scope.path))
        if route is None and len(scope.path) + len(scope.query_string) > MOST_ADDRESS_CHARACTERS:
            return _flask_answer(error_response(414, *HTTP_ADVICE[414]))
        headers = scope.headers
        length = headers.get("content-length")
        if length is not None and length.isdecimal() and int(length) <= self._max_body:
            body = await protocol()
        else:
            body = await self._bounded_body(protocol)
        # Whether a page may ask is for the application to say, which also explains a refusal.
        if route is not None and len(body) <= HOT_BODY_BYTES and self._sites.is_plain(headers):
            request_id = acceptable_request_id(headers.get(_ID_HEADER)) or uuid.uuid4().hex
            answer = await route(headers, body, request_id)
            if answer is not None:
                return answer
            environ = environment(scope, headers, body)
            # What the hot route did under this id is found again under it.
            environ[_ID_VARIABLE] = request_id
        else:
            environ = environment(scope, headers, body)
        return await self._loop.run_in_executor(self._pool, call_wsgi, self._wsgi, environ)

    async def _bounded_body(self, protocol: Any) -> bytes:
        """Read a body of unknown or forbidden length; what is beyond the limit is thrown away.

        The one byte that is kept above the limit tells the application that there was more.
        """
        body, discarded = bytearray(), 0
        async for chunk in protocol:
            room = self._max_body + 1 - len(body)
            body += chunk[:room]
            discarded += max(0, len(chunk) - room)
            if discarded > DISCARD_BYTES:
                break
        return bytes(body)


def environment(scope: Any, headers: Any, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a request (PEP 3333) whose body has been read."""
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # Bytes as latin-1 text, as the standard wants them.
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    # The body is known by now, also one that came in chunks; one byte above the limit is a 413.
    environ.setdefault("CONTENT_LENGTH", str(len(body)))
    if scope.authority and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ


def call_wsgi(wsgi: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> HotAnswer:
    """Run a WSGI application and collect its whole answer."""
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Headers, _exc_info: Any = None) -> Any:
        started[:] = [int(status.split(" ", 1)[0]), headers]
        return written.append

    parts = wsgi(environ, start_response)
    try:
        written.extend(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    status, headers = started
    return HotAnswer(status, headers, b"".join(written))


def _flask_answer(response: Any) -> HotAnswer:
    return HotAnswer(response.status_code, list(response.headers.items()), response.get_data())
