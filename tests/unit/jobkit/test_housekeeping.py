"""Housekeeping: by the leader alone, and no step keeps another from its turn."""

import asyncio
import logging
from typing import Any, cast

import pytest

from jobkit.program import housekeeping
from jobkit.program.housekeeping import Leadership, keep_house
from servicekit.database import DatabaseUnavailable


class Lock:
    """A lock that is held at every other look."""

    def __init__(self) -> None:
        self.looks = 0
        self.released = False

    async def held(self) -> bool:
        """Tell whether it is held now."""
        self.looks += 1
        return self.looks % 2 == 1

    async def release(self) -> None:
        """Let it go."""
        self.released = True


def test_steps_run_while_the_lock_is_held(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.001)
    lock, done = Lock(), []

    async def main() -> None:
        stopping = asyncio.Event()

        async def fails() -> Any:
            done.append("fails")
            raise DatabaseUnavailable()

        async def works() -> None:
            done.append("works")
            if len(done) == 4:
                stopping.set()

        with caplog.at_level(logging.INFO):
            steps = {"first": fails, "second": works}
            await keep_house(cast(Leadership, lock), steps, stopping)

    asyncio.run(main())
    assert done == ["fails", "works"] * 2
    assert (lock.looks, lock.released) == (3, True)
    assert [record.getMessage() for record in caplog.records] == ["Housekeeping: first failed"] * 2
