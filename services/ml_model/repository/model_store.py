"""Fitted pipelines in MLflow.

Loading needs three plain HTTP requests and no MLflow library, so a service that only scores never
imports it (3 s and 40 MiB per process); registering does, in `ml_model.repository.mlflow_models`.
"""

import threading
from collections import OrderedDict
from typing import Any

import requests
from sklearn.pipeline import Pipeline

from ml_model.domain import ModelVersion, Registered, TrainingResult
from ml_model.errors import ModelGone, ModelStoreUnavailable
from modelkit import storage

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
FINGERPRINT_TAG = "cellar.fingerprint"


class MlflowModelStore:
    """Registers pipelines in MLflow and loads them back, keeping a few in memory.

    A version never changes once it is recorded, so a cached pipeline is never stale; scoring goes
    on from the cache while MLflow is away.
    """

    def __init__(
        self, base_url: str, *, capacity: int, connect_timeout_s: float, read_timeout_s: float
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = (connect_timeout_s, read_timeout_s)
        self._capacity = capacity
        self._cache: OrderedDict[str, Pipeline] = OrderedDict()
        self._lock = threading.Lock()

    def register(self, result: TrainingResult) -> Registered:
        """Log a fit as a run of the experiment `training` and register its pipeline.

        Raises
        ------
        ModelStoreUnavailable
            MLflow does not answer or refuses; a run that was begun is marked FAILED.
        """
        # The library costs seconds and memory: only a worker that trains pays for it.
        from ml_model.repository import mlflow_models

        return mlflow_models.register(self._base_url, result)

    def keep(self, version: ModelVersion, pipeline: Pipeline) -> None:
        """Put a pipeline into the cache."""
        with self._lock:
            self._cache[_key(version)] = pipeline
            self._cache.move_to_end(_key(version))
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)

    def load(self, version: ModelVersion) -> Pipeline:
        """Return the fitted pipeline of a recorded version.

        Raises
        ------
        ModelGone
            MLflow does not have it (any more), or another model by its number.
        ModelStoreUnavailable
            MLflow does not answer.
        ModelNotTrusted
            The file holds types that no registry entry names.
        """
        with self._lock:
            pipeline = self._cache.get(_key(version))
        if pipeline is None:
            pipeline = storage.loads(self._download(version))
        self.keep(version, pipeline)
        return pipeline

    def check(self) -> None:
        """Raise `ModelStoreUnavailable` unless MLflow answers."""
        self._get("/health")

    def _download(self, version: ModelVersion) -> bytes:
        found = self._get(
            f"{API}/model-versions/get", name=version.registered_name, version=str(version.version)
        ).json()["model_version"]
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        if tags.get(FINGERPRINT_TAG) != version.fingerprint:
            raise ModelGone()
        model_id = found["source"].removeprefix("models:/")
        info = self._get(f"{API}/logged-models/{model_id}").json()["model"]["info"]
        folder = info["artifact_uri"].removeprefix("mlflow-artifacts:").lstrip("/")
        return self._get(f"{ARTIFACTS}/{folder}/{storage.MODEL_FILE}").content

    def _get(self, path: str, **query: Any) -> requests.Response:
        try:
            answer = requests.get(f"{self._base_url}{path}", params=query, timeout=self._timeout_s)
        except requests.RequestException as error:
            raise ModelStoreUnavailable() from error
        if answer.status_code in (400, 404):
            raise ModelGone()
        if answer.status_code != 200:
            raise ModelStoreUnavailable(f"MLflow answered {answer.status_code}; try again.")
        return answer


def _key(version: ModelVersion) -> str:
    return f"{version.fingerprint}/{version.registered_name}/{version.version}"
