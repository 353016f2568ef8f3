"""Values and rules of the ML service, without SQL, HTTP or MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Processes that neither fit nor score load none of them.
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from schema.sets import SetLoad

CURRENT_SLOT = "current"


@dataclass(frozen=True)
class Deployment:
    """The state of a slot: the newest entry of its ledger."""

    id: int
    model_name: str
    hyperparameters: Mapping[str, Any]
    source_run_id: str | None
    model_version_id: int | None

    def is_of(
        self, model_name: str, hyperparameters: Mapping[str, Any], run_id: str | None
    ) -> bool:
        """Tell whether this is what is asked for; a request without a run asks for no run."""
        return (
            self.model_name == model_name
            and canonical(self.hyperparameters) == canonical(hyperparameters)
            and run_id in (None, self.source_run_id)
        )


@dataclass(frozen=True)
class ModelVersion:
    """A model that MLflow keeps: what it is called there, what it was made of.

    One that came from elsewhere, by its URI, has neither fingerprint nor dataset; one that is not
    registered has its URI as name and version 0.
    """

    id: int
    registered_name: str
    version: int
    model_name: str
    fingerprint: str | None
    dataset_id: int | None
    dataset_name: str | None
    dataset_version: int | None


@dataclass(frozen=True)
class Registered:
    """Where MLflow keeps a version that it has just registered."""

    registered_name: str
    version: int
    training_run_id: str
    model_uri: str


@dataclass(frozen=True)
class TrainingResult:
    """What is to be logged about a fit."""

    deployment: Deployment
    dataset_name: str
    dataset_version: int
    content_hash: str
    classes: Sequence[Any]
    fingerprint: str
    pipeline: Pipeline
    features: pd.DataFrame
    target_name: str
    metrics: Mapping[str, float]
    started_ms: int
    fit_s: float
    drawn_from: int | None = None
    """Rows of the set that `features` are a sample of; None where they are no sample."""


@dataclass(frozen=True)
class SetPredictions:
    """Predictions of one set by one model version.

    `sample_ids` (n,) int64, `predicted` (n,) classes as texts or float64 numbers of a regression,
    `probabilities` (n, n_classes) in the order of the dataset's classes or None where the model has
    none. `score` is what scikit-learn's own `score` gives: the accuracy from 0 to 1, of a
    regression r2, up to 1 and below 0 where the mean would do better. `metrics` holds it by its
    name, with the errors of a regression beside it.
    """

    sample_ids: NDArray[np.int64]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    score: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Score:
    """The outcome of training or scoring; `score` and `metrics` as in `SetPredictions`."""

    set_name: str
    score: float
    rows: int
    version: ModelVersion
    dataset_name: str
    dataset_version: int
    task: str = "classification"
    metrics: Mapping[str, float] = field(default_factory=dict)
    rows_fitted: int | None = None
    """Of a training: the labelled rows that the model was fitted to."""

    @classmethod
    def of_set(
        cls, load: SetLoad, version: ModelVersion, score: float, metrics: Mapping[str, float]
    ) -> Score:
        """Return what a version scored on all rows of a loaded set."""
        dataset = load.dataset
        return cls(
            load.set_name,
            score,
            load.row_count,
            version,
            dataset.name,
            dataset.version,
            dataset.task,
            metrics,
        )

    @property
    def message(self) -> str:
        """The contract's sentence; the number is Python's shortest text of `score` times 100."""
        return f"Score on {self.set_name} set: {self.score * 100}%"


def canonical(value: Any) -> str:
    """Return JSON text that is equal only for equal values of equal types (1 is not 1.0)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def reason(error: BaseException) -> str:
    """Return an estimator's reason in one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 500 else f"{text[:500]}…"
