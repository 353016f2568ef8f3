"""Fit the pipeline and predict with it: the rules of training that need scikit-learn."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ml_model.domain import Deployment, SetPredictions, canonical, reason
from ml_model.errors import ScoringFailed, TrainingFailed
from ml_model.evaluation_metrics import regression_metrics
from modelkit.features import columns_of, feature_frame
from modelkit.pipeline import PIPELINE_VERSION, build_pipeline, forget_rare_texts
from modelkit.storage import environment
from modelkit.validation import check_task


def training_fingerprint(
    deployment: Deployment,
    dataset_id: int,
    content_hash: str,
    pipeline: int = PIPELINE_VERSION,
) -> str:
    """Return what names a training: equal where it would give the same fitted pipeline.

    Covers the model, its hyperparameters and the run they come from, the rows (by content hash),
    the version of the pipeline around the model and those of the libraries that fit it.
    """
    question = {
        "model_name": deployment.model_name,
        "hyperparameters": deployment.hyperparameters,
        "source_run_id": deployment.source_run_id,
        "dataset_id": dataset_id,
        "content_hash": content_hash,
        "pipeline": pipeline,
        "environment": environment(),
    }
    return hashlib.sha256(canonical(question).encode()).hexdigest()


def features_of(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the feature columns in the types that pipelines take, see `feature_frame`."""
    return feature_frame(rows.drop(columns=target))


def fit(
    deployment: Deployment, rows: pd.DataFrame, target: str, classes: Sequence[Any]
) -> Pipeline:
    """Fit the deployment's pipeline to every row that has a label.

    `classes` are the labels there are, none for a regression, whose labels are numbers.

    Raises
    ------
    ModelOfAnotherTask
        The model predicts classes and the labels are numbers, or the other way round.
    TrainingFailed
        No row has a label, or the estimator refuses; its reason is passed on.
    """
    labelled = rows[rows[target].notna()]
    if labelled.empty:
        raise TrainingFailed("No row of the training set has a label.")
    task = "classification" if classes else "regression"
    check_task(deployment.model_name, task, "The training set")
    features = features_of(labelled, target)
    pipeline = build_pipeline(
        deployment.model_name, deployment.hyperparameters, columns_of(features), classes
    )
    # to_list gives Python's own values; numpy then chooses one dtype for them.
    labels = np.asarray(labelled[target].to_list(), None if classes else np.float64)
    try:
        pipeline.fit(features, labels)
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise TrainingFailed(reason(error)) from error
    forget_rare_texts(pipeline)
    return pipeline


def predict(
    pipeline: Pipeline, rows: pd.DataFrame, target: str, classes: Sequence[Any]
) -> SetPredictions:
    """Predict every row and score those that have a label; `classes` as in `fit`.

    Raises
    ------
    ScoringFailed
        The model refuses these rows, none of them has a label, or a regression has one label
        alone or predicts no finite number.
    """
    labelled = rows[target].notna().to_numpy(dtype=bool)
    if not labelled.any():
        raise ScoringFailed("No row of the set has a label to score against.")
    features = features_of(rows, target)
    try:
        found = pipeline.predict(features)
        probabilities = _probabilities(pipeline, features, [str(label) for label in classes])
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise ScoringFailed(reason(error)) from error
    truth = rows[target][labelled].to_list()
    if classes:
        predicted = _texts(found.tolist())
        metrics = {"accuracy": float(np.mean(predicted[labelled] == _texts(truth)))}
    else:
        predicted = np.asarray(found, np.float64)
        metrics = _errors(predicted, predicted[labelled], truth)
    return SetPredictions(
        sample_ids=rows.index.to_numpy(dtype=np.int64),
        predicted=predicted,
        probabilities=probabilities,
        score=metrics["accuracy" if classes else "r2"],
        metrics=metrics,
    )


def _errors(
    predicted: NDArray[np.float64], judged: NDArray[np.float64], truth: Sequence[Any]
) -> dict[str, float]:
    if not np.isfinite(predicted).all():
        raise ScoringFailed("The model predicts no finite number for some row.")
    metrics, notes = regression_metrics([float(number) for number in truth], judged.tolist())
    if "r2" not in metrics:
        raise ScoringFailed(" ".join(notes))
    return metrics


def _texts(labels: Sequence[Any]) -> NDArray[Any]:
    return np.asarray([str(label) for label in labels], dtype=object)


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
