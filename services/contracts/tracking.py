"""What the tracking service takes and answers."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from contracts.vocabulary import DATASET_NAME_PATTERN, DEFAULT_DATASET
from servicekit.wire import AnswerModel, RequestModel

ExperimentId = Annotated[
    str, Field(min_length=1, max_length=100, description="MLflow's id", examples=["1"])
]
RunId = Annotated[str, Field(min_length=1, max_length=100, description="MLflow's id of the run")]


class Distribution(RequestModel):
    """Numbers from `low` to `high`, both included, for strategies that draw candidates."""

    low: int | float = Field(allow_inf_nan=False)
    high: int | float = Field(allow_inf_nan=False)
    log: bool = Field(
        default=False, description="Whether 0.1 to 1 is as likely as 1 to 10; not with `step`"
    )
    step: int | float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Only low, low + step, ..."
    )
    type: Literal["int", "float"] | None = Field(
        default=None, description="Null: int where `low`, `high` and `step` are whole, else float"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("low must be above 0 where log is true")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together")
        numbers = (self.low, self.high, self.step)
        if self.type == "int" and any(isinstance(number, float) for number in numbers):
            raise ValueError("low, high and step of the type int must be whole numbers")
        return self


def _kind_of_choices(value: Any) -> str | None:
    if isinstance(value, Distribution | dict):
        return "distribution"
    return "values" if isinstance(value, list) else None


Choices = Annotated[
    Annotated[list[Any], Field(min_length=1), Tag("values")]
    | Annotated[Distribution, Tag("distribution")],
    Discriminator(
        _kind_of_choices,
        custom_error_type="choices",
        custom_error_message="Input should be a valid list of values, or a distribution",
    ),
]


class Preprocessing(RequestModel):
    """What to try before the model; each list as a hyperparameter of every model."""

    numeric_imputation: list[Literal["median", "mean", "most_frequent"]] | None = Field(
        default=None, min_length=1, description="For missing numbers; median unless searched"
    )
    scaling: list[Literal["standard", "minmax", "robust", "none"]] | None = Field(
        default=None, min_length=1, description="Of numbers; standard unless searched"
    )
    category_imputation: list[Literal["constant", "most_frequent"]] | None = Field(
        default=None,
        min_length=1,
        description="For missing texts; constant, which makes missing a category of its own, unless"
        " searched",
    )
    category_encoding: list[Literal["one_hot", "ordinal"]] | None = Field(
        default=None, min_length=1, description="Of texts; one_hot unless searched"
    )


class OptimizationRequest(RequestModel):
    """A search with cross-validation per model, on the loaded training set."""

    request_information: Literal["optimization"]
    experiment_name: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"\S",
        description="The MLflow experiment; made when there is none of that name",
    )
    experiment_description: str = Field(max_length=5_000)
    experiment_owner: str = Field(max_length=250)
    models: list[str] = Field(min_length=1, max_length=50, examples=[["LogisticRegression"]])
    hyperparameters: dict[str, dict[str, Choices]] = Field(
        description="Per model the grid: the values to try of each hyperparameter, or (not with "
        "the strategy grid) a distribution. A model without a grid is searched with its defaults",
        examples=[{"LogisticRegression": {"C": [0.1, 1], "solver": ["liblinear"]}}],
    )
    scoring: str = Field(max_length=100, description="A scikit-learn scorer", examples=["accuracy"])
    cv: int = Field(
        ge=2, le=1_000, description="Folds; by class at most the smallest class's row count"
    )
    dataset_name: str = Field(default=DEFAULT_DATASET, pattern=DATASET_NAME_PATTERN)
    dataset_version: int | None = Field(default=None, ge=1, lt=2**31)
    strategy: Literal["grid", "random", "halving", "tpe"] = Field(
        default="grid",
        description="grid: every candidate; random: some, drawn; halving: many on few rows, the "
        "best third of them on three times as many, and so on to all rows; tpe: near those that "
        "did well",
    )
    n_candidates: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Candidates per model, where the strategy draws them. Null: 20, of halving "
        "with lists alone all",
    )
    time_budget_s: int | float | None = Field(
        default=None,
        gt=0,
        le=604_800,
        description="Seconds per model, of a job those of all attempts, after which no further "
        "candidate is begun; those that have finished count. Null: no end",
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="Of what is drawn")
    nested_cv: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="Outer folds of a nested cross-validation: in each the whole search is made "
        "again without it, and what it finds is scored on it. Null: none",
    )
    folds: Literal["stratified", "random", "group", "time"] | None = Field(
        default=None,
        description="How rows are cut into folds: stratified, each class in its share; random; "
        "group, no group in two; time, each scored on later rows than it is fitted on. Null: as "
        "the training set was cut",
    )
    preprocessing: Preprocessing | None = Field(
        default=None, examples=[{"scaling": ["standard", "robust"]}]
    )
    calibration: Literal["sigmoid", "isotonic"] | None = Field(
        default=None, description="How probabilities are calibrated, of every candidate"
    )
    wait: bool = Field(
        default=True,
        description="false: answered 202 with a job as soon as everything is checked, and searched "
        "in the background; each candidate is a run below its model's run while the search goes on",
    )


class SettingRequest(RequestModel):
    """Set the model and best hyperparameters of a run in the ML service."""

    request_information: Literal["setting"]
    run_id: RunId


ModelManagementRequest = Annotated[
    OptimizationRequest | SettingRequest, Field(discriminator="request_information")
]


class OfADataset(AnswerModel):
    """Names the dataset whose training set was searched."""

    dataset_name: str | None = Field(
        default=None, description="Null where no search of ours says so", examples=["wine"]
    )
    dataset_version: int | None = Field(default=None, examples=[1])


class OptimizationData(OfADataset):
    """Where the search is found in MLflow, and what was searched."""

    experiment_id: str
    run_ids: dict[str, str] = Field(description="The run of each model")
    notes: list[str] = Field(default=[], description="Says where the search was on a sample")


class OptimizationAnswer(AnswerModel):
    """Every model was searched, logged and registered."""

    message: str = "Experiments retrieved successfully"
    data: OptimizationData


class ExperimentItem(OfADataset):
    """One active experiment, with the dataset of its newest search."""

    experiment_id: str
    name: str
    lifecycle_stage: str
    run_count: int = Field(description="Runs that are not deleted")


class ExperimentsAnswer(AnswerModel):
    """All active experiments, the oldest first."""

    message: str = "Experiments retrieved successfully"
    data: list[ExperimentItem]


class GeneralRequest(RequestModel):
    """What an experiment is and how its runs stand."""

    experiment_id: ExperimentId
    request_information: Literal["general"]
    filter: list[str] | None = Field(default=None, description="Not used here")


class BestModelRequest(RequestModel):
    """The finished run that ranks first."""

    experiment_id: ExperimentId
    request_information: Literal["best_model"]
    filter: list[str] | None = Field(
        default=None,
        max_length=20,
        description="Metrics to rank by: the first decides, the next ones break ties",
        examples=[["model_accuracy", "model_f1_score"]],
    )


class StatisticsRequest(RequestModel):
    """Statistics of the finished runs' metrics."""

    experiment_id: ExperimentId
    request_information: Literal["statistics"]
    filter: list[str] | None = Field(
        default=None, max_length=20, description="Metrics, or `all`", examples=[["all"]]
    )


