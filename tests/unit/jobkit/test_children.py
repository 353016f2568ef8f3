"""Child processes: kept, ended, killed, and what is said when one dies under its work."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psutil
import pytest

from jobkit.job import Job
from jobkit.program.children import ChildEnded, Children

ECHO = 'import sys\nfor line in sys.stdin: print(\'{"outcome": "finished"}\', flush=True)'
DIES = "import os, signal, sys\nsys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
LEAVES = "import sys\nsys.stdin.readline(); sys.exit(3)"
HELPED = """\
import subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
sys.stdin.readline()
print('{"outcome": "%d"}' % helper.pid, flush=True)
sys.stdin.read()
"""
STUBBORN = "import sys, time\nsys.stdin.readline(); time.sleep(600)"

JOB = Job(
    id=1,
    kind="train",
    state="running",
    dataset_name=None,
    request={},
    result=None,
    progress=0.0,
    message="",
    reason=None,
    cancel_requested=False,
    attempts=1,
    request_id="r",
    created_at=datetime.now(UTC),
    started_at=None,
    finished_at=None,
)


def run(program: str, use: Callable[[Children], Awaitable[None]], idle_s: float = 60.0) -> None:
    """Use children that run a program."""

    async def all_of_it() -> None:
        children = Children((sys.executable, "-c", program), idle_s)
        try:
            await use(children)
        finally:
            await children.end_all()

    asyncio.run(all_of_it())


def test_a_child_is_used_again() -> None:
    async def use(children: Children) -> None:
        first = await children.take()
        assert await first.work_on(JOB) == "finished"
        second = await children.take()
        assert second is not first
        children.give_back(first)
        assert await children.take() is first
        assert await first.work_on(JOB) == "finished"
        children.give_back(first)
        children.give_back(second)
        await children.end_all()
        assert (first.process.returncode, second.process.returncode) == (0, 0)

    run(ECHO, use)


def test_an_idle_child_ends() -> None:
    async def use(children: Children) -> None:
        child = await children.take()
        children.give_back(child)
        await asyncio.wait_for(child.process.wait(), 60)
        assert await children.take() is not child

    run(ECHO, use, idle_s=0.05)


def test_a_child_that_died_while_it_waited_is_not_used() -> None:
    async def use(children: Children) -> None:
        child = await children.take()
        children.give_back(child)
        await child.kill()
        other = await children.take()
        assert other is not child
        assert await other.work_on(JOB) == "finished"
        await other.kill()

    run(ECHO, use)


@pytest.mark.parametrize(("program", "how"), [(DIES, "by signal 9"), (LEAVES, "with status 3")])
def test_it_is_said_how_a_child_ended(program: str, how: str) -> None:
    async def use(children: Children) -> None:
        child = await children.take()
        with pytest.raises(ChildEnded, match=how):
            await child.work_on(JOB)

    run(program, use)


def test_a_child_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.program.children.END_S", 0.05)

    async def use(children: Children) -> None:
        child = await children.take()
        work = asyncio.create_task(child.work_on(JOB))
        await asyncio.sleep(0)
        await child.end()
        assert child.process.returncode == -9
        with pytest.raises(ChildEnded):
            await work

    run(STUBBORN, use)


@pytest.mark.parametrize("way", ["end", "kill"])
def test_what_a_child_has_started_ends_with_it(way: str) -> None:
    async def use(children: Children) -> None:
        child = await children.take()
        helper = psutil.Process(int(await child.work_on(JOB)))
        await (child.end() if way == "end" else child.kill())
        await asyncio.to_thread(psutil.wait_procs, [helper], 60)
        assert not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE

    run(HELPED, use)
