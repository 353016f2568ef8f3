"""The values tracking works with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from schema.fit_rows import SEED

MODEL_METRICS = ("model_accuracy", "model_f1_score", "model_precision", "model_recall")
SYSTEM_METRICS = ("system_cpu_usage", "system_execution_time")
ERROR_METRICS = ("model_mae", "model_rmse", "model_mape")
REGRESSION_METRICS = ("model_r2", *ERROR_METRICS)
NESTED_MEAN = "model_nested_cv_mean"
NESTED_STD = "model_nested_cv_std"
NESTED_METRICS = (NESTED_MEAN, NESTED_STD)
"""Of the search's own scoring, which is higher where it is better, over the outer folds."""
METRICS = (*MODEL_METRICS, *SYSTEM_METRICS, *REGRESSION_METRICS, *NESTED_METRICS)
LOWER_IS_BETTER = frozenset({*SYSTEM_METRICS, *ERROR_METRICS, NESTED_STD})

MODEL_TAG = "model_type"
KIND_TAG = "experiment_type"
SEARCH_KINDS: Mapping[str, str] = {
    "grid": "GridSearch_CrossValidation",
    "random": "RandomSearch_CrossValidation",
    "halving": "HalvingSearch_CrossValidation",
    "tpe": "TPESearch_CrossValidation",
}
SEARCH_NAMES: Mapping[str, str] = {
    "grid": "Grid_Search_Opt and CV_Performance",
    "random": "Random_Search_Opt and CV_Performance",
    "halving": "Halving_Search_Opt and CV_Performance",
    "tpe": "TPE_Search_Opt and CV_Performance",
}
"""By strategy what a run says that it is, and, behind the model's name, how it is called."""
HYPERPARAMETERS_TAG = "cellar.hyperparameters"
"""The best candidate as typed JSON; MLflow's params are text."""
DATASET_NAME_TAG = "cellar.dataset_name"
DATASET_VERSION_TAG = "cellar.dataset_version"
SEARCH_TAG = "cellar.search_id"
CANDIDATE_TAG = "cellar.candidate"
"""A run with it is one candidate of a search, and no run of its experiment in any list of ours."""
PARENT_TAG = "mlflow.parentRunId"
FAILURE_TAG = "cellar.failure_reason"

Strategy = Literal["grid", "random", "halving", "tpe"]
FoldKind = Literal["stratified", "random", "group", "time"]

FINISHED = "FINISHED"
OPEN_STATES = frozenset({"RUNNING", "SCHEDULED"})


@dataclass(frozen=True)
class Experiment:
    """An experiment of MLflow; times in milliseconds since 1970."""

    id: int
    name: str
    artifact_location: str | None
    lifecycle_stage: str
    created_ms: int | None
    updated_ms: int | None


@dataclass(frozen=True)
class NamedDataset:
    """A version of a dataset, as a search's runs name it."""

    name: str
    version: int


@dataclass(frozen=True)
class Run:
    """A run that is not deleted; times in milliseconds since 1970."""

    id: str
    experiment_id: int
    name: str
    status: str
    started_ms: int | None
    ended_ms: int | None
    model: str | None = None
    kind: str | None = None
    search_id: str | None = None
    dataset: NamedDataset | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN_STATES


@dataclass(frozen=True)
class CandidateRun:
    """The run of one candidate; `key` is the digest of what it was kept under."""

    id: str
    key: str
    is_open: bool


@dataclass(frozen=True)
class RunMetrics:
    """A finished run and those of its metrics that are numbers (NaN is left out)."""

    id: str
    name: str
    model: str | None
    started_ms: int
    duration_s: float | None
    metrics: Mapping[str, float]
    dataset: NamedDataset | None = None


