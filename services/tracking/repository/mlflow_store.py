"""The one module of tracking that imports MLflow: whatever is written goes through its API.

Uses `MlflowClient` with explicit ids throughout; the fluent API keeps state per process and would
mix requests that run at the same time. Reading is done by `mlflow_tables`.
"""

import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
import requests
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.environment_variables import (
    MLFLOW_DISABLE_TELEMETRY,
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from requests import RequestException
from sklearn.pipeline import Pipeline

with warnings.catch_warnings():
    # MLflow would load it with the first model; here that happens before the workers are forked.
    # It warns about type hints of its own.
    warnings.filterwarnings("ignore", ".*Any type hint.*", UserWarning)
    import mlflow.pyfunc

from modelkit.features import columns_of, example_of
from modelkit.pipeline import build_pipeline
from modelkit.storage import log_model_options
from tracking.domain import FAILURE_TAG, RunRecord, TrainingSet
from tracking.errors import (
    ArtifactStoreUnavailable,
    ExperimentNotFound,
    MlflowUnavailable,
    RunNotFound,
    StillDeployed,
)
from tracking.settings import Settings

log = logging.getLogger(__name__)

EXAMPLE_ROWS = 5
LONGEST_PARAM = 6_000
LONGEST_TAG = 8_000
ATTEMPTS = 6
BATCH = 100
"""Params and tags that MLflow takes in one call."""
DELETIONS = 4
"""Runs that are deleted at the same time."""
IN_USE = "RESOURCE_CONFLICT"
"""The code with which our MLflow server keeps what is in use."""
MODEL_NAME = "model"
"""Name of the logged model in its run: `runs:/<run id>/model`."""


class MlflowStore:
    """Experiments, runs, models and the registry, written through the MLflow server."""

    def __init__(self, settings: Settings) -> None:
        # MLflow's own patience is 7 retries in 4 minutes; a caller of ours wants to be told.
        for variable, value in (
            (MLFLOW_HTTP_REQUEST_MAX_RETRIES, 1),
            (MLFLOW_HTTP_REQUEST_TIMEOUT, round(settings.read_timeout_s)),
            (MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR, False),
            (MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, True),
            (MLFLOW_DISABLE_TELEMETRY, True),
        ):
            variable.set(value)  # type: ignore[no-untyped-call]
        self._url = settings.mlflow_url.rstrip("/")
        self._connect_timeout_s = settings.connect_timeout_s
        self._client = MlflowClient(tracking_uri=self._url, registry_uri=self._url)

    def check(self) -> None:
        """Raise `MlflowUnavailable` unless the MLflow server answers."""
        try:
            answer = requests.get(f"{self._url}/health", timeout=(self._connect_timeout_s, 10))
        except RequestException as error:
            raise MlflowUnavailable() from error
        if answer.status_code != 200:
            raise MlflowUnavailable(f"The MLflow server answered {answer.status_code}.")

    def warm_up(self) -> None:
        """Do what the first search would otherwise wait for: stores opened, libraries loaded."""
        with _translated():
            self._client.search_experiments(max_results=1)
            self._client.search_registered_models(max_results=1)
        rows, labels = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]}), np.array([0, 1])
        pipeline = build_pipeline("DecisionTree", {}, ["a", "b"]).fit(rows, labels)
        training_set = TrainingSet("warm_up", 1, "", rows, labels, (0, 1))
        with tempfile.TemporaryDirectory(prefix="cellar-warm-") as folder:
            _save(pipeline, training_set, Model(), Path(folder) / "model")

    def ensure_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Return the id of the active experiment of that name, with these tags.

        MLflow keeps the names of deleted experiments; such a one is renamed and stays deleted.
        The caller holds the lock of the name.
        """
        with _translated():
            found = self._client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                self._give_up_name(str(found.experiment_id), name)
                found = None
            if found is None:
                try:
                    return str(self._client.create_experiment(name, tags=dict(tags)))
                except MlflowException as error:
                    # Somebody who works with MLflow directly was faster.
                    found = self._client.get_experiment_by_name(name)
                    if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                        raise
            experiment_id = str(found.experiment_id)
            for key, value in tags.items():
                if found.tags.get(key) != value:
                    self._client.set_experiment_tag(experiment_id, key, value)
            return experiment_id

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs.

        `ExperimentNotFound` when somebody else did; `StillDeployed` when the server keeps it.
        """
        with _translated():
            try:
                self._client.delete_experiment(experiment_id)
            except MlflowException as error:
                raise _refusal(error, ExperimentNotFound()) from error

    def delete_run(self, run_id: str) -> None:
        """Delete a run; `RunNotFound` when somebody else did, `StillDeployed` when it is kept."""
        with _translated():
            try:
                self._client.delete_run(run_id)
            except MlflowException as error:
                raise _refusal(error, RunNotFound()) from error

    def delete_runs(self, run_ids: Sequence[str]) -> None:
        """Delete runs that nobody uses; one that is gone already is passed over."""

        def delete(run_id: str) -> None:
            with suppress(RunNotFound):
                self.delete_run(run_id)

        if run_ids:
            with ThreadPoolExecutor(DELETIONS, thread_name_prefix="delete") as pool:
                list(pool.map(delete, run_ids))

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
        """Open a run and return its id."""
        with _translated():
            run = self._client.create_run(
                experiment_id, time.time_ns() // 1_000_000, dict(tags), name
            )
            return str(run.info.run_id)

    def log_run(self, record: RunRecord) -> str:
        """Log everything of a run but its end, and return the id of its logged model."""
        params = [Param(key, _cut(value, LONGEST_PARAM)) for key, value in record.params.items()]
        metrics = [Metric(key, value, record.ended_ms, 0) for key, value in record.metrics.items()]
        tags = [RunTag(key, _cut(value, LONGEST_TAG)) for key, value in record.tags.items()]
        with _translated():
            for start in range(0, max(1, len(params)), BATCH):
                self._client.log_batch(
                    record.run_id,
                    metrics=metrics if start == 0 else (),
                    params=params[start : start + BATCH],
                    tags=tags if start == 0 else (),
                )
            _insist(
                lambda: self._client.log_inputs(
                    record.run_id, [_dataset_input(record.training_set)]
                )
            )
            return self._log_model(record)

    def finish_run(self, record: RunRecord, model_id: str) -> None:
        """Register the run's model under its name and end the run."""
        with _translated():
            self._ensure_registered_model(record.model_name)
            _insist(
                lambda: self._client.create_model_version(
                    record.model_name,
                    source=f"models:/{model_id}",
                    run_id=record.run_id,
                    tags=dict(record.version_tags),
                    model_id=model_id,
                    # With a database behind MLflow a version is there once the call returns.
                    await_creation_for=0,
                )
            )
            self._client.set_terminated(record.run_id, "FINISHED", record.ended_ms)

    def resume_run(self, run_id: str, experiment_id: str) -> None:
        """Make an open run that was being logged when its process ended ready to be gone on with.

        Where its model is registered already, the run is ended: nothing is left to do. Else a
        model that it has uploaded is deleted: it is logged again.
        """
        with _translated():
            if self._client.search_model_versions(f"run_id = '{run_id}'", max_results=1):
                self._client.set_terminated(run_id, "FINISHED")
                return
            for model in self._client.search_logged_models(
                [experiment_id], filter_string=f"source_run_id = '{run_id}'"
            ):
                self._client.delete_logged_model(model.model_id)

    def fail_run(self, run_id: str, reason: str) -> None:
        """Mark a run FAILED with the reason as a tag."""
        with _translated():
            self._client.log_batch(run_id, tags=[RunTag(FAILURE_TAG, _cut(reason, LONGEST_TAG))])
            self._client.set_terminated(run_id, "FAILED")

    def _give_up_name(self, experiment_id: str, name: str) -> None:
        self._client.restore_experiment(experiment_id)
        try:
            self._client.rename_experiment(experiment_id, f"{name} (deleted {experiment_id})")
        finally:
            try:
                self._client.delete_experiment(experiment_id)
            except MlflowException as error:
                # A model of it serves; it has given up its name.
                if error.error_code != IN_USE:
                    raise

    def _ensure_registered_model(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log_model(self, record: RunRecord) -> str:
        """Upload the pipeline as a logged model and the record's files beside it.

        The steps of `mlflow.sklearn.log_model`, which itself works on the active run of the
        process and loads the model twice more to predict the example.
        """
        logged = self._client.create_logged_model(
            record.experiment_id, MODEL_NAME, source_run_id=record.run_id
        )
        model_id = str(logged.model_id)
        description = Model(
            artifact_path=logged.artifact_location,
            model_uuid=model_id,
            run_id=record.run_id,
            model_id=model_id,
        )
        with tempfile.TemporaryDirectory(prefix="cellar-model-") as folder:
            path, files = Path(folder) / "model", Path(folder) / "files"
            _save(record.pipeline, record.training_set, description, path)
            files.mkdir()
            for name, text in record.files.items():
                (files / name).write_text(text, encoding="utf-8")
            with self._storing():
                self._client.log_model_artifacts(model_id, str(path))
                self._client.log_artifacts(record.run_id, str(files), "search")
        self._client.finalize_logged_model(model_id, "READY")
        self._client.log_outputs(record.run_id, [LoggedModelOutput(model_id, step=0)])
        return model_id

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Tell a store that fails from a server that is away: MLflow answers both alike."""
        try:
            yield
        except (MlflowException, RequestException) as error:
            self.check()
            raise ArtifactStoreUnavailable() from error


def _save(pipeline: Pipeline, training_set: TrainingSet, description: Model, path: Path) -> None:
    names = _class_names(pipeline, training_set)
    signature = _signature(training_set.rows.head(EXAMPLE_ROWS), pipeline)
    example = example_of(training_set.rows, EXAMPLE_ROWS)
    try:
        mlflow.sklearn.save_model(
            pipeline,
            str(path),
            mlflow_model=description,
            signature=signature,
            input_example=example,
            metadata=None if names is None else {"class_names": names},
            **log_model_options(),
        )
    except MlflowException as error:
        # No server is asked here: it would not help to try again later.
        raise RuntimeError("MLflow could not write the model to a file") from error


def _class_names(pipeline: Pipeline, training_set: TrainingSet) -> list[str] | None:
    """Return people's names in the order of the pipeline's classes; what serves it reads them."""
    if not training_set.class_names:
        return None
    name_of = dict(zip(training_set.classes, training_set.class_names, strict=True))
    return [name_of[label] for label in pipeline.classes_.tolist()]


def _signature(features: pd.DataFrame, pipeline: Pipeline) -> ModelSignature:
    """Return the columns, none of them required: the pipeline knows what is missing."""
    columns = Schema(
        [
            ColSpec(column.type, column.name, required=column.required)
            for column in columns_of(features)
        ]
    )
    outputs = infer_signature(None, pipeline.predict(features)).outputs
    return ModelSignature(columns, outputs)


def _dataset_input(training_set: TrainingSet) -> DatasetInput:
    rows = training_set.rows
    source = {
        "dataset_name": training_set.dataset_name,
        "dataset_version": training_set.dataset_version,
        "set_name": "training",
    }
    columns = [
        {"type": column.type, "name": column.name, "required": False} for column in columns_of(rows)
    ]
    dataset = Dataset(
        name=f"{training_set.dataset_name}_v{training_set.dataset_version}",
        # MLflow takes at most 36 characters.
        digest=training_set.content_hash[:36],
        source_type="cellar",
        source=json.dumps(source),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": len(rows), "num_elements": int(rows.size)}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


@contextmanager
def _translated() -> Iterator[None]:
    """Turn MLflow's errors into ours; what is not expected counts as MLflow being unavailable."""
    try:
        yield
    except (MlflowException, RequestException) as error:
        raise MlflowUnavailable() from error


def _insist(call: Callable[[], object]) -> None:
    """Call again when MLflow lost a race with itself.

    It looks a row up and then inserts it: two runs that bring the same dataset, or two new versions
    of one model, may collide, and the later one is told of a duplicate key.
    """
    for attempt in range(ATTEMPTS):
        try:
            call()
            return
        except MlflowException as error:
            collided = "duplicate key" in str(error) or "Giving up after" in str(error)
            if not collided or attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.05 * (attempt + 1))


def _refusal(error: MlflowException, not_found: Exception) -> Exception:
    """Return what a failed deletion means; an outage stays what it is."""
    if error.error_code == IN_USE:
        return StillDeployed(error.message.removeprefix(f"{IN_USE}: "))
    return error if _is_outage(error) else not_found


def _is_outage(error: MlflowException) -> bool:
    return error.error_code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"}


def _cut(value: str, longest: int) -> str:
    return value if len(value) <= longest else f"{value[: longest - 1]}…"