ExperimentRequest = Annotated[
    GeneralRequest | BestModelRequest | StatisticsRequest,
    Field(discriminator="request_information"),
]


class ExperimentInfo(OfADataset):
    """An experiment, with its newest search's dataset; tags without MLflow's own, times in UTC."""

    experiment_id: str
    experiment_name: str
    artifact_location: str | None
    lifecycle_stage: str
    tags: dict[str, str | None]
    data_creation: str | None = Field(examples=["2024-10-30 20:44:16"])
    last_updated: str | None


class ExperimentRuns(AnswerModel):
    """How an experiment's runs stand; deleted ones do not count. Times are end times in UTC."""

    number_of_runs: int
    completed_runs: int
    failed_runs: int
    active_runs: int
    stopped_runs: int
    first_run_completed: str | None
    last_run_completed: str | None


class GeneralData(AnswerModel):
    """An experiment and its runs."""

    experiment_info: ExperimentInfo
    experiment_runs: ExperimentRuns


class GeneralAnswer(AnswerModel):
    """An experiment and how its runs stand."""

    message: str = "Information Retrieved"
    data: GeneralData


class BestModelData(OfADataset):
    """The run that ranks first and those of the asked metrics that it has."""

    run_id: str
    run_name: str
    model: str | None
    metrics: dict[str, float]


class BestModelAnswer(AnswerModel):
    """The run that ranks first."""

    message: str = "Best model and run retrieved successfully."
    data: BestModelData


class MetricStatistics(AnswerModel):
    """Statistics of one metric over the runs that have it; null where none has.

    Population variance; quartiles by linear interpolation; the mode is the smallest of the most
    frequent values.
    """

    mean: float | None
    median: float | None
    std_dev: float | None
    variance: float | None
    min: float | None
    max: float | None
    mode: float | None
    iqr: float | None


class StatisticsAnswer(AnswerModel):
    """Statistics per metric; `duration` in seconds."""

    message: str = "Statistics Retrieved"
    data: dict[str, MetricStatistics]


class ExperimentQuery(RequestModel):
    """Names an experiment."""

    experiment_id: ExperimentId


class RunQuery(RequestModel):
    """Names a run of an experiment."""

    experiment_id: ExperimentId
    run_id: RunId


class DeletedAnswer(AnswerModel):
    """It is deleted."""

    message: str = Field(examples=["Experiment 1 deleted successfully."])


class RunTags(AnswerModel):
    """What a run is; null for runs that were not made by a search."""

    model_type: str | None
    experiment_type: str | None


class RunItem(OfADataset):
    """One run; times in UTC."""

    run_id: str
    status: str = Field(examples=["FINISHED"])
    start_time: str | None
    end_time: str | None = Field(description="Null while the run is open")
    run_name: str
    tags: RunTags


class RunsAnswer(AnswerModel):
    """The runs of an experiment, the newest first."""

    message: str = "Experiment Runs Retrieved"
    data: list[RunItem]


class ParametersRequest(RequestModel):
    """Parameters of a run."""

    experiment_id: ExperimentId
    run_id: RunId
    request_information: Literal["parameters"]
    type: Literal["data", "grid_search", "model"]


class MetricsRequest(RequestModel):
    """Metrics of a run."""

    experiment_id: ExperimentId
    run_id: RunId
    request_information: Literal["metrics"]
    type: Literal["system", "model"]


RunRequest = Annotated[
    ParametersRequest | MetricsRequest, Field(discriminator="request_information")
]


class RunAnswer(OfADataset):
    """Parameters (text) or metrics (numbers) of a run, without their prefix."""

    message: str = "Parameters Retrieved"
    data: dict[str, str | float]
