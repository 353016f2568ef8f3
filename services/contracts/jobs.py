"""Jobs on the wire."""

from typing import Any, Literal

from pydantic import Field

from servicekit.wire import AnswerModel, RequestModel

TrainingKindName = Literal["train", "retrain"]
JobKindName = Literal["train", "retrain", "search"]
JobStateName = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobAnswer(AnswerModel):
    """A job: what was asked, how far it is, what came of it."""

    id: int
    kind: JobKindName
    state: JobStateName
    dataset_name: str | None
    request: dict[str, Any] = Field(description="What was asked; rows are left out")
    result: dict[str, Any] | None
    progress: float = Field(ge=0, le=1)
    message: str = Field(description="Where it is, in words")
    reason: str | None = Field(description="Why it failed")
    cancel_requested: bool
    attempts: int = Field(description="How often it was begun")
    request_id: str
    created_at: str
    started_at: str | None
    finished_at: str | None


class SearchJobsQuery(RequestModel):
    """Which searches to list."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: int | None = Field(
        default=None, ge=1, lt=2**63, description="`next_cursor` of the page before"
    )
    state: JobStateName | None = None
    dataset_name: str | None = Field(default=None, max_length=100)


class JobsQuery(SearchJobsQuery):
    """Which jobs to list."""

    kind: TrainingKindName | None = None


class JobsAnswer(AnswerModel):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    count: int
    next_cursor: int | None = Field(description="Where the next page begins; null on the last")
