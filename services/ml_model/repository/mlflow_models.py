"""The one module of the ML service that imports MLflow: logs a fit and registers its pipeline.

Uses `MlflowClient` with explicit ids throughout; the fluent API keeps state per process and would
mix requests that run at the same time.
"""

import json
import logging
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
    ViewType,
)
from mlflow.environment_variables import (
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

from jobkit.errors import JobGivenUp
from ml_model.domain import Registered, TrainingResult, reason
from ml_model.errors import ModelStoreUnavailable
from ml_model.repository.model_store import FINGERPRINT_TAG
from modelkit.features import columns_of, example_of
from modelkit.storage import log_model_options
from schema.fit_rows import SEED

with warnings.catch_warnings():
    # Saving a model needs it, and it warns about type hints of MLflow's own when first imported.
    warnings.filterwarnings("ignore", ".*Any type hint.*", UserWarning)
    import mlflow.pyfunc

log = logging.getLogger(__name__)

EXPERIMENT = "training"
EXAMPLE_ROWS = 5
FAILURE_TAG = "cellar.failure_reason"
LONGEST_PARAM = 6000
TRACEBACK_FILE = "traceback.txt"
REQUEST_TIMEOUT_S = 30


def register(base_url: str, result: TrainingResult) -> Registered:
    """Log the run `train_<UTC time>` with its pipeline and register it under the model's name.

    Raises
    ------
    ModelStoreUnavailable
        MLflow does not answer or refuses; the run is marked FAILED with the reason if MLflow can
        still be told, else by the next training with this fingerprint.
    """
    client = _client(base_url)
    try:
        experiment_id = _experiment_id(client)
        run_id = _create_run(client, experiment_id, result)
        try:
            _fail_abandoned(client, experiment_id, run_id, result.fingerprint)
            return _log_and_register(client, experiment_id, run_id, result)
        except BaseException as error:
            _end_badly(client, run_id, reason(error))
            raise
    except (MlflowException, RequestException) as error:
        raise ModelStoreUnavailable(
            "The MLflow server did not take the model; try again in a moment."
        ) from error


@cache
def _client(base_url: str) -> MlflowClient:
    # MLflow's own patience is 7 retries in 4 minutes; a caller of ours wants to be told.
    for variable, value in (
        (MLFLOW_HTTP_REQUEST_MAX_RETRIES, 1),
        (MLFLOW_HTTP_REQUEST_TIMEOUT, REQUEST_TIMEOUT_S),
        (MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR, False),
        (MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, True),
    ):
        variable.set(value)  # type: ignore[no-untyped-call]
    # It warns at each model where pip is not installed, as in our images.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=base_url, registry_uri=base_url)


def _experiment_id(client: MlflowClient) -> str:
    """Return the id of the experiment, made when new and restored when deleted."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        try:
            return str(client.create_experiment(EXPERIMENT))
        except MlflowException as error:
            # Another worker may have been faster.
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _fail_abandoned(
    client: MlflowClient, experiment_id: str, run_id: str, fingerprint: str
) -> None:
    """Mark other open runs of this fingerprint as FAILED.

    The caller holds the lock of the fingerprint, so whoever opened such a run was killed, or it is
    a twin of ours: MLflow's client sends a request again when the answer to it is lost.
    """
    for run in client.search_runs(
        [experiment_id],
        f"attributes.status = 'RUNNING' AND tags.`{FINGERPRINT_TAG}` = '{fingerprint}'",
        run_view_type=ViewType.ACTIVE_ONLY,
    ):
        if run.info.run_id != run_id:
            _end_badly(client, run.info.run_id, "The training was interrupted before it ended.")


def _create_run(client: MlflowClient, experiment_id: str, result: TrainingResult) -> str:
    tags = {**_version_tags(result), "model_type": result.deployment.model_name}
    run = client.create_run(experiment_id, result.started_ms, tags, _run_name())
    return str(run.info.run_id)


def _run_name() -> str:
    return f"train_{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _version_tags(result: TrainingResult) -> dict[str, str]:
    deployment = result.deployment
    return {
        "dataset_name": result.dataset_name,
        "dataset_version": str(result.dataset_version),
        "source_run_id": deployment.source_run_id or "",
        "cellar.hyperparameters": json.dumps(deployment.hyperparameters),
        "cellar.dataset_hash": result.content_hash,
        FINGERPRINT_TAG: result.fingerprint,
        **sample_tags(len(result.features), result.drawn_from),
    }


def sample_tags(rows_fitted: int, drawn_from: int | None) -> dict[str, str]:
    """Return the tags that say that a model was fitted to a sample; none where it was not."""
    if drawn_from is None:
        return {}
    return {
        "cellar.rows_fitted": str(rows_fitted),
        "cellar.rows_in_set": str(drawn_from),
        "cellar.sample_seed": str(SEED),
    }


def _log_and_register(
    client: MlflowClient, experiment_id: str, run_id: str, result: TrainingResult
) -> Registered:
    name = result.deployment.model_name
    features = result.features
    parameters = {
        "data_samples": len(features),
        "data_features": features.shape[1],
        "data_classes": len(result.classes),
        **{f"model_{key}": value for key, value in result.deployment.hyperparameters.items()},
    }
    client.log_batch(
        run_id,
        metrics=[
            *(
                Metric(f"training_{name}", value, result.started_ms, 0)
                for name, value in result.metrics.items()
            ),
            Metric("fit_seconds", result.fit_s, result.started_ms, 0),
        ],
        params=[Param(key, str(value)[:LONGEST_PARAM]) for key, value in parameters.items()],
    )
    client.log_inputs(run_id, [_dataset_input(result)])
    model_id = _log_model(client, experiment_id, run_id, result.pipeline, features)
    registered = _register(client, run_id, model_id, name, _version_tags(result))
    client.set_terminated(run_id, "FINISHED")
    return registered


def _register(
    client: MlflowClient, run_id: str, model_id: str, name: str, tags: Mapping[str, str]
) -> Registered:
    """Make a logged model the next version of a registered one, which is made when new."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        tags=dict(tags),
        model_id=model_id,
        # With a database behind MLflow a version is there once the call returns.
        await_creation_for=0,
    )
    return Registered(name, int(version.version), run_id, f"models:/{name}/{version.version}")


