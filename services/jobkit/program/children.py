"""Child processes that work on jobs: begun when needed, kept warm for a while, ended on cancel."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from jobkit.job import Job

log = logging.getLogger(__name__)

IDLE_S = 120.0
"""How long a child is kept that has nothing to do: its imports cost seconds and memory."""

END_S = 3.0
"""How long a child may take to end by itself before it is killed."""


class ChildEnded(RuntimeError):
    """A child process ended while it worked."""


@dataclass(eq=False)
class Child:
    """One child process. It reads jobs from its standard input, one JSON line each, and answers
    each with one on its standard output; when its input ends, so does it, whatever it does.
    """

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Child":
        """Start one, which leads a group of its own: it ends with all that it has started, and a
        signal to the program's group does not reach it.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.returncode is None

    async def work_on(self, job: Job) -> str:
        """Have it work on a job and return in a word how that went (see `jobkit.program.child`).

        Raises
        ------
        ChildEnded
            The process ended before it answered.
        """
        streams = self.process.stdin, self.process.stdout
        assert streams[0] is not None and streams[1] is not None  # noqa: S101 - both are pipes
        line = json.dumps({"job_id": job.id, "attempt": job.attempts, "request_id": job.request_id})
        try:
            streams[0].write(f"{line}\n".encode())
            await streams[0].drain()
            answer = await streams[1].readline()
        except ConnectionError:
            answer = b""
        if not answer.endswith(b"\n"):
            # Who holds on to its pipes keeps it from being waited for.
            self._end_helpers()
            code = await self.process.wait()
            how = f"by signal {-code}" if code < 0 else f"with status {code}"
            raise ChildEnded(f"The process that worked on it ended {how}")
        return str(json.loads(answer)["outcome"])

    async def end(self) -> None:
        """Let it end, or kill it if it does not."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), END_S)
        except TimeoutError:
            await self.kill()
        else:
            self._end_helpers()

    async def kill(self) -> None:
        """End it at once."""
        if self.alive:
            try:
                self.process.kill()
            except ProcessLookupError:
                log.debug("Child %d has ended by itself", self.process.pid)
        self._end_helpers()
        if self.process.stdin is not None:
            self.process.stdin.close()
        await self.process.wait()

    def _end_helpers(self) -> None:
        """End what the ended process has started: processes that fit for it.

        By a signal that joblib's resource tracker ignores: it removes shared memory first.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)


class Children:
    """Children that wait for work."""

    def __init__(self, command: Sequence[str], idle_s: float = IDLE_S) -> None:
        self._command = command
        self._idle_s = idle_s
        self._waiting: dict[Child, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def take(self) -> Child:
        """Return a child that has nothing to do, a new one if there is none."""
        while self._waiting:
            # The one that waited least: the others then get to end.
            child, timer = self._waiting.popitem()
            timer.cancel()
            if child.alive:
                return child
        child = await Child.start(self._command)
        log.info("Started process %d for jobs", child.process.pid)
        return child

    def give_back(self, child: Child) -> None:
        """Keep a child that has done its work; it ends when it idles for too long."""
        loop = asyncio.get_running_loop()
        self._waiting[child] = loop.call_later(self._idle_s, self._retire, child)

    async def end_all(self) -> None:
        """End all that wait."""
        for child in list(self._waiting):
            self._waiting[child].cancel()
            self._retire(child)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _retire(self, child: Child) -> None:
        self._waiting.pop(child, None)
        task = asyncio.get_running_loop().create_task(child.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
