"""The base of every wire type: requests refuse what they do not know, answers are plain values."""

from pydantic import BaseModel, ConfigDict, Field


class RequestModel(BaseModel):
    """A request body or query. Unknown keys and values of the wrong JSON type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class AnswerModel(BaseModel):
    """An answer. Keys may be added over time, never taken away."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ErrorDetail(AnswerModel):
    """One bad field of a refused request."""

    path: str = Field(description="Where the value stands in the request, e.g. `hyperparameters.C`")
    problem: str


class ErrorAnswer(AnswerModel):
    """The one shape of every error."""

    error: str = Field(description="The short cause")
    message: str = Field(description="What to do about it")
    details: list[ErrorDetail] | None = Field(
        default=None, description="One entry per bad field, where validation failed"
    )


class HealthAnswer(AnswerModel):
    """The process is up."""

    status: str
    timestamp: str
    service: str
    version: str
    uptime_s: float


class ReadyAnswer(AnswerModel):
    """Everything this service needs answers; the names of the checks and how each went."""

    status: str
    timestamp: str
    service: str
    checks: dict[str, str]


class NotReadyAnswer(AnswerModel):
    """At least one check failed; `message` names which."""

    error: str
    message: str
    status: str
    checks: dict[str, str]
