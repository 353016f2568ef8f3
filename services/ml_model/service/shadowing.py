"""Let `next` predict what `current` answered, afterwards and unseen."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ml_model.service.serving_state import LoadedVersion

MOST_WAITING_REQUESTS = 1_000
MOST_WAITING_ROWS = 20_000
"""A shadow that cannot keep up is dropped, never waited for, and holds little memory."""


@dataclass(frozen=True)
class Shadow:
    """What is to be predicted once more: `inputs` are n rows as the prediction log has them."""

    version: LoadedVersion
    request_id: str
    inputs: Sequence[Sequence[Any]]


class Shadowing:
    """Hands shadows to `predict`, one after the other, in a thread of its own."""

    def __init__(self, predict: Callable[[Shadow], None]) -> None:
        """`predict` deals with whatever fails itself."""
        self._predict = predict
        self._waiting: deque[Shadow] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, shadow: Shadow) -> bool:
        """Hand in a shadow, without waiting; False where too much waits already.

        A request that is larger than all that may wait is taken when nothing else does.
        """
        with self._changed:
            rows = self._rows + len(shadow.inputs)
            if self._waiting and (
                len(self._waiting) >= MOST_WAITING_REQUESTS or rows > MOST_WAITING_ROWS
            ):
                return False
            self._waiting.append(shadow)
            self._rows = rows
            if self._thread is None:
                # At the first shadow and not before: a thread does not survive a worker's fork.
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()
            self._changed.notify()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                shadow = self._waiting.popleft()
                self._rows -= len(shadow.inputs)
            self._predict(shadow)
