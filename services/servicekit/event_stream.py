"""Server-sent events under a threaded worker: few at a time, none that keeps a worker from ending.

A stream holds a thread for as long as it lasts. So a worker has few of them, each ends after some
minutes (the browser's `EventSource` comes back by itself), and all end when the worker stops.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, stream_with_context

from servicekit.errors import Unavailable

STOPPING = threading.Event()
"""Set when this worker process begins to stop."""

BEAT_S = 1.0
RECONNECT_MS = 2000


class StreamsTaken(Unavailable):
    """All streams are taken."""


class EventStreams:
    """The streams of this worker process, at most `limit` at the same time.

    A stream looks for something to say once per second, and says at least that it is there: a
    caller who has left is noticed by the second beat.
    """

    def __init__(self, limit: int, *, advice: str) -> None:
        self._places = threading.BoundedSemaphore(limit) if limit > 0 else None
        self._limit = limit
        self._advice = advice

    def open(self, next_message: Callable[[], Any], lifetime_s: float) -> Response:
        """Answer with a stream of what `next_message` returns, once per second.

        Parameters
        ----------
        next_message : returns what is sent as JSON, or None for nothing new; called in the context
            of the request.
        lifetime_s : the stream ends after so many seconds, but not before its first message.

        Raises
        ------
        StreamsTaken
            All streams of this worker are taken; the advice says what else can be asked.
        """
        if self._places is None or STOPPING.is_set() or not self._places.acquire(blocking=False):
            raise StreamsTaken(f"This worker keeps {self._limit} streams at most. {self._advice}")
        response = Response(
            stream_with_context(_messages(next_message, lifetime_s)),
            mimetype="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        response.call_on_close(self._places.release)
        return response


def _messages(next_message: Callable[[], Any], lifetime_s: float) -> Iterator[str]:
    end_s = time.monotonic() + lifetime_s
    yield f"retry: {RECONNECT_MS}\n\n"
    while True:
        message = next_message()
        if message is None:
            yield "event: beat\ndata: {}\n\n"
        else:
            text = json.dumps(message, ensure_ascii=False, allow_nan=False)
            yield f"event: state\ndata: {text}\n\n"
        left_s = end_s - time.monotonic()
        if left_s <= 0 or STOPPING.wait(min(BEAT_S, left_s)):
            return