@dataclass(frozen=True)
class SearchPlan:
    """What one model's search does.

    Parameters
    ----------
    grid : by name the values to try, or a distribution (`search_space.Distribution`), as they came
        in the JSON request.
    n_candidates : how many are drawn; None: the strategy's own number.
    time_budget_s : seconds, of all attempts, after which no further candidate is begun; None: no
        end.
    seed : of drawn candidates and rows.
    nested_folds : outer folds of a nested cross-validation; None: none.
    """

    model_name: str
    grid: Mapping[str, Sequence[Any] | Mapping[str, Any]]
    scoring: str
    folds: int
    strategy: Strategy = "grid"
    n_candidates: int | None = None
    time_budget_s: float | None = None
    seed: int = 42
    nested_folds: int | None = None


@dataclass(frozen=True)
class SearchOutcome:
    """What one model's search found.

    `pipeline` is fitted on all training rows with the best candidate; `metrics` are the four
    model metrics (0 to 1), of a regression r2 and its errors, on out-of-fold predictions of that
    candidate. `candidates` has one entry
    per candidate: its values, mean and standard deviation of its score over the folds (None where
    a fold failed) and its rank. `stopped` says why not all planned candidates were tried, None:
    they were. `workers_processor_s` is the processor time of other processes.
    """

    plan: SearchPlan
    pipeline: Any
    best: Mapping[str, Any]
    best_score: float
    metrics: Mapping[str, float]
    candidates: Sequence["Candidate"]
    ended_ms: int = 0
    stopped: str | None = None
    workers_processor_s: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """One combination of hyperparameters and how it did; scores None where a fold failed.

    `rank` is 1 for the best, and 0 while the search goes on. `training_rows` is how many rows the
    folds were cut from, None: all. `outer_fold` tells which of the outer folds of a nested
    cross-validation it was tried in, from 1 on; None: in the search itself.
    """

    values: Mapping[str, Any]
    mean_score: float | None
    std_score: float | None
    fit_s: float
    rank: int = 0
    training_rows: int | None = None
    outer_fold: int | None = None


class SearchWatcher(Protocol):
    """Whoever follows a search while it runs, keeps what it finds and may end it early.

    A search that an earlier attempt had begun goes on where that ended, if `known` gives back what
    `done` was given: the outcome is that of a search that was never interrupted.
    """

    def begun(self, model_name: str, candidates: int | None) -> None:
        """Hear how many candidates are planned; None when that is not known."""

    def known(self, model_name: str, key: str) -> Mapping[str, Any] | None:
        """Return the scores that an earlier attempt gave to `done` under this key, or None."""

    def done(
        self, model_name: str, key: str, candidate: Candidate, scores: Mapping[str, Any]
    ) -> None:
        """Take the scores (JSON) of a candidate that has finished; may be called in any thread."""

    def stopping(self) -> bool:
        """Say, before each candidate, whether to begin none any more and keep what is finished."""

    def spent_s(self, model_name: str) -> float:
        """Return the seconds for which earlier attempts have searched a model."""


class Unwatched:
    """The watcher of a search that nobody follows."""

    def begun(self, model_name: str, candidates: int | None) -> None:
        """Do nothing."""

    def known(self, model_name: str, key: str) -> Mapping[str, Any] | None:
        """Know nothing."""
        return None

    def done(
        self, model_name: str, key: str, candidate: Candidate, scores: Mapping[str, Any]
    ) -> None:
        """Do nothing."""

    def stopping(self) -> bool:
        """Go on."""
        return False

    def spent_s(self, model_name: str) -> float:
        """Know of no earlier attempt."""
        return 0.0


@dataclass(frozen=True)
class FoldRule:
    """By what rows are cut into folds, where it is not as tables are cut that are only rows.

    `values` (n_samples,) are whole numbers of groups, or times (numbers or datetime64) without
    gaps; None of a `kind` that looks at neither.
    """

    kind: FoldKind
    values: NDArray[Any] | None = None


