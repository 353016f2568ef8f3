"""Waiting for jobs, of whichever service."""

import time
from collections.abc import Callable
from typing import Any

from tests.support.running_suite import Program

DEADLINE_S = 240.0


class WaitsForJobs:
    """What a lab asks of its service's jobs; it has the program that works on them."""

    program: Program

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed and return its JSON."""
        raise NotImplementedError

    def job(self, job_id: int) -> Any:
        """Return a job."""
        return self.ask("GET", f"/jobs/{job_id}")

    def wait(self, job_id: int, until: Callable[[Any], bool] | None = None) -> Any:
        """Return the job when `until` is true of it, by default when it has finished."""
        reached = until or (lambda job: job["state"] not in ("queued", "running"))
        return self.eventually(lambda: self.job(job_id), reached)

    def eventually(self, look: Callable[[], Any], reached: Callable[[Any], bool]) -> Any:
        """Return what `look` gives once it is as wanted; fail with the program's log."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = look()
            if reached(found):
                return found
            time.sleep(0.1)
        raise AssertionError(f"still {found}: {self.program.log()[-6000:]}")
