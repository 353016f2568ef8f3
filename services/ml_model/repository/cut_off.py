"""An end to waiting for a server that took a statement and never says anything again.

A server that runs gives up a slow statement itself (`statement_timeout`), and a network that is cut
is noticed by the kernel. A frozen server process does neither, and libpq waits without end.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

LONGEST_WAIT_S = 35.0
"""More than the statement's own limit (`Database.connect`): a server that runs answers before."""


class CutOff:
    """Shuts the connections that are waited for too long; the driver then raises as for a lost one.

    One thread watches however many connections; it starts with the first.
    """

    def __init__(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._longest_wait_s = longest_wait_s
        self._deadlines_s: dict[PgConnection, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, connection: PgConnection) -> Iterator[None]:
        """Watch a connection while the block runs."""
        with self._lock:
            self._deadlines_s[connection] = time.monotonic() + self._longest_wait_s
            if self._thread is None:
                # Not before: a thread does not survive the fork of a worker.
                self._thread = threading.Thread(target=self._run, name="cut off", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._deadlines_s.pop(connection, None)

    def _run(self) -> None:
        while True:
            time.sleep(self._longest_wait_s / 20)
            now_s = time.monotonic()
            # Under the lock: what is watched is waited for, so its socket is its own still.
            with self._lock:
                for connection, deadline_s in list(self._deadlines_s.items()):
                    if now_s > deadline_s:
                        del self._deadlines_s[connection]
                        _shut(connection)


def _shut(connection: PgConnection) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        try:
            ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It was lost in this very moment, which is as good.
            return
