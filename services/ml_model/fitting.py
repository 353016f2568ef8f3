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
from modelkit.features import columns_of, feature_frame
from modelkit.pipeline import PIPELINE_VERSION, build_pipeline, forget_rare_texts
from modelkit.storage import environment


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

    Raises
    ------
    TrainingFailed
        The target has no classes, no row has a label, or the estimator refuses; its reason is
        passed on.
    """
    labelled = rows[rows[target].notna()]
    if labelled.empty:
        raise TrainingFailed("No row of the training set has a label.")
    if not classes:
        raise TrainingFailed("The dataset is a regression, and every model here is a classifier.")
    features = features_of(labelled, target)
    pipeline = build_pipeline(
        deployment.model_name, deployment.hyperparameters, columns_of(features), classes
    )
    # to_list gives Python's own values; numpy then chooses one dtype for them.
    labels = np.asarray(labelled[target].to_list())
    try:
        pipeline.fit(features, labels)
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise TrainingFailed(reason(error)) from error
    forget_rare_texts(pipeline)
    return pipeline


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