def _dataset_input(result: TrainingResult) -> DatasetInput:
    source = {"dataset_name": result.dataset_name, "dataset_version": result.dataset_version}
    dataset = Dataset(
        name=f"{result.dataset_name}_v{result.dataset_version}",
        # MLflow takes at most 36 characters.
        digest=result.content_hash[:36],
        source_type="cellar",
        source=json.dumps(source),
        schema=json.dumps({"columns": list(result.features.columns), "target": result.target_name}),
        profile=json.dumps({"num_rows": len(result.features)}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


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


def _log_model(
    client: MlflowClient,
    experiment_id: str,
    run_id: str,
    pipeline: Pipeline,
    features: pd.DataFrame,
) -> str:
    """Upload the pipeline as a logged model of the run and return its id.

    The steps of `mlflow.sklearn.log_model`, which itself works on the active run of the process
    and loads the model twice more to predict the example.
    """
    logged = client.create_logged_model(experiment_id, "model", source_run_id=run_id)
    model_id = str(logged.model_id)
    description = Model(
        artifact_path=logged.artifact_location,
        model_uuid=model_id,
        run_id=run_id,
        model_id=model_id,
    )
    with tempfile.TemporaryDirectory(prefix="cellar-model-") as folder:
        path = Path(folder) / "model"
        mlflow.sklearn.save_model(
            pipeline,
            str(path),
            mlflow_model=description,
            signature=_signature(features.head(EXAMPLE_ROWS), pipeline),
            input_example=example_of(features, EXAMPLE_ROWS),
            **log_model_options(),
        )
        client.log_model_artifacts(model_id, str(path))
    client.finalize_logged_model(model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


class TrainingRun:
    """An open run that MLflow logs fits to by itself; see `training_run`."""

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, name: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self.id = run_id
        self.name = name

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log measurements beside MLflow's own."""
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        logged = [Metric(key, value, now_ms, 0) for key, value in metrics.items()]
        self._client.log_batch(self.id, metrics=logged)

    def log_model(self, pipeline: Pipeline, features: pd.DataFrame) -> str:
        """Upload the pipeline with signature and input example; return the logged model's id."""
        return _log_model(self._client, self._experiment_id, self.id, pipeline, features)

    def register(self, model_id: str, name: str, tags: Mapping[str, str]) -> Registered:
        """Make a logged model the next version of the registered model `name`."""
        return _register(self._client, self.id, model_id, name, tags)


@contextmanager
def training_run(base_url: str, tags: Mapping[str, str]) -> Iterator[TrainingRun]:
    """Open a run `train_<UTC time>` with autologging; it ends with the block.

    For processes that do nothing else meanwhile: autologging works on the one active run of the
    process. An error in the block ends the run as FAILED, with the traceback as an artifact.

    Raises
    ------
    ModelStoreUnavailable
        MLflow does not answer or refuses.
    """
    client = _client(base_url)
    try:
        mlflow.set_tracking_uri(base_url)
        _autolog()
        experiment_id, name = _experiment_id(client), _run_name()
        run_id = str(client.create_run(experiment_id, tags=dict(tags), run_name=name).info.run_id)
        try:
            with mlflow.start_run(run_id=run_id):
                yield TrainingRun(client, experiment_id, run_id, name)
        except JobGivenUp:
            _end_badly(client, run_id, "The job was cancelled.", "KILLED")
            raise
        except BaseException as error:
            _keep_traceback(client, run_id, error)
            _end_badly(client, run_id, reason(error))
            raise
    except (MlflowException, RequestException) as error:
        raise ModelStoreUnavailable(
            "The MLflow server did not take the training; try again in a moment."
        ) from error


@cache
def _autolog() -> None:
    # We log and register the pipeline ourselves: autologging would pickle it.
    mlflow.sklearn.autolog(
        log_models=False, log_datasets=False, log_post_training_metrics=False, silent=True
    )


def _keep_traceback(client: MlflowClient, run_id: str, error: BaseException) -> None:
    try:
        client.log_text(run_id, "".join(traceback.format_exception(error)), TRACEBACK_FILE)
    except (MlflowException, RequestException) as lost:
        log.warning("Run %s: its traceback could not be stored: %s", run_id, reason(lost))


def _end_badly(client: Any, run_id: str, why: str, status: str = "FAILED") -> None:
    try:
        client.log_batch(run_id, tags=[RunTag(FAILURE_TAG, why[:LONGEST_PARAM])])
        client.set_terminated(run_id, status)
    except (MlflowException, RequestException) as error:
        log.warning("Run %s could not be marked %s: %s", run_id, status, reason(error))
