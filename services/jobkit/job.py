"""A job: work that runs in the background, what was asked and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

RunsEnd = Literal["FAILED", "KILLED"]
"""How the open runs of an attempt end in MLflow that did not end well itself."""

UNFINISHED: tuple[JobState, ...] = ("queued", "running")

MOST_ATTEMPTS = 3
"""How often a job is begun at most, when its process or its program ends under it."""


@dataclass(frozen=True)
class Job:
    """A row of `jobs`.

    `request` is what was asked; its rows (`data`, `target`) are there only for whoever runs the
    job, and dropped when it has finished. `progress` goes from 0 to 1, `message` says in words
    where it is, `reason` why it failed. `attempts` counts how often it was begun.
    """

    id: int
    kind: str
    state: JobState
    dataset_name: str | None
    request: Mapping[str, Any]
    result: Mapping[str, Any] | None
    progress: float
    message: str
    reason: str | None
    cancel_requested: bool
    attempts: int
    request_id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in UNFINISHED


@dataclass(frozen=True)
class UntidyJob:
    """An ended job that has left something in MLflow, whose open runs are to end as `runs_end`."""

    id: int
    runs_end: RunsEnd
    succeeded: bool
