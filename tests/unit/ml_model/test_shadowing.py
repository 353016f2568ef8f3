"""Shadows wait in a bounded line, and whoever hands one in never does."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ml_model.service.shadowing import (
    MOST_WAITING_REQUESTS,
    MOST_WAITING_ROWS,
    Shadow,
    Shadowing,
)


class SlowNext:
    """Predicts nothing while the gate is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.seen: list[str] = []

    def predict(self, shadow: Shadow) -> None:
        self.begun.release()
        assert self.gate.wait(10)
        self.seen.append(shadow.request_id)
        self.done.release()


@pytest.fixture
def slow() -> Iterator[SlowNext]:
    slow = SlowNext()
    yield slow
    slow.gate.set()


def shadow(request_id: str, rows: int = 1) -> Shadow:
    version: Any = None
    return Shadow(version, request_id, [[0.0]] * rows)


def test_shadows_are_predicted_in_their_order(slow: SlowNext) -> None:
    shadowing = Shadowing(slow.predict)
    assert all(shadowing.put(shadow(str(number))) for number in range(5))
    slow.gate.set()
    for _ in range(5):
        assert slow.done.acquire(timeout=10)
    assert slow.seen == ["0", "1", "2", "3", "4"]


def test_what_cannot_wait_is_dropped_by_its_requests(slow: SlowNext) -> None:
    shadowing = Shadowing(slow.predict)
    assert shadowing.put(shadow("first"))
    assert slow.begun.acquire(timeout=10)
    taken = [shadowing.put(shadow(str(number))) for number in range(MOST_WAITING_REQUESTS + 3)]
    assert taken == [True] * MOST_WAITING_REQUESTS + [False] * 3


def test_what_cannot_wait_is_dropped_by_its_rows(slow: SlowNext) -> None:
    shadowing = Shadowing(slow.predict)
    assert shadowing.put(shadow("first", MOST_WAITING_ROWS * 2)), "nothing else waits"
    assert slow.begun.acquire(timeout=10)
    assert shadowing.put(shadow("half", MOST_WAITING_ROWS // 2))
    assert not shadowing.put(shadow("too much", MOST_WAITING_ROWS))
    assert shadowing.put(shadow("the rest", MOST_WAITING_ROWS // 2))
    assert not shadowing.put(shadow("one more"))
    slow.gate.set()
    for _ in range(3):
        assert slow.done.acquire(timeout=10)
    assert slow.seen == ["first", "half", "the rest"]
    assert shadowing.put(shadow("later", MOST_WAITING_ROWS))
