"""Train a version inside a job: fitted in an MLflow run, measured, registered, made servable."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.pipeline import Pipeline

from jobkit.job import Job
from jobkit.service.job_runs import JobRuns
from ml_model.domain import Deployment, ModelVersion, canonical, reason
from ml_model.errors import TrainingFailed
from ml_model.evaluation_metrics import regression_metrics
from ml_model.fitting import features_of, fit
from ml_model.repository import mlflow_models
from ml_model.repository.drift_samples import TAG as SAMPLE_TAG
from ml_model.repository.drift_samples import DriftSamples, new_sample_id
from ml_model.repository.mlflow_models import TrainingRun
from ml_model.repository.trained_versions import SqlTrainedVersions
from ml_model.repository.training_traces import JOB_TAG
from ml_model.service.serving_models import ServingModels
from modelkit.features import columns_of, rows_of
from servicekit.database import Database

DRIFT_SAMPLE = "drift sample"

HASHED_ROWS = 10_000


@dataclass(frozen=True)
class LabelledRows:
    """Rows with their labels: `features` (n, k) as `feature_frame` gives them, and n labels."""

    features: pd.DataFrame
    labels: Sequence[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, mask: Any) -> "LabelledRows":
        """Return the rows where `mask` (n,) bool is True."""
        labels = [label for label, wanted in zip(self.labels, mask, strict=True) if wanted]
        return LabelledRows(self.features[mask].reset_index(drop=True), labels)

    def followed_by(self, others: "LabelledRows") -> "LabelledRows":
        """Return these rows and then the others, which have the same columns."""
        features = pd.concat([self.features, others.features], ignore_index=True)
        return LabelledRows(features, [*self.labels, *others.labels])


@dataclass(frozen=True)
class Source:
    """What rows belong to: a dataset version, or nothing that has a name.

    `classes` are the labels there are, none for a regression.
    """

    target_name: str
    classes: tuple[Any, ...]
    class_names: tuple[str, ...] | None = None
    dataset_id: int | None = None
    dataset_name: str | None = None
    dataset_version: int | None = None

    @property
    def task(self) -> str:
        """What is to be predicted: classes or numbers."""
        return "classification" if self.classes else "regression"


@dataclass(frozen=True)
class Plan:
    """What to train: a model on `rows`, measured on `held_back`, which is also the drift sample.

    `drawn_from` is how many rows the set has that both were drawn from; None where they are no
    sample.
    """

    model_name: str
    hyperparameters: Mapping[str, Any]
    registered_name: str
    rows: LabelledRows
    held_back: LabelledRows
    source: Source
    drawn_from: int | None = None


class VersionTraining:
    """Gives versions that are registered, recorded and ready to be served."""

    def __init__(
        self,
        database: Database,
        runs: JobRuns,
        versions: SqlTrainedVersions,
        samples: DriftSamples,
        serving: ServingModels,
        mlflow_url: str,
    ) -> None:
        self._database = database
        self._runs = runs
        self._versions = versions
        self._samples = samples
        self._serving = serving
        self._mlflow_url = mlflow_url

    def train(self, job: Job, plan: Plan) -> tuple[ModelVersion, Mapping[str, Any]]:
        """Return the version and what is to be said of it.

        A job whose earlier attempt came as far as a recorded version goes on with that one.

        Raises
        ------
        ModelOfAnotherTask
            The model predicts classes and the labels are numbers, or the other way round.
        TrainingFailed
            The rows have one class or are too few to hold one back, or the estimator refuses; the
            run is FAILED and holds the traceback.
        JobGivenUp
            The job was cancelled or is worked on by somebody else.
        ModelStoreUnavailable, MlflowUnavailable
        """
        kept = job.result or {}
        if "model_version_id" in kept:
            with self._database.transaction():
                version = self._versions.get(kept["model_version_id"])
                uri = self._versions.model_uri(version.id)
            self._serving.prepare(uri)
            return version, kept
        self._runs.report(job, 0.1, "fits the model")
        with mlflow_models.training_run(self._mlflow_url, self._tags(job, plan)) as run:
            self._runs.keep_result(job, {"run_id": run.id, "run_name": run.name})
            _check_rows(plan)
            pipeline, metrics = _fitted(plan)
            run.log_metrics(metrics)
            return self._registered(job, plan, run, pipeline, metrics)

    def _registered(
        self,
        job: Job,
        plan: Plan,
        run: TrainingRun,
        pipeline: Pipeline,
        metrics: Mapping[str, float],
    ) -> tuple[ModelVersion, Mapping[str, Any]]:
        sample_id = new_sample_id()
        self._runs.report(job, 0.6, "stores model and drift sample")
        self._runs.keep_result(job, {"drift_sample_id": sample_id})
        model_id = run.log_model(pipeline, plan.rows.features)
        held_back = plan.held_back
        self._samples.put(sample_id, held_back.features, plan.source.target_name, held_back.labels)
        self._runs.report(job, 0.8, "registers the version and makes the form that serves")
        tags = {**self._tags(job, plan), SAMPLE_TAG: sample_id}
        registered = run.register(model_id, plan.registered_name, tags)
        facts = {
            "run_id": run.id,
            "run_name": run.name,
            "registered_model_name": registered.registered_name,
            "model_version": str(registered.version),
            "model_uri": registered.model_uri,
            "drift_sample_id": sample_id,
            "drift_sample_rows": len(held_back),
            "trained_rows": len(plan.rows),
            "metrics": dict(metrics),
        }
        with self._database.transaction():
            version = self._versions.record(
                registered,
                model_name=plan.model_name,
                hyperparameters=plan.hyperparameters,
                dataset_id=plan.source.dataset_id,
                content_hash=_content_hash(plan.rows),
                drift_sample_id=sample_id,
            )
            self._make_servable(version, pipeline, plan)
            self._runs.keep_result_within(job, {**facts, "model_version_id": version.id})
        return version, facts

    def _make_servable(self, version: ModelVersion, pipeline: Pipeline, plan: Plan) -> None:
        classes, names = plan.source.classes, plan.source.class_names or ()
        try:
            self._serving.prepare_trained(
                version,
                pipeline,
                columns_of(plan.rows.features),
                rows_of(plan.held_back.features),
                DRIFT_SAMPLE,
                {str(label): name for label, name in zip(classes, names, strict=False)},
            )
        except ValueError as error:
            raise TrainingFailed(reason(error)) from error

    def _tags(self, job: Job, plan: Plan) -> dict[str, str]:
        source = plan.source
        tags = {
            JOB_TAG: str(job.id),
            "cellar.request_id": job.request_id,
            "model_type": plan.model_name,
            "cellar.hyperparameters": canonical(plan.hyperparameters),
            **mlflow_models.sample_tags(len(plan.rows), plan.drawn_from),
        }
        if source.dataset_name is not None:
            tags["dataset_name"] = source.dataset_name
            tags["dataset_version"] = str(source.dataset_version)
        return tags


def labelled(rows: pd.DataFrame, target_name: str) -> LabelledRows:
    """Return a set's rows that have a label, in order."""
    known = rows[rows[target_name].notna()]
    features = features_of(known, target_name).reset_index(drop=True)
    return LabelledRows(features, known[target_name].to_list())


