"""Many small writes in one transaction: whoever comes while one commit runs shares the next.

One thread writes. A caller's future is done when its entry is committed, never before.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from ml_model.errors import PredictionLogUnavailable

Waiting = Future[None] | asyncio.Future[None] | None


class GroupCommit:
    """Gathers entries (text) for `write`, which takes several joined and commits them as one.

    `write` stores all of them or raises and stores none. Unless the log is away
    (`PredictionLogUnavailable`) they are then written one by one, and only those fail that fail by
    themselves, e.g. since they are there already (`PredictionLogged`).
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._queue: SimpleQueue[tuple[str, Waiting] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, entry: str) -> Future[None]:
        """Hand in an entry from any thread; the future raises what `write` raised for it."""
        future: Future[None] = Future()
        self._add(entry, future)
        return future

    def submit_async(self, entry: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Hand in an entry from the event loop."""
        future: asyncio.Future[None] = loop.create_future()
        self._add(entry, future)
        return future

    def submit_unseen(self, entry: str) -> None:
        """Hand in an entry that nobody waits for."""
        self._add(entry, None)

    def stop(self) -> None:
        """Write what waits, then end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _add(self, entry: str, waiting: Waiting) -> None:
        self._queue.put((entry, waiting))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        # At the first entry and not before: a thread does not survive the fork of a worker.
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="prediction log", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        ending = False
        while not ending:
            batch, first = [], self._queue.get()
            # All that came while the last commit ran.
            for entry in (first, *(self._queue.get() for _ in range(self._queue.qsize()))):
                if entry is None:
                    ending = True
                else:
                    batch.append(entry)
            if batch:
                self._commit(batch)

    def _commit(self, batch: Sequence[tuple[str, Waiting]]) -> None:
        error = self._attempt("".join([entry for entry, _ in batch]))
        away = isinstance(error, PredictionLogUnavailable)
        if len(batch) > 1 and error is not None and not away:
            for entry, waiting in batch:
                _settle([waiting], self._attempt(entry))
            return
        _settle([waiting for _, waiting in batch], error)

    def _attempt(self, lines: str) -> Exception | None:
        try:
            self._write(lines)
        except Exception as error:  # noqa: BLE001 - whoever waits for the entry gets it
            return error
        return None


def _settle(futures: Sequence[Waiting], error: Exception | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for future in futures:
        if isinstance(future, asyncio.Future):
            by_loop.setdefault(future.get_loop(), []).append(future)
        elif future is not None:
            _finish(future, error)
    for loop, waiting in by_loop.items():
        # One call for all of them: waking the loop costs more than the rest.
        loop.call_soon_threadsafe(_finish_all, waiting, error)


def _finish_all(futures: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if not future.done():
            _finish(future, error)


def _finish(future: Future[None] | asyncio.Future[None], error: Exception | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
