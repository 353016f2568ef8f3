"""Models from anywhere in MLflow become servable, or stay out with nothing stored."""

import json
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import requests
from flask import Flask, current_app
from mlflow import MlflowClient
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import ml_model.settings
from ml_model.errors import ModelRefused, ModelUriUnknown, VersionNotServable
from ml_model.repository.model_uris import ModelUris
from ml_model.repository.serving_models import SqlServingModels
from ml_model.repository.sets import SqlSets
from ml_model.service.serving_models import ServingModels
from mlflowrest.client import Mlflow
from mlflowrest.errors import MlflowUnavailable
from modelkit.storage import trusted_types
from servicekit.database import Database
from tests.integration.ml_model.conftest import Lab

with warnings.catch_warnings():
    # It warns about type hints of its own when first imported.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import mlflow.sklearn

IRIS = load_iris(as_frame=True)


@dataclass
class Kitchen:
    """The service's own parts on a fresh database, and a hand that logs models into MLflow."""

    lab: Lab
    client: MlflowClient
    folder: Path
    make_serving: Callable[..., ServingModels]
    serving: ServingModels

    def log(self, model: Any, name: str = "model", **more: Any) -> Any:
        """Log a model as anybody would and return what MLflow says of it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.set_tracking_uri(self.lab.mlflow_url)
            mlflow.set_experiment("models from elsewhere")
            with mlflow.start_run():
                options = {
                    "pip_requirements": ["scikit-learn"],
                    "skops_trusted_types": trusted_types(),
                    **more,
                }
                return mlflow.sklearn.log_model(model, name=name, **options)

    def iris(self, model: Any = None, **more: Any) -> Any:
        """Log a classifier of iris, with a signature and an example unless told otherwise."""
        estimator = LogisticRegression(max_iter=500) if model is None else model
        fitted = estimator.fit(IRIS.data, IRIS.target)
        options = {
            "signature": infer_signature(IRIS.data, fitted.predict(IRIS.data)),
            "input_example": IRIS.data.head(3),
            **more,
        }
        return self.log(fitted, **options)

    def refused(self, uri: str, kind: type[Exception] = ModelRefused) -> Any:
        """Prepare what must be refused; nothing may have been stored."""
        with pytest.raises(kind) as refusal:
            self.serving.prepare(uri)
        assert self.lab.count("model_versions") == self.lab.count("serving_models") == 0
        return refusal.value


@pytest.fixture
def kitchen(lab: Lab, tmp_path: Path) -> Iterator[Kitchen]:
    settings = lab.database.settings(ml_model.settings.Settings)
    database = Database(settings)
    app = Flask("serving_models")
    database.init_app(app)

    def make_serving(**changes: Any) -> ServingModels:
        options = {"capacity": 4, "allow_pickled": False, **changes}
        mlflow_client = Mlflow(f"http://127.0.0.1:{lab.mlflow_gate.port}")
        return ServingModels(
            database,
            SqlServingModels(database.session),
            SqlSets(database.session),
            ModelUris(mlflow_client),
            **options,
        )

    with app.app_context():
        client = MlflowClient(lab.mlflow_url, lab.mlflow_url)
        yield Kitchen(lab, client, tmp_path, make_serving, make_serving())


def registered(kitchen: Kitchen, name: str, **more: Any) -> Any:
    return kitchen.iris(registered_model_name=name, **more)


def same_as(model: Any, fitted: Any, data: Any = IRIS.data) -> bool:
    rows = model.rows_from_lists(data.to_numpy().tolist())
    predicted = model.predict(rows)
    return (
        predicted.labels == fitted.predict(data).tolist()
        and np.abs(predicted.probabilities - fitted.predict_proba(data)).max() < 1e-5
    )


def test_every_kind_of_uri_leads_to_its_model(kitchen: Kitchen) -> None:
    name = f"elsewhere-{uuid4().hex[:8]}"
    first = registered(kitchen, name)
    second = registered(kitchen, name, model=RandomForestClassifier(10, random_state=1))
    kitchen.client.set_registered_model_alias(name, "champion", "1")

    by_number = kitchen.serving.prepare(f"models:/{name}/1")
    assert (by_number.registered_name, by_number.version) == (name, 1)
    assert by_number.model_name == "LogisticRegression"
    assert kitchen.serving.prepare(f"models:/{name}@champion").id == by_number.id
    newest = kitchen.serving.prepare(f"models:/{name}/latest")
    assert (newest.version, newest.model_name) == (2, "RandomForestClassifier")

    logged = kitchen.serving.prepare(f"models:/{first.model_id}")
    assert (logged.registered_name, logged.version) == (f"models:/{first.model_id}", 0)
    of_run = kitchen.serving.prepare(f"runs:/{second.run_id}/model")
    assert (of_run.registered_name, of_run.version) == (f"runs:/{second.run_id}/model", 0)

    assert len({by_number.id, newest.id, logged.id, of_run.id}) == 4
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
    for version in (by_number, logged):
        model = kitchen.serving.load(version.id)
        assert model.runtime == "onnx"
        assert [column.name for column in model.columns] == list(IRIS.data)
        assert same_as(model, fitted)
    forest = RandomForestClassifier(10, random_state=1).fit(IRIS.data, IRIS.target)
    for version in (newest, of_run):
        assert same_as(kitchen.serving.load(version.id), forest)


def test_a_model_among_a_runs_artifacts_as_before_mlflow_3(kitchen: Kitchen) -> None:
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
    path = kitchen.folder / "old"
    mlflow.sklearn.save_model(fitted, str(path), input_example=IRIS.data.head(2))
    experiment = kitchen.client.create_experiment(f"old {uuid4().hex}")
    run_id = kitchen.client.create_run(experiment).info.run_id
    kitchen.client.log_artifacts(run_id, str(path), "classic/model")

    version = kitchen.serving.prepare(f"runs:/{run_id}/classic/model")
    assert (version.registered_name, version.version) == (f"runs:/{run_id}/classic/model", 0)
    assert same_as(kitchen.serving.load(version.id), fitted)

    name = f"old-{uuid4().hex[:8]}"
    kitchen.client.create_registered_model(name)
    source = f"{kitchen.client.get_run(run_id).info.artifact_uri}/classic/model"
    kitchen.client.create_model_version(name, source, run_id)
    assert same_as(kitchen.serving.load(kitchen.serving.prepare(f"models:/{name}/1").id), fitted)

    kitchen.client.copy_model_version(f"models:/{name}/1", f"{name}-copy")
    copy = kitchen.serving.prepare(f"models:/{name}-copy/1")
    assert same_as(kitchen.serving.load(copy.id), fitted)


def test_preparing_again_changes_nothing(kitchen: Kitchen) -> None:
    name = f"again-{uuid4().hex[:8]}"
    registered(kitchen, name)
    once = kitchen.serving.prepare(f"models:/{name}/1")
    before = kitchen.lab.database.rows("SELECT * FROM serving_models")
    assert kitchen.serving.prepare(f"models:/{name}/1") == once
    assert kitchen.make_serving().prepare(f"models:/{name}/1") == once
    assert kitchen.lab.database.rows("SELECT * FROM serving_models") == before


def test_a_name_given_anew_is_another_version(kitchen: Kitchen) -> None:
    name = f"anew-{uuid4().hex[:8]}"
    registered(kitchen, name)
    old = kitchen.serving.prepare(f"models:/{name}/1")
    kitchen.client.delete_registered_model(name)
    registered(kitchen, name, model=RandomForestClassifier(3, random_state=0))
    new = kitchen.serving.prepare(f"models:/{name}/1")
    assert new.id != old.id
    assert new.model_name == "RandomForestClassifier"
    found = kitchen.lab.database.rows("SELECT version FROM model_versions ORDER BY id")
    assert found == [(-old.id,), (1,)]
    # What stands in a slot goes on.
    assert kitchen.serving.load(old.id).classes == (0, 1, 2)


def test_the_parity_report_is_stored_and_on_the_versions_tag(kitchen: Kitchen) -> None:
    name = f"parity-{uuid4().hex[:8]}"
    registered(kitchen, name)
    version = kitchen.serving.prepare(f"models:/{name}/1")
    parity = kitchen.serving.load(version.id).parity
    assert parity["runtime"] == "onnx"
    assert parity["rows"] == 203
    assert parity["source"] == "input example and rows drawn around it"
    assert parity["label_mismatches"] == 0
    assert parity["max_probability_difference"] <= parity["bound"] == 1e-5
    tags = kitchen.client.get_model_version(name, "1").tags
    assert json.loads(tags["cellar.onnx_parity"]) == parity


def test_mlflow_away_after_preparing_does_not_matter(kitchen: Kitchen) -> None:
    name = f"away-{uuid4().hex[:8]}"
    registered(kitchen, name)
    version = kitchen.serving.prepare(f"models:/{name}/1")
    kitchen.lab.mlflow_gate.shut()
    model = kitchen.make_serving().load(version.id)
    assert model.predict(model.rows_from_lists([[5.1, 3.5, 1.4, 0.2]])).labels == [0]
    with pytest.raises(MlflowUnavailable):
        kitchen.serving.prepare(f"models:/{name}/1")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "model",
        "models:/",
        "models:/nobody/1",
        "models:/nobody/latest",
        "models:/nobody@champion",
        "models:/nobody/Production",
        f"models:/m-{'0' * 32}",
        f"runs:/{'0' * 32}/model",
        "runs:/x/model",
        "file:///etc/passwd",
        "models:/a/../../b/1",
    ],
)
def test_what_mlflow_does_not_know_is_refused(kitchen: Kitchen, uri: str) -> None:
    kitchen.refused(uri, ModelUriUnknown)


def test_a_run_without_such_a_model_and_an_alias_of_nothing(kitchen: Kitchen) -> None:
    name = f"partly-{uuid4().hex[:8]}"
    logged = registered(kitchen, name)
    for uri in (
        f"runs:/{logged.run_id}/other",
        f"runs:/{logged.run_id}/../../x",
        f"models:/{name}@nobody",
        f"models:/{name}/2",
    ):
        kitchen.refused(uri, ModelUriUnknown)
    kitchen.client.delete_run(logged.run_id)
    kitchen.refused(f"runs:/{logged.run_id}/model", ModelUriUnknown)


def test_a_pickle_is_refused_unless_the_operator_allows_it(kitchen: Kitchen) -> None:
    logged = kitchen.iris(serialization_format="cloudpickle")
    refusal = kitchen.refused(logged.model_uri)
    assert refusal.error == "Model not trusted"
    assert "CELLAR_ALLOW_PICKLED_MODELS" in refusal.message
    allowing = kitchen.make_serving(allow_pickled=True)
    model = allowing.load(allowing.prepare(logged.model_uri).id)
    assert same_as(model, LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target))


def test_a_pickle_that_does_not_load_is_refused_even_when_allowed(kitchen: Kitchen) -> None:
    logged = kitchen.iris(serialization_format="pickle")
    kitchen.serving = kitchen.make_serving(allow_pickled=True)
    replace_file(kitchen, logged, "model.pkl", pickle.dumps(KMeans)[:-5])
    assert "does not load" in kitchen.refused(logged.model_uri).message


def test_a_type_beyond_our_list_is_refused_whatever_the_model_says_it_may_hold(
    kitchen: Kitchen,
) -> None:
    fitted = make_pipeline(Doubled(), LogisticRegression(max_iter=500)).fit(IRIS.data, IRIS.target)
    logged = kitchen.log(
        fitted,
        input_example=IRIS.data.head(2),
        skops_trusted_types=[f"{Doubled.__module__}.Doubled"],
    )
    assert "Doubled" in kitchen.refused(logged.model_uri).message


def test_a_broken_file_is_refused(kitchen: Kitchen) -> None:
    logged = kitchen.iris()
    replace_file(kitchen, logged, "model.skops", b"PK nothing")
    kitchen.refused(logged.model_uri)
    replace_file(kitchen, logged, "MLmodel", b"{")
    assert "MLmodel" in kitchen.refused(logged.model_uri).message
    replace_file(kitchen, logged, "MLmodel", b"flavors: {pytorch: {}, python_function: {}}")
    assert "pytorch" in kitchen.refused(logged.model_uri).message
    outside = b"flavors: {sklearn: {pickled_model: ../../x, serialization_format: skops}}"
    replace_file(kitchen, logged, "MLmodel", outside)
    assert "outside" in kitchen.refused(logged.model_uri).message


def test_a_model_that_fails_its_own_example_is_refused(kitchen: Kitchen) -> None:
    logged = kitchen.iris()
    wrong = {"columns": [*IRIS.data.columns[:3], "colour"], "data": [[5.1, 3.5, 1.4, 0.2]]}
    replace_file(kitchen, logged, "input_example.json", json.dumps(wrong).encode())
    refusal = kitchen.refused(logged.model_uri)
    assert "input example" in refusal.message
    assert {detail.path for detail in refusal.details} == {
        "input_example.0.petal width (cm)",
        "input_example.0.colour",
    }
    text = {"columns": list(IRIS.data), "data": [[5.1, "wide", 1.4, 0.2]]}
    replace_file(kitchen, logged, "input_example.json", json.dumps(text).encode())
    assert "text" in kitchen.refused(logged.model_uri).message


def test_a_signature_that_is_not_the_models_is_refused(kitchen: Kitchen) -> None:
    signature = ModelSignature(Schema([ColSpec("double", "only")]))
    logged = kitchen.iris(signature=signature, input_example=None)
    assert "does not predict" in kitchen.refused(logged.model_uri).message


def test_a_model_that_predicts_no_class_and_no_number_is_refused(kitchen: Kitchen) -> None:
    clusters = KMeans(2, n_init=1).fit(IRIS.data)
    logged = kitchen.log(clusters, input_example=IRIS.data.head(2))
    assert "neither" in kitchen.refused(logged.model_uri).message


def test_a_model_without_signature_and_example_takes_what_it_was_fitted_on(
    kitchen: Kitchen,
) -> None:
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data.to_numpy(), IRIS.target)
    version = kitchen.serving.prepare(kitchen.log(fitted).model_uri)
    model = kitchen.serving.load(version.id)
    assert [column.name for column in model.columns] == ["x0", "x1", "x2", "x3"]
    assert model.parity["source"].startswith("rows drawn at random")
    assert model.predict(model.rows_from_lists([[5.1, 3.5, 1.4, 0.2]])).labels == [0]


def test_an_example_of_arrays(kitchen: Kitchen) -> None:
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data.to_numpy(), IRIS.target)
    logged = kitchen.log(fitted, input_example=IRIS.data.to_numpy()[:2])
    model = kitchen.serving.load(kitchen.serving.prepare(logged.model_uri).id)
    assert model.parity["rows"] == 202
    assert model.numeric


def test_a_regression(kitchen: Kitchen) -> None:
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    fitted = LinearRegression().fit(data, target)
    logged = kitchen.log(fitted, input_example=data.head(2))
    model = kitchen.serving.load(kitchen.serving.prepare(logged.model_uri).id)
    assert (model.task, model.classes, model.runtime) == ("regression", (), "onnx")
    predicted = model.predict(model.rows_from_lists(data.head(7).to_numpy().tolist()))
    np.testing.assert_allclose(predicted.labels, fitted.predict(data.head(7)), rtol=1e-6)
    assert predicted.probabilities is None


def test_columns_of_text_and_the_categories_their_encoder_knows(kitchen: Kitchen) -> None:
    frame = pd.DataFrame(
        {"colour": ["red", "blue", "green", "red"] * 10, "size": np.linspace(0, 1, 40)}
    )
    target = np.where((frame["colour"] == "red") ^ (frame["size"] > 0.5), "yes", "no")
    encoder = ColumnTransformer([("colour", OneHotEncoder(), ["colour"])], remainder="passthrough")
    fitted = make_pipeline(encoder, LogisticRegression()).fit(frame, target)
    logged = kitchen.log(
        fitted,
        signature=infer_signature(frame, fitted.predict(frame)),
        input_example=frame.head(4),
    )
    model = kitchen.serving.load(kitchen.serving.prepare(logged.model_uri).id)
    assert not model.numeric
    assert model.columns[0].categories == ("blue", "green", "red")
    records = frame.to_dict("records")
    predicted = model.predict(model.rows_from_records(records))
    assert predicted.labels == fitted.predict(frame).tolist()
    np.testing.assert_allclose(predicted.probabilities, fitted.predict_proba(frame), atol=1e-5)


def test_class_names_of_the_models_metadata(kitchen: Kitchen) -> None:
    logged = kitchen.iris(metadata={"class_names": ["setosa", "versicolor", "virginica"]})
    model = kitchen.serving.load(kitchen.serving.prepare(logged.model_uri).id)
    assert model.class_names == ("setosa", "versicolor", "virginica")


def test_a_trained_version_is_servable_before_it_is_deployed(wine: Lab, kitchen: Kitchen) -> None:
    wine.ml.set_model("LogisticRegression", C=0.5, solver="liblinear")
    trained = wine.ml.score("training")
    version_id = wine.database.rows("SELECT id FROM model_versions")[0][0]
    model = kitchen.serving.load(version_id)
    assert model.runtime == "onnx"
    assert model.parity["source"] == "testing set"
    assert model.parity["rows"] == 36
    assert model.class_names == ("class_0", "class_1", "class_2")
    # It imputes: null is a missing value.
    assert not any(column.required for column in model.columns)
    rows = model.rows_from_lists([[13.2, *[None] * 12]])
    assert model.predict(rows).probabilities is not None
    uri = f"models:/{trained['registered_model_name']}/{trained['model_version']}"
    assert kitchen.serving.prepare(uri).id == version_id


def test_a_version_of_ours_that_was_never_prepared_is_compared_on_its_testing_set(
    wine: Lab, kitchen: Kitchen
) -> None:
    wine.ml.set_model("DecisionTree")
    trained = wine.ml.score("training")
    wine.database.execute("DELETE FROM serving_models")
    uri = f"models:/{trained['registered_model_name']}/{trained['model_version']}"
    version = kitchen.serving.prepare(uri)
    model = kitchen.serving.load(version.id)
    assert model.parity["source"] == "testing set"
    assert wine.count("model_versions") == 1
    # Its signature says that every column may be missing.
    assert not any(column.required for column in model.columns)


def test_training_without_a_testing_set_compares_on_the_training_set(
    lab: Lab, kitchen: Kitchen
) -> None:
    lab.load("training", dataset_name="iris")
    lab.ml.set_model("KNN")
    lab.ml.score("training", dataset_name="iris")
    version_id = lab.database.rows("SELECT id FROM model_versions")[0][0]
    model = kitchen.serving.load(version_id)
    assert model.parity["source"] == "training set"
    assert model.class_names == ("setosa", "versicolor", "virginica")


def test_a_version_that_was_never_prepared_cannot_be_loaded(kitchen: Kitchen) -> None:
    with pytest.raises(VersionNotServable):
        kitchen.serving.load(1)


def test_only_so_many_models_stay_in_memory(kitchen: Kitchen) -> None:
    few = kitchen.make_serving(capacity=1)
    versions = [few.prepare(kitchen.iris().model_uri).id for _ in range(2)]
    first = few.load(versions[0])
    assert few.load(versions[0]) is first
    few.load(versions[1])
    assert few.load(versions[0]) is not first


def replace_file(kitchen: Kitchen, logged: Any, name: str, content: bytes) -> None:
    """Put other bytes in place of a file of a logged model."""
    model = kitchen.client.get_logged_model(logged.model_id)
    folder = model.artifact_location.removeprefix("mlflow-artifacts:").lstrip("/")
    url = f"{kitchen.lab.mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}"
    assert requests.put(url, data=content, timeout=30).status_code == 200


class Doubled:
    """A transformer that is nobody's but this test's."""

    def fit(self, X: Any, y: Any = None) -> "Doubled":
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X) * 2


def test_two_at_once_prepare_one_version(kitchen: Kitchen) -> None:
    uri = kitchen.iris().model_uri
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    barrier, found = threading.Barrier(3), []

    def prepare() -> None:
        with app.app_context():
            barrier.wait(30)
            found.append(kitchen.serving.prepare(uri).id)

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3 and len(set(found)) == 1
    assert kitchen.lab.count("model_versions") == kitchen.lab.count("serving_models") == 1


def test_a_tag_that_mlflow_does_not_take_stops_nobody(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"untagged-{uuid4().hex[:8]}"
    registered(kitchen, name)

    def fail(*_: Any) -> None:
        raise MlflowUnavailable()

    monkeypatch.setattr(ModelUris, "tag", fail)
    version = kitchen.serving.prepare(f"models:/{name}/1")
    assert kitchen.serving.load(version.id).runtime == "onnx"