def _check_rows(plan: Plan) -> None:
    if len({str(label) for label in (*plan.rows.labels, *plan.held_back.labels)}) < 2:
        if plan.source.task == "regression":
            raise TrainingFailed("All rows have one target; at least two are needed.")
        raise TrainingFailed("All rows have one class; at least two are needed.")
    if not len(plan.held_back):
        raise TrainingFailed(
            "The rows are too few to hold one back: a class needs two rows at least."
        )


def _fitted(plan: Plan) -> tuple[Pipeline, dict[str, float]]:
    frame = plan.rows.features.copy()
    frame[plan.source.target_name] = pd.Series(plan.rows.labels, dtype=object)
    deployment = Deployment(0, plan.model_name, plan.hyperparameters, None, None)
    pipeline = fit(deployment, frame, plan.source.target_name, plan.source.classes)
    try:
        if plan.source.task == "regression":
            return pipeline, _errors(pipeline, plan)
        own, held_back = _accuracy(pipeline, plan.rows), _measures(pipeline, plan.held_back)
    except (ValueError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        # E.g. more neighbours than rows: fitted, but of no use.
        raise TrainingFailed(reason(error)) from error
    return pipeline, {"training_accuracy": own, **held_back}


def _errors(pipeline: Pipeline, plan: Plan) -> dict[str, float]:
    own, _ = regression_metrics(plan.rows.labels, pipeline.predict(plan.rows.features))
    held_back, _ = regression_metrics(
        plan.held_back.labels, pipeline.predict(plan.held_back.features)
    )
    return {**{f"training_{name}": value for name, value in own.items()}, **held_back}


def _accuracy(pipeline: Pipeline, rows: LabelledRows) -> float:
    return float(accuracy_score(np.asarray(rows.labels), pipeline.predict(rows.features)))


def _measures(pipeline: Pipeline, rows: LabelledRows) -> dict[str, float]:
    truth, found = np.asarray(rows.labels), pipeline.predict(rows.features)
    precision, recall, f1_score, _ = precision_recall_fscore_support(
        truth, found, average="weighted", zero_division=0.0
    )
    return {
        "accuracy": float(accuracy_score(truth, found)),
        "f1_score": float(f1_score),
        "precision": float(precision),
        "recall": float(recall),
    }


def _content_hash(rows: LabelledRows) -> str:
    digest = hashlib.sha256(canonical([list(rows.features.columns), list(rows.labels)]).encode())
    # Part by part, with the same digest as at once: rows of texts are large as Python's values.
    separator = "["
    for start in range(0, len(rows), HASHED_ROWS):
        values = rows_of(rows.features.iloc[start : start + HASHED_ROWS])
        if isinstance(values, np.ndarray):
            digest.update(np.ascontiguousarray(values).tobytes())
        else:
            digest.update((separator + canonical(values)[1:-1]).encode())
            separator = ","
    if separator == ",":
        digest.update(b"]")
    return digest.hexdigest()
