"""The slots of the ML service, their ledger and the versions that can serve."""

from typing import Any

from pydantic import Field

from contracts.times import IsoTime
from servicekit.wire import AnswerModel, RequestModel


class RunningAnswer(AnswerModel):
    """The service runs; what its slots hold."""

    status: str = "Cellar ML model service running"
    canary_probability: float = Field(description="Share of the requests that current answers")
    current_model_loaded: bool
    next_model_loaded: bool


class UpdateModelRequest(RequestModel):
    """Which model goes into the slot `next`."""

    model_uri: str = Field(
        min_length=1,
        max_length=1_000,
        description="`models:/<name>/<version>`, `models:/<name>@<alias>`, "
        "`models:/<name>/latest` or `runs:/<run id>/<path>`",
        examples=["models:/tracking-quickstart/2"],
    )


class UpdateModelAnswer(AnswerModel):
    """The model is in `next`."""

    status: str = Field(examples=["Next model updated from models:/tracking-quickstart/2"])
    canary_probability: float
    registered_model_name: str
    model_version: str


class AcceptNextAnswer(AnswerModel):
    """Both slots hold the model that was in `next`."""

    status: str = "Next model promoted to current. Both slots now use the same model."
    current_model_loaded: bool = True
    next_model_loaded: bool = True


class CanaryProbabilityRequest(RequestModel):
    """How requests are shared between the slots."""

    probability: float = Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the requests that current answers",
        examples=[0.7],
    )


class CanaryProbabilityAnswer(AnswerModel):
    """How requests are shared from now on."""

    status: str = "Canary probability updated"
    canary_probability: float
    current_model_percentage: str = Field(examples=["70.0%"])
    next_model_percentage: str = Field(examples=["30.0%"])


class ShadowRequest(RequestModel):
    """Whether `next` answers the requests of `current` too, unseen."""

    shadow: bool = Field(examples=[True])


class RollbackRequest(RequestModel):
    """Which state is to serve again."""

    deployment_id: int | None = Field(
        default=None,
        ge=1,
        lt=2**63,
        description="An entry of the ledger; without it, the state before the last change",
        examples=[3],
    )


class SlotsQuery(RequestModel):
    """How far back the figures look."""

    window_s: int = Field(default=300, ge=1, le=86_400)


class LatencyAnswer(AnswerModel):
    """Milliseconds from the request's arrival to its answer; null before the first answer."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class NamedModel(AnswerModel):
    """A model version."""

    registered_model_name: str = Field(description="Its URI where it is not registered")
    model_version: str = Field(description="0 where it is not registered")
    model_uri: str


class SlotModel(NamedModel):
    """The model of a slot and how it has done in the window."""

    runtime: str | None = Field(
        description="What predicts: `onnx` or `sklearn`; null before it is prepared for serving"
    )
    parity: dict[str, Any] | None = Field(description="The comparison of ONNX with scikit-learn")
    requests: int
    errors: int
    error_rate: float | None
    latency_ms: LatencyAnswer


class SlotsAnswer(AnswerModel):
    """Both slots, the share between them, and the newest ledger entry."""

    current: SlotModel | None
    next: SlotModel | None
    canary_probability: float
    shadow: bool
    agreement: float | None = Field(description="Share of compared rows in which both agree")
    compared: int = Field(description="Rows that both versions answered, one of them unseen")
    deployment_id: int | None
    window_s: int = Field(description="How far back, at most the newest 50,000 logged rows")


class ServingStateAnswer(AnswerModel):
    """What serves after an entry of the ledger."""

    current: NamedModel | None
    next: NamedModel | None
    canary_probability: float
    shadow: bool


class ChangedStateAnswer(AnswerModel):
    """What serves now, and the newest entry of the ledger."""

    deployment_id: int | None
    state: ServingStateAnswer


class LedgerItem(AnswerModel):
    """One entry of the ledger."""

    deployment_id: int
    slot: str = Field(description="What changed: `current`, `next` or `split`")
    action: str
    actor: str = Field(description="Who: `api`, a roll-out, a retraining")
    reason: str
    request_id: str
    created_at: str
    state: ServingStateAnswer


class DeploymentsQuery(RequestModel):
    """Which entries: a page of them, or the one that held at a time."""

    limit: int = Field(default=50, ge=1, le=1_000)
    cursor: int | None = Field(
        default=None, ge=1, lt=2**63, description="`next_cursor` from before"
    )
    at: IsoTime | None = Field(
        default=None, description="What served at this time (ISO 8601 with a zone)"
    )


class DeploymentsAnswer(AnswerModel):
    """Entries of the ledger, the newest first; with `at`, what served then and since when."""

    deployments: list[LedgerItem]
    count: int
    next_cursor: str | None = Field(description="Pass it on for the entries before these")
    at: str | None = None
    state: ServingStateAnswer | None = None


class VersionItem(NamedModel):
    """A model version that the service knows."""

    model_name: str
    hyperparameters: dict[str, Any]
    training_run_id: str
    dataset_name: str | None
    dataset_version: int | None
    drift_sample_id: str | None
    runtime: str | None = Field(description="Null until it is prepared for serving")
    task: str | None
    inputs: list[str] | None = Field(description="Its columns in their order")
    class_names: list[str] | None
    parity: dict[str, Any] | None
    in_use: list[str] = Field(description="Where it cannot be done without, e.g. `slot current`")
    created_at: str


class VersionsQuery(RequestModel):
    """Which versions."""

    limit: int = Field(default=100, ge=1, le=1_000)
    registered_model_name: str | None = None


class VersionsAnswer(AnswerModel):
    """The versions, the newest first."""

    versions: list[VersionItem]
    count: int