@dataclass(frozen=True)
class TrainingSet:
    """The loaded training set.

    `rows` is a `modelkit.features.feature_frame` of the feature columns (n_samples, n_features);
    `labels` (n_samples,) the classes, of a regression float64. `class_names` are names for people
    in the order of `classes`; None where there are none. `drawn_from` is how many rows the set has
    that these are a sample of, None where they are all; `notes` say so to people.
    """

    dataset_name: str
    dataset_version: int
    content_hash: str
    rows: Any
    labels: NDArray[Any]
    classes: Sequence[Any]
    class_names: Sequence[str] | None = None
    task: str = "classification"
    drawn_from: int | None = None
    notes: Sequence[str] = ()
    fold_rule: FoldRule | None = None

    @property
    def rows_key(self) -> str:
        """What names the rows: the set's content hash, and of a sample how many it has.

        A sample of another size, after `CELLAR_FIT_MAX_ROWS` was changed, is other rows.
        """
        if self.drawn_from is None:
            return self.content_hash
        return f"{self.content_hash}:{len(self.labels)}"

    @property
    def sample_tags(self) -> dict[str, str]:
        """Tags that say what was searched on, where it was a sample."""
        if self.drawn_from is None:
            return {}
        return {
            "cellar.rows_fitted": str(len(self.labels)),
            "cellar.rows_in_set": str(self.drawn_from),
            "cellar.sample_seed": str(SEED),
        }

    @property
    def plain_fold_kind(self) -> FoldKind:
        """How a table is cut into folds that is only rows: by class, of numbers at random."""
        return "random" if self.task == "regression" else "stratified"

    @property
    def fold_kind(self) -> FoldKind:
        """How it is cut into folds."""
        return self.plain_fold_kind if self.fold_rule is None else self.fold_rule.kind

    @property
    def fold_values(self) -> NDArray[Any]:
        """The group or time of each row (n_samples,)."""
        if self.fold_rule is None or self.fold_rule.values is None:
            raise ValueError(f"Folds of the kind {self.fold_kind} look at neither group nor time.")
        return self.fold_rule.values

    def part(self, numbers: NDArray[np.int64]) -> "TrainingSet":
        """Return the rows of these numbers, as a training set of their own."""
        rule = self.fold_rule
        if rule is not None and rule.values is not None:
            rule = replace(rule, values=rule.values[numbers])
        return replace(
            self, rows=self.rows.iloc[numbers], labels=self.labels[numbers], fold_rule=rule
        )

    @property
    def smallest_class(self) -> int:
        """The row count of the rarest class."""
        return int(np.unique(self.labels, return_counts=True)[1].min())


@dataclass(frozen=True)
class RunRecord:
    """Everything a search run gets in MLflow."""

    run_id: str
    experiment_id: str
    model_name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    training_set: TrainingSet
    pipeline: Any
    files: Mapping[str, str]
    ended_ms: int
    version_tags: Mapping[str, str] = field(default_factory=dict)


def utc_text(milliseconds: int | None) -> str | None:
    """Return `YYYY-MM-DD HH:MM:SS` in UTC, None for None and for what is no time in our era.

    Lists call it twice per run: cutting the ISO form off takes a third of what `strftime` does.
    """
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(" ")[:19]
    except (OverflowError, ValueError, OSError):
        return None


@dataclass(frozen=True)
class VersionInUse:
    """A recorded model version that serves, is set, or is compared by a running roll-out.

    `registered_name` and `version` are MLflow's; a version number below 1 is none of MLflow's, and
    `model_uri` then says which model it is.
    """

    registered_name: str
    version: int
    model_uri: str
    run_ids: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class InUse:
    """What is in use, each with its places in words."""

    runs: Mapping[str, Sequence[str]]
    versions: Sequence[VersionInUse]


DeletionKind = Literal["run", "experiment", "registered model", "model version", "logged model"]


@dataclass(frozen=True)
class Deletion:
    """What somebody wants to delete in MLflow; `version` is that of a model version."""

    kind: DeletionKind
    id: str
    version: str = ""
