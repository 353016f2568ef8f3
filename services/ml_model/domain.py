"""Values and rules of the ML service, without SQL, HTTP or MLflow."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ml_model.errors import ScoringFailed, TrainingFailed
from modelkit.pipeline import PIPELINE_VERSION, build_pipeline
from modelkit.storage import environment

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
    """A fitted pipeline: what it is called in MLflow, what it was made of."""

    id: int
    registered_name: str
    version: int
    model_name: str
    fingerprint: str
    dataset_id: int
    dataset_name: str
    dataset_version: int


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
    score: float
    started_ms: int
    fit_s: float


@dataclass(frozen=True)
class SetPredictions:
    """Predictions of one set by one model version.

    `sample_ids` (n,) int64, `classes` (n,) texts, `probabilities` (n, n_classes) in the order of
    the dataset's classes or None where the model has none, `score` the accuracy from 0 to 1.
    """

    sample_ids: NDArray[np.int64]
    classes: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    score: float


@dataclass(frozen=True)
class Score:
    """The outcome of training or scoring."""

    set_name: str
    score: float
    rows: int
    version: ModelVersion

    @property
    def message(self) -> str:
        """The contract's sentence; the number is Python's shortest text of `score` times 100."""
        return f"Score on {self.set_name} set: {self.score * 100}%"


def canonical(value: Any) -> str:
    """Return JSON text that is equal only for equal values of equal types (1 is not 1.0)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def training_fingerprint(deployment: Deployment, dataset_id: int, content_hash: str) -> str:
    """Return what names a training: equal where it would give the same fitted pipeline.

    Covers the model, its hyperparameters and the run they come from, the rows (by content hash),
    the pipeline around the model and the versions of the libraries that fit it.
    """
    question = {
        "model_name": deployment.model_name,
        "hyperparameters": deployment.hyperparameters,
        "source_run_id": deployment.source_run_id,
        "dataset_id": dataset_id,
        "content_hash": content_hash,
        "pipeline": PIPELINE_VERSION,
        "environment": environment(),
    }
    return hashlib.sha256(canonical(question).encode()).hexdigest()


def features_of(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the feature columns as float64, NaN where a value is missing.

    Raises
    ------
    ScoringFailed
        A column holds text: the pipeline takes numbers only.
    """
    features = rows.drop(columns=target)
    texts = [str(name) for name in features if features[name].dtype == object]
    if texts:
        raise ScoringFailed(f"The model takes numbers only, and {', '.join(texts)} holds text.")
    return features.astype("float64")


def fit(
    deployment: Deployment, rows: pd.DataFrame, target: str, classes: Sequence[Any]
) -> Pipeline:
    """Fit the deployment's pipeline to every row that has a label.

    Raises
    ------
    TrainingFailed
        No row has a label, or the estimator refuses; its reason is passed on.
    """
    labelled = rows[rows[target].notna()]
    if labelled.empty:
        raise TrainingFailed("No row of the training set has a label.")
    features = features_of(labelled, target)
    pipeline = build_pipeline(
        deployment.model_name, deployment.hyperparameters, list(features.columns), classes
    )
    # to_list gives Python's own values; numpy then chooses one dtype for them.
    labels = np.asarray(labelled[target].to_list())
    try:
        return pipeline.fit(features, labels)
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise TrainingFailed(reason(error)) from error


def predict(
    pipeline: Pipeline, rows: pd.DataFrame, target: str, classes: Sequence[Any]
) -> SetPredictions:
    """Predict every row and score those that have a label.

    Raises
    ------
    ScoringFailed
        The model refuses these rows, or none of them has a label.
    """
    labelled = rows[target].notna().to_numpy(dtype=bool)
    if not labelled.any():
        raise ScoringFailed("No row of the set has a label to score against.")
    features = features_of(rows, target)
    try:
        predicted = _texts(pipeline.predict(features).tolist())
        probabilities = _probabilities(pipeline, features, [str(label) for label in classes])
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise ScoringFailed(reason(error)) from error
    right = predicted[labelled] == _texts(rows[target][labelled].to_list())
    return SetPredictions(
        sample_ids=rows.index.to_numpy(dtype=np.int64),
        classes=predicted,
        probabilities=probabilities,
        score=float(np.mean(right)),
    )


def _texts(labels: Sequence[Any]) -> NDArray[Any]:
    return np.asarray([str(label) for label in labels], dtype=object)


def reason(error: BaseException) -> str:
    """Return an estimator's reason in one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 500 else f"{text[:500]}…"


def _probabilities(
    pipeline: Pipeline, features: pd.DataFrame, classes: Sequence[str]
) -> NDArray[np.float64] | None:
    """Return probabilities in the dataset's class order; 0 for a class unknown to the model."""
    if not hasattr(pipeline, "predict_proba"):
        return None
    own = pipeline.predict_proba(features)
    column_of = {str(label): number for number, label in enumerate(pipeline.classes_)}
    ordered = np.zeros((len(features), len(classes)))
    for number, label in enumerate(classes):
        if label in column_of:
            ordered[:, number] = own[:, column_of[label]]
    return ordered
