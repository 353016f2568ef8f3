"""Loading from MLflow: what is cached, what is refused, what an outage looks like."""

from dataclasses import replace
from typing import Any

import pytest
import requests
from sklearn.pipeline import Pipeline

from ml_model.domain import ModelVersion
from ml_model.errors import ModelGone, ModelStoreUnavailable
from ml_model.repository.model_store import MlflowModelStore
from modelkit import storage
from modelkit.pipeline import build_pipeline

VERSION = ModelVersion(1, "DecisionTree", 2, "DecisionTree", "abc", 1, "wine", 1)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return build_pipeline("DecisionTree", {}, ["x"]).fit([[1.0], [2.0]], [0, 1])


class FakeMlflow:
    """Answers the three requests that a load takes, and counts all."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.fingerprint = "abc"
        self.status = 200
        self.away = False
        self.paths: list[str] = []

    def get(self, url: str, params: Any, timeout: Any) -> requests.Response:
        if self.away:
            raise requests.ConnectionError("refused")
        path = url.removeprefix("http://mlflow")
        self.paths.append(path)
        answer = requests.Response()
        answer.status_code = self.status
        answer._content = self.answer(path)
        return answer

    def answer(self, path: str) -> bytes:
        if path.endswith("/model-versions/get"):
            tag = f'{{"key": "cellar.fingerprint", "value": "{self.fingerprint}"}}'
            return f'{{"model_version": {{"source": "models:/m-1", "tags": [{tag}]}}}}'.encode()
        if path.endswith("/logged-models/m-1"):
            uri = "mlflow-artifacts:/7/models/m-1/artifacts"
            return f'{{"model": {{"info": {{"artifact_uri": "{uri}"}}}}}}'.encode()
        return self.content


@pytest.fixture
def mlflow(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    fake = FakeMlflow(storage.dumps(pipeline))
    monkeypatch.setattr(requests, "get", fake.get)
    return fake


@pytest.fixture
def store() -> MlflowModelStore:
    return MlflowModelStore("http://mlflow/", capacity=2, connect_timeout_s=1, read_timeout_s=1)


def test_a_version_is_fetched_once(mlflow: FakeMlflow, store: MlflowModelStore) -> None:
    assert store.load(VERSION).predict([[1.0]]).tolist() == [0]
    assert mlflow.paths[-1] == (
        "/api/2.0/mlflow-artifacts/artifacts/7/models/m-1/artifacts/model.skops"
    )
    mlflow.away = True
    assert store.load(VERSION).predict([[2.0]]).tolist() == [1]
    assert len(mlflow.paths) == 3


def test_the_least_recently_used_goes_first(
    mlflow: FakeMlflow, store: MlflowModelStore, pipeline: Pipeline
) -> None:
    versions = [replace(VERSION, version=number) for number in (1, 2, 3)]
    store.keep(versions[0], pipeline)
    store.keep(versions[1], pipeline)
    store.load(versions[0])
    store.keep(versions[2], pipeline)
    store.load(versions[0])
    assert mlflow.paths == []
    store.load(versions[1])
    assert len(mlflow.paths) == 3


def test_an_outage_is_told_and_forgotten(mlflow: FakeMlflow, store: MlflowModelStore) -> None:
    mlflow.away = True
    with pytest.raises(ModelStoreUnavailable):
        store.load(VERSION)
    with pytest.raises(ModelStoreUnavailable):
        store.check()
    mlflow.away = False
    mlflow.status = 502
    with pytest.raises(ModelStoreUnavailable, match="502"):
        store.load(VERSION)
    mlflow.status = 200
    store.check()
    assert store.load(VERSION).predict([[1.0]]).tolist() == [0]


def test_a_lost_or_exchanged_model_is_gone(mlflow: FakeMlflow, store: MlflowModelStore) -> None:
    mlflow.status = 404
    with pytest.raises(ModelGone):
        store.load(VERSION)
    mlflow.status = 200
    mlflow.fingerprint = "that of another model under the same number"
    with pytest.raises(ModelGone):
        store.load(VERSION)


def test_a_foreign_file_is_not_loaded(mlflow: FakeMlflow, store: MlflowModelStore) -> None:
    mlflow.content = b"cos\nsystem\n(S'true'\ntR."
    with pytest.raises(storage.ModelNotTrusted):
        store.load(VERSION)
