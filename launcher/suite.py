"""What can be done with the suite, with containers or without."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from launcher.errors import LaunchError
from launcher.places import Places
from launcher.suite_settings import SuiteSettings


@dataclass(frozen=True)
class Row:
    """A line of `status`."""

    program: str
    state: str
    address: str
    version: str

    @property
    def is_up(self) -> bool:
        """Whether it does its work."""
        return self.state == "ready"


class Suite(Protocol):
    """The suite run in one of the two ways."""

    settings: SuiteSettings
    places: Places
    kind: str

    def is_running(self) -> bool:
        """Tell whether anything of it runs."""

    def up(self) -> None:
        """Start what does not run; return when all is ready. Does nothing when all is."""

    def down(self, *, volumes: bool = False) -> None:
        """Stop everything; `volumes` removes what was stored as well."""

    def follow_logs(self, program: str | None, *, lines: int, follow: bool) -> None:
        """Print the last `lines` of one program's log or of all, and go on when `follow`."""

    def status(self) -> list[Row]:
        """Return one line for each program."""

    def lack_of_jobs(self, program: str) -> str:
        """Return "" when a program that runs jobs does, else what it lacks."""

    def postgres_version(self) -> str:
        """Return the version of the running database server, "" when it does not answer."""


@contextmanager
def one_at_a_time(places: Places) -> Iterator[None]:
    """Keep a second `up` or `down` of the same suite out until the block is done."""
    places.state.mkdir(parents=True, exist_ok=True)
    with (places.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError(
                "Another ./launch.sh is starting or stopping this suite.",
                "Wait until it is done, then try again.",
            ) from None
        yield
