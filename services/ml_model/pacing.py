"""Figures that may take long, looked up so seldom that they never take most of the time."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

QUICK_S = 0.1
"""What takes less is looked up every time."""

SHARE_OF_TIME = 0.05
"""What takes longer may take this share of the time."""


class Paced(Generic[T]):
    """Keeps a figure for a while that took long to find. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self, find: Callable[[], T]) -> T:
        """Return what `find` gives, or gave not long ago; one thread at a time finds."""
        with self._lock:
            began_s = self._clock()
            if self._kept is not None and began_s < self._kept[0]:
                return self._kept[1]
            found = find()
            ended_s = self._clock()
            took_s = ended_s - began_s
            self._kept = None
            if took_s > QUICK_S:
                self._kept = (ended_s + took_s * (1 / SHARE_OF_TIME - 1), found)
            return found
