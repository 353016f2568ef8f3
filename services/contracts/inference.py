"""Batch predictions with a drift check, and the evaluation of a model version."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from contracts.drift import DriftAnswer, ModelVersionNumber, Rows
from contracts.vocabulary import DATASET_NAME_PATTERN, SetName
from servicekit.wire import AnswerModel, RequestModel

VERSION_DEFAULT = "Default: the one that serves now if it is of this name, else the newest"


class _OfVersion(RequestModel):
    registered_model_name: str | None = Field(
        default=None, min_length=1, max_length=500, description="Default: the model that serves"
    )
    model_version: ModelVersionNumber | None = Field(default=None, description=VERSION_DEFAULT)

    @model_validator(mode="after")
    def _name_with_version(self) -> Self:
        if self.model_version is not None and self.registered_model_name is None:
            raise ValueError("model_version needs registered_model_name.")
        return self


class InferenceRequest(_OfVersion):
    """Rows to predict."""

    data: Rows


class DriftOutcome(AnswerModel):
    """What monitoring said of the rows.

    `unavailable`: it does not answer; `not_checked`: it had nothing to compare with, or refused.
    """

    status: Literal["drift", "no_drift", "too_few_rows", "unavailable", "not_checked"]
    drift: bool | None = Field(description="Null where there was no check")
    message: str
    check: DriftAnswer | None


class InferenceAnswer(AnswerModel):
    """The predictions, in the order of the rows; all are stored with name and version."""

    status: str = "success"
    predictions: list[Any] = Field(description="A class or a number per row")
    prediction_names: list[str] | None = Field(
        description="What people call the classes; null for a regression"
    )
    probabilities: list[list[float]] | None = Field(
        description="Per row, in the order of `classes`; null where the model has none"
    )
    classes: list[Any]
    class_names: list[str]
    registered_model_name: str
    model_version: str
    rows: int
    drift: DriftOutcome
    request_id: str
    run_id: str | None
    run_name: str
    notes: list[str] = Field(description="E.g. why the MLflow run is missing or incomplete")


class EvaluateRequest(_OfVersion):
    """Labelled rows, or a stored set, to measure a version on."""

    data: Rows | None = None
    target: list[Any] | None = Field(
        default=None,
        min_length=1,
        description="The true class of each row, as the model gives it or by its name; numbers for "
        "a regression; null is unknown",
    )
    dataset_name: str | None = Field(
        default=None,
        pattern=DATASET_NAME_PATTERN,
        description="Instead of rows: the dataset of which a set is taken",
    )
    dataset_version: int | None = Field(default=None, ge=1, lt=2**31)
    dataset: SetName | None = Field(default=None, description="Default: testing")

    @model_validator(mode="after")
    def _rows_or_dataset(self) -> Self:
        if (self.data is None) == (self.dataset_name is None):
            raise ValueError("Send either data with target, or dataset_name.")
        if (self.data is None) != (self.target is None):
            raise ValueError("data and target go together.")
        if self.data is not None and self.target is not None:
            if len(self.data) != len(self.target):
                raise ValueError(
                    f"data has {len(self.data)} rows and target {len(self.target)} values."
                )
            if self.dataset is not None or self.dataset_version is not None:
                raise ValueError("dataset and dataset_version belong to dataset_name.")
        return self


class EvaluateAnswer(AnswerModel):
    """How well a version predicts these rows."""

    status: str = "success"
    metrics: dict[str, float] = Field(
        description="Of classes: accuracy; f1_score, precision and recall weighted by the classes' "
        "rows; log_loss and roc_auc where the model gives probabilities. Of numbers: mae, rmse, r2"
    )
    rows: int = Field(description="Rows with a label; others are left out")
    task: str
    registered_model_name: str
    model_version: str
    dataset_name: str | None
    dataset_version: int | None
    dataset: SetName | None
    run_id: str | None
    run_name: str
    notes: list[str]
