"""What the ML service takes and answers; tracking's `setting` sends `SetModelRequest`."""

from typing import Any, Self

from pydantic import Field, model_validator

from contracts.vocabulary import DATASET_NAME_PATTERN, DEFAULT_DATASET, SetName, Task
from servicekit.wire import AnswerModel, RequestModel


class SetModelRequest(RequestModel):
    """Which model is trained next, with which hyperparameters."""

    model_name: str = Field(min_length=1, max_length=100, examples=["RandomForest"])
    hyperparameters: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="The estimator's own names and values; what is missing takes its default",
        examples=[{"n_estimators": 100, "max_depth": None}],
    )
    run_id: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{32}$",
        description="The MLflow run these values were found in; kept with the trained version",
    )


class SetModelAnswer(AnswerModel):
    """The model is set."""

    message: str = "Model successfully uploaded"
    model_name: str
    hyperparameters: dict[str, Any]
    run_id: str | None = None


class MLRequest(RequestModel):
    """Which set to score; `training` fits the model that is set, then scores it."""

    dataset: SetName
    dataset_name: str = Field(default=DEFAULT_DATASET, pattern=DATASET_NAME_PATTERN)
    dataset_version: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="Default: the version the model is trained on; for training, the newest",
    )
    wait: bool = Field(
        default=True,
        description="false: answer 202 at once with the job that scores; not for training",
    )

    @model_validator(mode="after")
    def _waits_for_training(self) -> Self:
        if self.dataset == "training" and not self.wait:
            raise ValueError("wait is for testing and production; POST /train trains as a job.")
        return self


class MLAnswer(AnswerModel):
    """A set was scored and each row's prediction stored."""

    message: str = Field(examples=["Score on training set: 98.11320754716981%"])
    score: float = Field(
        le=1,
        description="Accuracy on the set, 0 to 1; of a regression r2, below 0 where the mean would "
        "do better",
    )
    model_name: str
    registered_model_name: str
    model_version: str
    dataset_name: str
    dataset_version: int
    rows: int
    task: Task
    metrics: dict[str, float] = Field(
        description="`accuracy`; of a regression `r2`, `mae`, `rmse`, `median_absolute_error` and, "
        "where the target is never 0, `mape`. A set that was scored as a job has `f1_score`, "
        "`precision` and `recall` beside the accuracy, weighted by the classes' rows"
    )
    rows_fitted: int | None = Field(
        default=None, description="Of a training: the labelled rows that the model was fitted to"
    )
    rows_in_set: int | None = Field(
        default=None, description="Of a training: all rows of the set, which were scored"
    )
    notes: list[str] = Field(default=[], description="Says where the fit was to a sample")


class MLStateAnswer(AnswerModel):
    """The model of the `current` slot; every value is null before one is set or trained."""

    name: str | None
    message: str = "ML model"
    hyperparameters: dict[str, Any] | None = None
    run_id: str | None = Field(default=None, description="The run the hyperparameters come from")
    trained: bool = False
    registered_model_name: str | None = None
    model_version: str | None = None
    dataset_name: str | None = None
    dataset_version: int | None = None
