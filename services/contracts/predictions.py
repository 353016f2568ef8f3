"""Online predictions: our own forms, MLflow's scoring protocol, the Open Inference Protocol."""

from typing import Any, Self

from pydantic import Field, model_validator

from servicekit.wire import AnswerModel, RequestModel

MOST_ROWS = 100_000


class PredictRequest(RequestModel):
    """Rows to predict, in exactly one of three forms."""

    data: list[list[Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_ROWS,
        description="Rows of values in the order of the model's columns",
        examples=[[[5.1, 3.5, 1.4, 0.2]]],
    )
    features: list[Any] | None = Field(
        default=None,
        min_length=1,
        max_length=100_000,
        description="One row of values in the order of the model's columns",
        examples=[[5.1, 3.5, 1.4, 0.2]],
    )
    records: list[dict[str, Any]] | dict[str, Any] | None = Field(
        default=None,
        description="One row or several, each an object of column name and value",
        examples=[[{"alcohol": 13.2}]],
    )
    routing_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="Requests with the same key go to the same slot while the split stands; the "
        "header X-Routing-Key does the same",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [self.data, self.features, self.records]
        if sum(form is not None for form in forms) != 1:
            raise ValueError('give exactly one of "data", "features" and "records"')
        if isinstance(self.records, list) and len(self.records) > MOST_ROWS:
            raise ValueError(f"records: at most {MOST_ROWS} rows at once")
        return self


class SmokeAnswer(AnswerModel):
    """A constant, for smoke tests."""

    y_pred: int = 2


class PredictionsAnswer(AnswerModel):
    """The answer to `data` and `records`."""

    predictions: list[Any] = Field(description="One class or number per row")
    model_used: str = Field(description="The slot that answered: current or next")
    prediction_names: list[str] | None = Field(description="What people call the classes")
    probabilities: list[list[float]] | None = Field(
        description="Per row, in the order of class_names; null where the model has none"
    )
    class_names: list[str]
    registered_model_name: str
    model_version: str
    request_id: str = Field(description="Labels are given by it, and the history shows it")
    logged: bool = Field(description="Whether the prediction is in the log")


class PredictionAnswer(AnswerModel):
    """The answer to `features`: one row."""

    prediction: Any
    prediction_name: str | None
    confidence: float | None = Field(description="The largest probability, 0 to 1")
    probabilities: list[float] | None
    model_used: str
    class_names: list[str]
    registered_model_name: str
    model_version: str
    request_id: str
    logged: bool


class DataframeSplit(RequestModel):
    """pandas' `split` orientation."""

    data: list[list[Any]] = Field(min_length=1, max_length=MOST_ROWS)
    columns: list[str] | None = None
    index: list[Any] | None = None


class InvocationsRequest(RequestModel):
    """MLflow's scoring protocol: rows in exactly one of four forms."""

    dataframe_split: DataframeSplit | None = None
    dataframe_records: list[dict[str, Any]] | None = Field(
        default=None, min_length=1, max_length=MOST_ROWS
    )
    instances: list[Any] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_ROWS,
        description="TensorFlow Serving's row form: a list of rows or of objects",
    )
    inputs: list[Any] | dict[str, Any] | None = Field(
        default=None,
        description="TensorFlow Serving's column form: column name to its values; or rows",
    )
    params: dict[str, Any] | None = Field(
        default=None, max_length=0, description="These models take no parameters"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [self.dataframe_split, self.dataframe_records, self.instances, self.inputs]
        if sum(form is not None for form in forms) != 1:
            raise ValueError(
                'give exactly one of "dataframe_split", "dataframe_records", "instances" '
                'and "inputs"'
            )
        return self


class V2Tensor(RequestModel):
    """One input of the Open Inference Protocol."""

    name: str = Field(min_length=1, max_length=1_000)
    shape: list[int] = Field(min_length=1, max_length=2)
    datatype: str = Field(examples=["FP64"])
    data: list[Any]
    parameters: dict[str, Any] | None = None


class V2OutputRequest(RequestModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class V2InferRequest(RequestModel):
    """An inference request of the Open Inference Protocol, version 2."""

    id: str | None = Field(default=None, min_length=1, max_length=128)
    inputs: list[V2Tensor] = Field(min_length=1, max_length=10_000)
    outputs: list[V2OutputRequest] | None = None
    parameters: dict[str, Any] | None = None


class V2OutputTensor(AnswerModel):
    """One output."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class V2InferAnswer(AnswerModel):
    """What was predicted."""

    model_name: str
    model_version: str
    id: str
    outputs: list[V2OutputTensor]
    parameters: dict[str, Any]


class V2MetadataTensor(AnswerModel):
    """What an input or output looks like; -1: any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class V2ModelAnswer(AnswerModel):
    """A model of the slots."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[V2MetadataTensor]
    outputs: list[V2MetadataTensor]


class V2ServerAnswer(AnswerModel):
    """The server."""

    name: str = "cellar"
    version: str
    extensions: list[str]


class V2LiveAnswer(AnswerModel):
    """The server is alive."""

    live: bool = True


class V2ReadyAnswer(AnswerModel):
    """A server or model is ready."""

    ready: bool = True
    name: str | None = None
