"""Gunicorn's threaded worker: its own refusals take our shape, and it stops without delay.

A request line that is no HTTP, is too long or carries broken headers is refused by the server
itself, which would send an HTML page.
"""

import logging
import socket
from typing import Any

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

from servicekit.api import HTTP_ADVICE, error_response
from servicekit.event_stream import STOPPING

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
"""What is taken from a connection at once."""


class PromptReader(LengthReader):  # type: ignore[misc]
    """Gives what has arrived of a body whose length is known, without copying it."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; nothing at the end."""
        size = min(size, self.length)
        data: bytes = self.unreader.read() if size else b""
        if len(data) > size:
            self.unreader.unread(data[size:])
            data = data[:size]
        self.length -= len(data)
        return data


class PromptBody(Body):  # type: ignore[misc]
    """A request's body that is read in large pieces.

    Gunicorn's own fetches 1 kB at a time, of the 8 kB it has read, and copies the rest each time:
    half of what it takes to receive a large file.
    """

    def read(self, size: int | None = None) -> bytes:
        """Return at most `size` bytes as soon as there are some, all of them if None."""
        if size is None or size < 0 or self.buf.tell():
            data: bytes = super().read(size)
        else:
            data = self.reader.read(size)
        return data


class JsonErrorWorker(ThreadWorker):  # type: ignore[misc]
    """Threaded worker whose own refusals are JSON, and which idle callers do not keep from ending.

    Gunicorn's worker, told to stop, waits its whole grace period for connections that a caller
    merely keeps open. Requests that run still get that time.
    """

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request, whose body is read in large pieces."""
        req.unreader.mxchunk = READ_BYTES
        if isinstance(reader := req.body.reader, LengthReader):
            req.body = PromptBody(PromptReader(req.unreader, reader.length))
        return super().handle_request(req, conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Look around often while stopping, so that `murder_keepalived` gets its turn.

        Streams end then: they would else last until the grace period is over.
        """
        if not self.alive:
            STOPPING.set()
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, 0.2))

    def murder_keepalived(self) -> None:
        """Close connections whose time is over; while stopping, all that wait for a request."""
        if not self.alive:
            for connection in self.keepalived_conns:
                connection.timeout = 0.0
        super().murder_keepalived()

    def handle_error(
        self, req: Any, client: socket.socket, addr: tuple[str, int] | None, exc: Exception
    ) -> None:
        """Answer a request that could not be handed to the application, then let it close."""
        status = refusal_status(exc)
        if status == 500:
            log.error("The server failed on a request", exc_info=exc)
        else:
            log.info("Refused a request from %s: %s", addr[0] if addr else "?", exc)
        answer = error_response(status, *HTTP_ADVICE[status])
        body = answer.get_data()
        head = (
            f"HTTP/1.1 {answer.status}\r\nConnection: close\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode("latin-1") + body)
        except OSError:
            log.debug("The caller was gone before the refusal was sent")


def refusal_status(error: Exception) -> int:
    """Return the status of what went wrong before the application was reached."""
    if isinstance(error, LimitRequestLine):
        return 414
    if isinstance(error, LimitRequestHeaders):
        return 431
    if isinstance(error, UnsupportedTransferCoding):
        return 501
    return 400 if isinstance(error, ParseException) else 500
