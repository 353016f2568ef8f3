"""Guarded roll-outs."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from servicekit.wire import AnswerModel, RequestModel

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class RolloutRequest(RequestModel):
    """Shares of requests that `next` takes, one step after the other, and what it must keep to."""

    steps: list[Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]] = Field(
        default=[0.05, 0.25, 0.5, 1.0],
        min_length=1,
        max_length=100,
        description="Rising shares that next answers; after the last one it becomes current",
    )
    min_requests: int = Field(
        default=100, ge=1, le=1_000_000, description="Requests of next before a step can end"
    )
    max_error_rate: Share = Field(default=0.01, description="Failed requests of next")
    max_latency_ratio: float = Field(
        default=1.5,
        gt=0,
        le=1_000,
        allow_inf_nan=False,
        description="95th percentile of next to that of current",
    )
    max_disagreement: Share = Field(
        default=0.2, description="Rows in which the versions may differ"
    )
    min_accuracy_difference: Annotated[float | None, Field(ge=-1, le=1, allow_inf_nan=False)] = (
        Field(
            default=None,
            description="Accuracy of next less that of current, from labels; null: not looked at",
        )
    )
    min_labels: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Labels that each version must have before a step can end; null: none",
    )
    step_s: float = Field(
        default=0,
        ge=0,
        le=604_800,
        allow_inf_nan=False,
        description="Seconds a step lasts at least",
    )

    @model_validator(mode="after")
    def _steps_rise(self) -> "RolloutRequest":
        if any(
            later <= earlier for earlier, later in zip(self.steps, self.steps[1:], strict=False)
        ):
            raise ValueError("the steps must rise")
        return self


class RolloutModel(AnswerModel):
    """A model version in a roll-out."""

    registered_model_name: str
    model_version: str
    model_uri: str


class DecisionItem(AnswerModel):
    """One decision and the numbers it rests on."""

    decision: str = Field(
        description="start, advance, hold, roll_back, complete, supersede or cancel"
    )
    step: int = Field(description="Number of the step it was made in, from 0")
    next_share: float = Field(description="Share of the requests that next answers from then on")
    reason: str
    numbers: dict[str, Any]
    deployment_id: int | None = Field(description="The ledger entry it made")
    created_at: str


class RolloutAnswer(AnswerModel):
    """A roll-out."""

    rollout_id: int
    state: str = Field(description="running, completed, rolled_back, superseded or cancelled")
    step: int = Field(description="Number of the step, from 0")
    next_share: float = Field(description="Share of the requests that next answers in this step")
    reason: str = Field(description="Of the last decision")
    plan: dict[str, Any]
    current: RolloutModel
    next: RolloutModel
    created_at: str
    step_started_at: str
    finished_at: str | None


class RolloutDetailAnswer(RolloutAnswer):
    """A roll-out and its decisions, the first first."""

    decisions: list[DecisionItem]


class RolloutsQuery(RequestModel):
    """How many."""

    limit: int = Field(default=20, ge=1, le=1_000)


class RolloutsAnswer(AnswerModel):
    """Roll-outs, the newest first."""

    rollouts: list[RolloutAnswer]
    count: int
