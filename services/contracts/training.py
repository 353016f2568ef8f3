"""Training over REST: rows or a stored dataset, the online loop."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from contracts.jobs import JobAnswer
from contracts.vocabulary import DATASET_NAME_PATTERN
from servicekit.wire import AnswerModel, ErrorDetail, RequestModel

MODEL_NAME_PATTERN = r"^[^/:\x00-\x1f]*[^/:\x00-\x1f\s][^/:\x00-\x1f]*$"
"""MLflow takes neither / nor : in the name of a registered model, nor a name of blanks."""


ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


class TrainRequest(RequestModel):
    """What to train, on the rows given here or on a stored training set."""

    data: list[Any] | None = Field(
        default=None,
        min_length=1,
        description="Rows: lists of values, or objects by column. Of a column "
        "all numbers, true/false, text, or ISO dates and times; null where a value is missing",
    )
    target: list[Any] | None = Field(
        default=None,
        min_length=1,
        description="Of each row the class, a whole number or text; a number for a regression",
    )
    columns: list[ColumnName] | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="Names; default those of the first object, else x0, x1, ...",
    )
    dataset_name: str | None = Field(
        default=None,
        pattern=DATASET_NAME_PATTERN,
        description="Instead of rows: the dataset whose training set is taken",
    )
    dataset_version: int | None = Field(default=None, ge=1, lt=2**31)
    model_name: str = Field(default="RandomForest", min_length=1, max_length=100)
    hyperparameters: dict[str, Any] = Field(default_factory=dict, max_length=100)
    registered_model_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=MODEL_NAME_PATTERN,
        description="Default: the model's name",
    )

    @model_validator(mode="after")
    def _rows_or_dataset(self) -> Self:
        if (self.data is None) == (self.dataset_name is None):
            raise ValueError("Send either data with target, or dataset_name.")
        if (self.data is None) != (self.target is None):
            raise ValueError("data and target go together.")
        if self.data is None and self.columns is not None:
            raise ValueError("columns name the columns of data; a stored dataset has its own.")
        if self.data is not None and self.dataset_version is not None:
            raise ValueError("dataset_version belongs to dataset_name.")
        return self


class TrainAnswer(AnswerModel):
    """A version was trained and registered."""

    status: str = "success"
    message: str
    run_name: str
    run_id: str
    registered_model_name: str
    model_version: str
    model_uri: str
    drift_sample_id: str
    metrics: dict[str, float] = Field(
        description="On the rows that were held back; training_... on those it was fitted to"
    )
    trained_rows: int
    rows_in_set: int = Field(description="Rows there are, of which so many were trained on")
    notes: list[str] = Field(description="Says where the fit was to a sample")
    drift_sample_rows: int
    job_id: int


class TrainFailedAnswer(AnswerModel):
    """The training failed; the run, if there is one, is FAILED and holds the traceback."""

    status: str = "failed"
    error: str
    message: str
    details: list[ErrorDetail] = Field(default=[], description="What the estimator refuses")
    run_name: str | None = None
    run_id: str | None = None
    job_id: int | None = Field(default=None, description="Null where it was refused before")


class JobStartedAnswer(AnswerModel):
    """Work that goes on in the background."""

    status: str = Field(description="The state of the job: queued, running, ...")
    message: str
    job_id: int
    job: JobAnswer


class AddTrainingDataRequest(RequestModel):
    """One labelled row."""

    features: list[Any] = Field(
        min_length=1, max_length=10_000, description="In the order of the dataset's columns"
    )
    target: Any = Field(
        description="A class of the dataset, or what it is called; of a regression a number"
    )
    dataset_name: str | None = Field(
        default=None,
        pattern=DATASET_NAME_PATTERN,
        description="Default: that of the version that serves, else iris",
    )


class AddTrainingDataAnswer(AnswerModel):
    """The row is stored."""

    status: str = "stored"
    message: str
    id: int
    dataset_name: str
    new_rows: int = Field(description="Rows that no retraining has taken yet")
    threshold: int
    missing: int = Field(description="Rows that are missing until a retraining begins by itself")
    retraining_started: bool
    job_id: int | None = Field(description="The retraining that waits or runs")
    job: JobAnswer | None


class DatasetRowsAnswer(AnswerModel):
    """The rows of one dataset that came in online."""

    dataset_name: str
    new_rows: int = Field(description="Rows that no retraining has taken yet")
    stored_rows: int


class TrainingDataAnswer(AnswerModel):
    """The rows that came in online."""

    datasets: list[DatasetRowsAnswer]
    threshold: int = Field(description="New rows from which on a retraining begins by itself")


class TriggerRetrainRequest(RequestModel):
    """Which dataset's retraining to begin."""

    force_retrain: bool = Field(default=False, description="Also where there are no new rows")
    dataset_name: str | None = Field(default=None, pattern=DATASET_NAME_PATTERN)
