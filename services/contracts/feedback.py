"""Labels, what they say of the models, the history of predictions and its figures."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from contracts.times import IsoTime
from servicekit.wire import AnswerModel, RequestModel

RequestId = Annotated[
    str,
    Field(min_length=1, max_length=128, description="`request_id` of the prediction's answer"),
]
Label = Annotated[
    bool | int | float | Annotated[str, Field(min_length=1, max_length=1_000)],
    Field(
        union_mode="left_to_right",
        description="The true class, as the model gives it or by its name; for a regression the "
        "true number",
        examples=[2],
    ),
]
RowNumber = Annotated[
    int, Field(ge=0, lt=2**31, description="Number of the row in the request, from 0")
]


class LabelItem(RequestModel):
    """The truth about one predicted row."""

    request_id: RequestId
    row: RowNumber = 0
    label: Label


class LabelsRequest(RequestModel):
    """One label, or many under `labels`."""

    request_id: RequestId | None = None
    row: RowNumber | None = None
    label: Label | None = None
    labels: list[LabelItem] | None = Field(default=None, min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _one_or_many(self) -> "LabelsRequest":
        single = (self.request_id, self.row, self.label)
        if self.labels is not None:
            if any(value is not None for value in single):
                raise ValueError("give either 'labels' or one 'request_id' with its 'label'")
        elif self.request_id is None or self.label is None:
            raise ValueError("give 'request_id' and 'label', or 'labels'")
        return self

    @property
    def items(self) -> list[LabelItem]:
        """The labels, one or many."""
        if self.labels is not None:
            return self.labels
        return [LabelItem(request_id=self.request_id, row=self.row or 0, label=self.label)]  # type: ignore[arg-type]


class LabelsAnswer(AnswerModel):
    """The labels are stored."""

    message: str = "Labels stored"
    stored: int = Field(description="Labels that are new")
    changed: int = Field(description="Labels that replaced another one")
    unchanged: int = Field(description="Labels that were known already")
    matched: int = Field(description="Of all sent, those whose prediction is in the log by now")


class QualityQuery(RequestModel):
    """Which predictions."""

    window_s: int = Field(
        default=86_400, ge=1, le=31_536_000, description="Length of a window in seconds"
    )
    windows: int = Field(default=30, ge=1, le=1_000, description="How many windows, up to now")
    registered_model_name: str | None = None
    model_version: int | None = Field(default=None, ge=0, lt=2**31)


class QualityFigures(AnswerModel):
    """How right predictions were; null where no label can say."""

    predictions: int
    labelled: int
    accuracy: float | None = Field(description="Share of right classes; classification")
    mean_absolute_error: float | None = Field(description="Regression")
    r2: float | None = Field(
        description="Share of the variance explained; regression with two different labels"
    )


class QualityWindow(QualityFigures):
    """The predictions made from `start` on, before `end`."""

    start: str
    end: str


class VersionQuality(QualityFigures):
    """A version over all the windows and in each that holds a prediction; the newest first."""

    registered_model_name: str
    model_version: str
    shadow: bool = Field(description="Answers of a shadow, which nobody saw")
    windows: list[QualityWindow]


class QualityAnswer(AnswerModel):
    """The versions that predicted."""

    window_s: int
    since: str
    quality: list[VersionQuality]


class HistoryQuery(RequestModel):
    """Which predictions: a page of them."""

    limit: int = Field(default=50, ge=1, le=1_000)
    cursor: int | None = Field(
        default=None, ge=1, lt=2**63, description="`next_cursor` from before"
    )
    registered_model_name: str | None = None
    model_version: int | None = Field(default=None, ge=0, lt=2**31)
    since: IsoTime | None = Field(default=None, description="ISO 8601 with a zone")
    until: IsoTime | None = Field(default=None, description="ISO 8601 with a zone")
    request_id: RequestId | None = None
    shadow: bool = Field(default=False, description="With the answers of the shadow")


class HistoryItem(AnswerModel):
    """One predicted row."""

    id: int
    request_id: str
    row: int
    inputs: dict[str, Any]
    prediction: Any = Field(description="A class or a number; null where it failed")
    prediction_name: str | None
    confidence: float | None = Field(description="Probability of the predicted class")
    probabilities: dict[str, float] | None = Field(description="By class name")
    label: Any = Field(description="The truth, once it is known")
    slot: str
    registered_model_name: str
    model_version: str
    latency_ms: float
    error: str | None
    created_at: str


class HistoryAnswer(AnswerModel):
    """Predictions, the newest first."""

    history: list[HistoryItem]
    count: int
    next_cursor: str | None = Field(description="Pass it on for the predictions before these")


class MetricsQuery(RequestModel):
    """How far back the minutes go."""

    minutes: int = Field(default=60, ge=1, le=1_440)


class VersionUse(AnswerModel):
    """How much a version was used; of all predictions that are kept."""

    requests: int
    predictions: int = Field(description="Rows")
    errors: int = Field(description="Also where the other version then answered")
    average_latency_ms: float | None
    shadow_predictions: int
    accuracy: float | None = Field(description="From labels of the last 24 hours")


class MinuteFigures(AnswerModel):
    """The requests of one minute."""

    minute: str
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None


class MetricsAnswer(AnswerModel):
    """Figures of all predictions that are kept."""

    total_requests: int
    total_predictions: int = Field(description="Rows")
    total_errors: int = Field(description="Requests that no version answered")
    average_latency_ms: float = Field(description="0 before the first answer")
    model_versions: dict[str, VersionUse] = Field(description="By `<name>/<version>`")
    predictions_by_class: dict[str, int] = Field(description="Of the last 24 hours")
    retrainings: int
    per_minute: list[MinuteFigures]
