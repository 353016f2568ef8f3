"""Fit the pipeline and predict with it: the rules of training that need scikit-learn."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from ml_model.domain import Deployment, SetPredictions, canonical, reason
from ml_model.errors import ScoringFailed, TrainingFailed
from ml_model.evaluation_metrics import regression_metrics
from modelkit.features import columns_of, feature_frame
from modelkit.pipeline import PIPELINE_VERSION, build_pipeline, forget_rare_texts
from modelkit.storage import environment
from modelkit.validation import check_task
from schema.fit_rows import LEAST_OF_CLASS, SEED

NO_LABEL = "No row of the set has a label to score against."


def training_fingerprint(
    deployment: Deployment,
    dataset_id: int,
    content_hash: str,
    pipeline: int = PIPELINE_VERSION,
    drawn_rows: int | None = None,
) -> str:
    """Return what names a training: equal where it would give the same fitted pipeline.

    Covers the model, its hyperparameters and the run they come from, the rows (by content hash),
    the version of the pipeline around the model and those of the libraries that fit it; of a sample
    how many rows were drawn, and how.
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
    if drawn_rows is not None:
        question["drawn"] = {"rows": drawn_rows, "seed": SEED, "least_of_class": LEAST_OF_CLASS}
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
    has_label = rows[target].notna()
    # A mask that leaves nothing out would still copy a long set.
    labelled = rows if has_label.all() else rows[has_label]
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
    labelled = labelled_rows(rows, target)
    if not labelled.any():
        raise ScoringFailed(NO_LABEL)
    predicted, probabilities = predict_rows(pipeline, features_of(rows, target), classes)
    truth = rows[target][labelled].to_list()
    if classes:
        metrics = {"accuracy": float(np.mean(predicted[labelled] == texts(truth)))}
    else:
        metrics = _errors(predicted[labelled], truth)
    return SetPredictions(
        sample_ids=rows.index.to_numpy(dtype=np.int64),
        predicted=predicted,
        probabilities=probabilities,
        score=metrics["accuracy" if classes else "r2"],
        metrics=metrics,
    )


def labelled_rows(rows: pd.DataFrame, target: str) -> NDArray[np.bool_]:
    """Return which rows have a label (n_rows,)."""
    return rows[target].notna().to_numpy(dtype=bool)


def predict_rows(
    pipeline: Pipeline, features: pd.DataFrame, classes: Sequence[Any]
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Return what the pipeline predicts for a `feature_frame`, labelled or not.

    Classes as texts (n_rows,) with probabilities (n_rows, n_classes) in the order of `classes`,
    None where the model has none; of a regression, whose `classes` are none, numbers.

    Raises
    ------
    ScoringFailed
        The model refuses these rows, or a regression predicts no finite number.
    """
    try:
        # Once for both questions.
        ready = features if len(pipeline) == 1 else pipeline[:-1].transform(features)
        model = pipeline[-1]
        own = model.predict_proba(ready) if hasattr(model, "predict_proba") else None
        if own is not None and type(model).predict is RandomForestClassifier.predict:
            # As it does itself, after it has asked all its trees once more.
            found = model.classes_.take(np.argmax(own, axis=1), axis=0)
        else:
            found = model.predict(ready)
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise ScoringFailed(reason(error)) from error
    if classes:
        return texts(found.tolist()), _in_order(own, model, [str(label) for label in classes])
    numbers = np.asarray(found, np.float64)
    if not np.isfinite(numbers).all():
        raise ScoringFailed("The model predicts no finite number for some row.")
    return numbers, None


def _errors(judged: NDArray[np.float64], truth: Sequence[Any]) -> dict[str, float]:
    metrics, notes = regression_metrics([float(number) for number in truth], judged.tolist())
    if "r2" not in metrics:
        raise ScoringFailed(" ".join(notes))
    return metrics


def texts(labels: Sequence[Any]) -> NDArray[Any]:
    """Return labels as they are compared and stored (n,)."""
    return np.asarray([str(label) for label in labels], dtype=object)


def _in_order(
    own: NDArray[np.float64] | None, model: Any, classes: Sequence[str]
) -> NDArray[np.float64] | None:
    """Return probabilities in the dataset's class order; 0 for a class unknown to the model."""
    if own is None:
        return None
    column_of = {str(label): number for number, label in enumerate(model.classes_)}
    ordered = np.zeros((len(own), len(classes)))
    for number, label in enumerate(classes):
        if label in column_of:
            ordered[:, number] = own[:, column_of[label]]
    return ordered
