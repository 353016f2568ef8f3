"""The wire types of the monitoring service."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contracts.vocabulary import DATASET_NAME_PATTERN, DEFAULT_DATASET
from servicekit.wire import AnswerModel, RequestModel

TestName = Literal[
    "data_drift",
    "data_quality",
    "data_stability",
    "no_target_performance",
    "multi_class_classification",
]
TEST_NAMES: tuple[TestName, ...] = (
    "data_drift",
    "data_quality",
    "data_stability",
    "no_target_performance",
    "multi_class_classification",
)

Metric = Literal["report", "tests", "summary", "verdict"]
Format = Literal["json", "html"]


class _AnyQuestion(RequestModel):
    dataset_name: str = Field(default=DEFAULT_DATASET, pattern=DATASET_NAME_PATTERN)
    dataset_version: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="The newest version if left out"
    )


class _Question(_AnyQuestion):
    tests: dict[TestName, bool] | None = Field(
        default=None,
        description="The test presets to run; none named means all five. No effect on a report.",
        examples=[{"data_drift": True, "data_quality": True}],
    )


class ReportQuestion(_Question):
    """Evidently's report on the scored production set against the scored testing set."""

    metric: Literal["report"]
    format: Format = "json"


class TestsQuestion(_Question):
    """The outcome of every test of the chosen presets."""

    metric: Literal["tests"]
    format: Format = "json"


class SummaryQuestion(_Question):
    """The counts of the chosen presets' outcomes, with the verdict."""

    metric: Literal["summary"]


class VerdictQuestion(_AnyQuestion):
    """The verdict of the retraining rule alone, without Evidently; if asked for, by window."""

    metric: Literal["verdict"]
    windows: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="Judge the production set in so many consecutive parts as well: in the order "
        "of the dataset's time column, else as the rows are stored",
    )
    format: Literal["json", "svg"] = Field(
        default="json", description="`svg`: the windows as a picture"
    )

    @model_validator(mode="after")
    def _picture_of_windows(self) -> "VerdictQuestion":
        if self.format == "svg" and self.windows is None:
            raise ValueError("the picture is one of windows: say how many `windows`")
        return self


MonitoringRequest = Annotated[
    ReportQuestion | TestsQuestion | SummaryQuestion | VerdictQuestion,
    Field(discriminator="metric"),
]


class NameAnswer(AnswerModel):
    """Who answers here, and what the newest verdict is of; null before the first."""

    name: str
    message: str
    dataset_name: str | None = None
    dataset_version: int | None = None
    registered_model_name: str | None = None
    model_version: str | None = None


class SignalAnswer(AnswerModel):
    """One thing the retraining rule looks at."""

    name: str
    fired: bool = Field(description="It asks for retraining")
    value: float | None = Field(description="Its size; null where the data cannot say")
    limit: float = Field(description="The size from which on it can fire")
    p_value: float | None = Field(description="Probability of such data if nothing had changed")
    statement: str
    columns: list[str] = Field(description="The features concerned")


class MonitoringAnswer(AnswerModel):
    """Evidently's result and the verdict of the retraining rule."""

    message: dict[str, Any] = Field(
        description="Evidently's result: `metrics` of a report; `tests` and `summary` of the "
        "tests; the counts and the verdict of a summary; of a verdict itself and its reasons"
    )
    retraining_needed: bool
    reasons: list[str] = Field(description="One sentence for each signal that asks for retraining")
    signals: list[SignalAnswer]
    notes: list[str] = Field(
        description="What had to be left out of Evidently's result, and why; of long sets, what "
        "was counted and what was sampled"
    )
    model: str = Field(description="Name and version of the model that was judged")
    dataset_name: str
    dataset_version: int
    created_at: str = Field(description="When this result was computed; it may come from the store")


class SummaryAnswer(MonitoringAnswer):
    """The outcome of the chosen presets; it stands in `message` and beside it."""

    all_passed: bool
    total_tests: int
    success_tests: int
    failed_tests: int
    by_status: dict[str, int] = Field(
        description="Evidently's statuses: SUCCESS, WARNING, FAIL, ERROR, SKIPPED"
    )


class WindowAnswer(AnswerModel):
    """One of the consecutive parts of the production set, judged against the testing set."""

    number: int = Field(description="From 1 on")
    rows: int
    first: str | None = Field(description="Time of its first row; null without a time column")
    last: str | None = Field(description="Time of its last row")
    retraining_needed: bool | None = Field(description="Null: too few rows to be judged")
    reasons: list[str]
    drifted_share: float | None = Field(description="Share of the features that drifted, 0 to 1")
    drifted_features: list[str]
    missing_share: float | None = Field(description="Share of the features' cells without a value")
    accuracy: float | None = Field(description="0 to 1; null for a regression or without labels")
    mean_absolute_error: float | None = Field(description="Of a regression")
    signals: list[SignalAnswer]


class WindowsAnswer(MonitoringAnswer):
    """The verdict on the whole production set, and on each of its windows."""

    windows: list[WindowAnswer]
    first_alarm: int | None = Field(
        description="Number of the first window that asks for retraining; null if none does"
    )


class VerdictsQuery(RequestModel):
    """Which verdicts to list."""

    limit: int = Field(default=20, ge=1, le=1000)
    cursor: int | None = Field(
        default=None, ge=1, lt=2**63, description="`next_cursor` of the answer before"
    )


class VerdictItem(AnswerModel):
    """What the retraining rule said, of which model version and dataset, and when."""

    id: int
    created_at: str
    metric: Metric = Field(description="The question it was given with")
    retraining_needed: bool
    reasons: list[str] = Field(description="One sentence for each signal that asks for retraining")
    signals: list[SignalAnswer]
    notes: list[str] = Field(description="What had to be left out of Evidently's result, and why")
    registered_model_name: str
    model_version: str
    dataset_name: str
    dataset_version: int


class VerdictsAnswer(AnswerModel):
    """The time line, newest first."""

    verdicts: list[VerdictItem]
    count: int = Field(description="Verdicts in this answer")
    next_cursor: int | None = Field(description="Where to go on; null at the end")


class EventsQuery(RequestModel):
    """How long to listen."""

    max_s: float | None = Field(
        default=None,
        ge=0,
        description="End the stream after so many seconds; 0 gives the state once",
    )


class SectionAnswer(AnswerModel):
    """One part of the live page's state."""

    data: Any = Field(description="The newest answer of the call behind it; null before the first")
    error: str | None = Field(description="Why the newest call failed; null when it did not")
    at: str | None = Field(description="When `data` was answered (ISO 8601, UTC)")


class DashboardStateAnswer(AnswerModel):
    """What the live page shows."""

    ml_model_port: int = Field(description="Port at which a browser reaches the ML service")
    tracking_port: int = Field(description="The same of tracking")
    mlflow_port: int = Field(description="The same of MLflow's pages")
    sections: dict[str, SectionAnswer]


class SlotAction(RequestModel):
    """A button that the ML service's own call of the same name stands behind."""

    action: Literal[
        "set_canary_probability",
        "update_next",
        "accept_next",
        "set_shadow",
        "rollback",
        "start_rollout",
        "trigger_retrain",
    ]
    body: dict[str, Any] = Field(
        default_factory=dict, description="What that call takes; checked by the ML service"
    )


class OneAction(RequestModel):
    """A button that ends one roll-out, one job or one search."""

    action: Literal["cancel_rollout", "cancel_job", "cancel_search"]
    id: int = Field(ge=1, lt=2**63, description="Of the roll-out, the job or the search")


DashboardAction = Annotated[SlotAction | OneAction, Field(discriminator="action")]
