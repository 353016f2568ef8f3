"""Entries share commits; each caller hears of its own entry, and of nothing before its commit."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from ml_model.errors import PredictionLogged, PredictionLogUnavailable
from ml_model.service.group_commit import GroupCommit


class Log:
    """Takes lines; holds them up while the gate is shut; refuses those it has."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.away = False

    def write(self, text: str) -> None:
        """As `PredictionLogWriter.write`."""
        assert self.gate.wait(10)
        lines = text.splitlines()
        if "deadlock" in lines:
            raise RuntimeError("deadlock detected")
        if self.away:
            raise PredictionLogUnavailable()
        if len(set(lines)) < len(lines) or set(lines) & set(self.lines):
            raise PredictionLogged()
        self.batches.append(lines)

    @property
    def lines(self) -> list[str]:
        """All that is stored."""
        return [line for batch in self.batches for line in batch]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def commits(log: Log) -> Iterator[GroupCommit]:
    commits = GroupCommit(log.write)
    yield commits
    log.gate.set()
    commits.stop()


def test_an_entry_is_done_once_it_is_written(log: Log, commits: GroupCommit) -> None:
    log.gate.clear()
    future = commits.submit("a\n")
    assert not future.done()
    log.gate.set()
    assert future.result(10) is None
    assert log.lines == ["a"]


def test_who_comes_during_a_commit_shares_the_next(log: Log, commits: GroupCommit) -> None:
    log.gate.clear()
    first = commits.submit("first\n")
    # The writer has the first entry in hand once the queue is empty again.
    while commits._queue.qsize():
        threading.Event().wait(0.001)
    others = [commits.submit(f"{number}\n") for number in range(20)]
    log.gate.set()
    for future in (first, *others):
        future.result(10)
    assert [len(batch) for batch in log.batches] == [1, 20]


def test_only_who_is_there_already_fails(log: Log, commits: GroupCommit) -> None:
    commits.submit("old\n").result(10)
    log.gate.clear()
    blocker = commits.submit("blocker\n")
    while commits._queue.qsize():
        threading.Event().wait(0.001)
    good, known, twin, again = (commits.submit(f"{name}\n") for name in ("a", "old", "b", "b"))
    log.gate.set()
    for future in (blocker, good, twin):
        future.result(10)
    for future in (known, again):
        with pytest.raises(PredictionLogged):
            future.result(10)
    assert sorted(log.lines) == ["a", "b", "blocker", "old"]


def test_a_fault_of_one_is_nobody_elses(log: Log, commits: GroupCommit) -> None:
    log.gate.clear()
    blocker = commits.submit("blocker\n")
    while commits._queue.qsize():
        threading.Event().wait(0.001)
    good, odd = commits.submit("a\n"), commits.submit("deadlock\n")
    log.gate.set()
    for future in (blocker, good):
        future.result(10)
    with pytest.raises(RuntimeError):
        odd.result(10)
    assert log.lines == ["blocker", "a"]


def test_everybody_hears_that_the_log_is_away(log: Log, commits: GroupCommit) -> None:
    log.away = True
    for future in [commits.submit(f"{number}\n") for number in range(3)]:
        with pytest.raises(PredictionLogUnavailable):
            future.result(10)
    log.away = False
    commits.submit("back\n").result(10)
    assert log.lines == ["back"]


def test_the_event_loop_waits_without_a_thread(log: Log, commits: GroupCommit) -> None:
    async def many() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(commits.submit_async(f"{n}\n", loop) for n in range(50)))
        with pytest.raises(PredictionLogged):
            await commits.submit_async("7\n", loop)

    asyncio.run(many())
    assert sorted(log.lines, key=int) == [str(number) for number in range(50)]


def test_a_caller_that_went_away_harms_nobody(log: Log, commits: GroupCommit) -> None:
    async def leave() -> None:
        loop = asyncio.get_running_loop()
        log.gate.clear()
        left = commits.submit_async("left\n", loop)
        stayed = commits.submit_async("stayed\n", loop)
        left.cancel()
        log.gate.set()
        await stayed

    asyncio.run(leave())
    assert log.lines == ["left", "stayed"]


def test_what_waits_is_written_before_the_end(log: Log) -> None:
    commits = GroupCommit(log.write)
    for number in range(100):
        commits.submit_unseen(f"{number}\n")
    commits.stop()
    assert len(log.lines) == 100
