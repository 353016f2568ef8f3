"""Set, train, score: what the answers say and what is left in Postgres and MLflow."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.integration.ml_model.conftest import Lab, tags_of

RUN_ID = "0123456789abcdef0123456789abcdef"


def test_before_anything_is_set(lab: Lab) -> None:
    answer = lab.ml.ask("GET", "/root/ml")
    assert answer["name"] is None
    assert answer["message"] == "ML model"
    assert answer["trained"] is False
    assert lab.ml.ask("GET", "/ready")["status"] == "ready"


def test_the_walk_through(wine: Lab) -> None:
    answer = wine.ml.set_model("LogisticRegression", RUN_ID, C=0.1, solver="liblinear")
    assert answer["message"] == "Model successfully uploaded"
    state = wine.ml.ask("GET", "/root/ml")
    assert state["name"] == "LogisticRegression"
    assert state["hyperparameters"] == {"C": 0.1, "solver": "liblinear"}
    assert state["trained"] is False

    training = wine.ml.score("training")
    assert training["message"] == f"Score on training set: {training['score'] * 100}%"
    assert training["rows"] == 106
    assert (training["dataset_name"], training["dataset_version"]) == ("wine", 1)
    testing, production = wine.ml.score("testing"), wine.ml.score("production")
    assert (testing["rows"], production["rows"]) == (36, 36)
    assert testing["score"] > production["score"]
    state = wine.ml.ask("GET", "/root/ml")
    assert state["trained"] is True
    assert state["model_version"] == training["model_version"] == production["model_version"]
    assert {len(wine.predictions(name)) for name in ("testing", "production")} == {36}
    assert len(wine.predictions("training")) == 106


def test_scores_are_those_of_plain_scikit_learn(wine: Lab) -> None:
    wine.ml.set_model("LogisticRegression", C=0.1, solver="liblinear")
    training, testing = wine.ml.score("training"), wine.ml.score("testing")
    columns = list(load_wine().feature_names)
    listed = ", ".join(f'"{name}"' for name in columns)
    frames = {
        name: np.array(
            wine.database.rows(
                f"SELECT {listed}, target FROM samples.wine_v1 WHERE set_name = %s"  # noqa: S608
                " ORDER BY row_number",
                (name,),
            ),
            dtype=float,
        )
        for name in ("training", "testing")
    }
    plain = make_pipeline(
        SimpleImputer(strategy="median"),
        StandardScaler(),
        OneVsRestClassifier(LogisticRegression(C=0.1, solver="liblinear", random_state=42)),
    ).fit(frames["training"][:, :-1], frames["training"][:, -1])
    for name, answer in (("training", training), ("testing", testing)):
        assert answer["score"] == plain.score(frames[name][:, :-1], frames[name][:, -1])


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("RandomForest", {"n_estimators": 10, "max_depth": None}),
        ("SVC", {"C": 1, "kernel": "rbf", "class_weight": {"0": 2, "1": 1.5, "2": 1}}),
        ("HistGradientBoosting", {"max_iter": 5}),
        ("DecisionTree", {}),
        ("KNN", {"n_neighbors": 3}),
        ("LinearSVC", {}),
    ],
)
def test_every_model_trains_and_comes_back_from_mlflow(
    wine: Lab, name: str, hyperparameters: dict[str, Any]
) -> None:
    wine.ml.set_model(name, **hyperparameters)
    assert wine.ml.score("training")["score"] > 0.9
    first = wine.ml.score("testing")
    kept = wine.predictions("testing")
    again = wine.another_ml()
    assert again.score("testing") == first
    assert wine.predictions("testing") == kept
    shares = [shares for _, shares in kept.values()]
    if name in ("SVC", "LinearSVC"):
        assert shares == [None] * 36
    else:
        assert np.allclose(np.sum(shares, axis=1), 1)


def test_types_survive_the_ledger(wine: Lab) -> None:
    values = {"n_estimators": 7, "max_depth": None, "bootstrap": True, "max_features": 0.5,
              "min_samples_leaf": 1, "criterion": "entropy", "ccp_alpha": 0.0}  # fmt: skip
    wine.ml.set_model("RandomForest", **values)
    stored = wine.ml.ask("GET", "/root/ml")["hyperparameters"]
    assert stored == values
    assert {key: type(value) for key, value in stored.items()} == {
        key: type(value) for key, value in values.items()
    }


def test_what_mlflow_keeps_of_a_training(wine: Lab) -> None:
    wine.ml.set_model("DecisionTree", RUN_ID, max_depth=3, min_samples_leaf=0.01)
    answer = wine.ml.score("training")
    [run] = wine.finished_runs()
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["run_name"].startswith("train_20")
    tags = tags_of(run["data"])
    assert (tags["dataset_name"], tags["dataset_version"]) == ("wine", "1")
    assert tags["source_run_id"] == RUN_ID
    assert json.loads(tags["cellar.hyperparameters"]) == {"max_depth": 3, "min_samples_leaf": 0.01}
    metrics = {item["key"]: item["value"] for item in run["data"]["metrics"]}
    assert metrics["training_accuracy"] == answer["score"]
    params = {item["key"]: item["value"] for item in run["data"]["params"]}
    assert params["data_samples"] == "106" and params["model_max_depth"] == "3"
    [dataset] = run["inputs"]["dataset_inputs"]
    assert dataset["dataset"]["name"] == "wine_v1"

    version = wine.mlflow("model-versions/get", name="DecisionTree",
                          version=answer["model_version"])["model_version"]  # fmt: skip
    assert version["status"] == "READY"
    assert version["run_id"] == run["info"]["run_id"]
    assert tags_of(version)["source_run_id"] == RUN_ID
    assert tags_of(version)["dataset_name"] == "wine"
    [row] = wine.database.rows("SELECT training_run_id, model_uri, version FROM model_versions")
    assert row[0] == run["info"]["run_id"]
    assert row[1] == f"models:/DecisionTree/{answer['model_version']}"


def test_the_logged_model_describes_itself(wine: Lab) -> None:
    wine.ml.set_model("KNN")
    answer = wine.ml.score("training")
    from mlflow import MlflowClient
    from mlflow.models import Model

    client = MlflowClient(wine.mlflow_url, wine.mlflow_url)
    version = client.get_model_version("KNN", answer["model_version"])
    location = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    import mlflow.artifacts

    folder = mlflow.artifacts.download_artifacts(location, tracking_uri=wine.mlflow_url)
    model = Model.load(folder)
    assert model.signature is not None
    assert len(model.signature.inputs.inputs) == 13
    assert model.saved_input_example_info is not None
    assert model.flavors["sklearn"]["serialization_format"] == "skops"


class TestRepeating:
    """Doing it twice leaves what once leaves."""

    def test_training_twice_registers_once(self, wine: Lab) -> None:
        wine.ml.set_model("DecisionTree")
        first = wine.ml.score("training")
        kept = wine.predictions("training")
        assert wine.ml.score("training") == first
        assert wine.another_ml().score("training") == first
        assert wine.predictions("training") == kept
        assert (wine.count("model_versions"), len(wine.finished_runs())) == (1, 1)
        assert wine.count("deployments") == 2

    def test_setting_the_same_model_leaves_it_trained(self, wine: Lab) -> None:
        wine.ml.set_model("DecisionTree", RUN_ID, max_depth=4)
        wine.ml.score("training")
        wine.ml.set_model("DecisionTree", RUN_ID, max_depth=4)
        wine.ml.set_model("DecisionTree", max_depth=4)
        assert wine.ml.ask("GET", "/root/ml")["trained"] is True
        assert wine.count("deployments") == 2
        wine.ml.set_model("DecisionTree", max_depth=5)
        assert wine.ml.ask("GET", "/root/ml")["trained"] is False

    def test_going_back_finds_the_version_trained_before(self, wine: Lab) -> None:
        wine.ml.set_model("DecisionTree")
        first = wine.ml.score("training")
        wine.ml.set_model("KNN")
        wine.ml.score("training")
        wine.ml.set_model("DecisionTree")
        assert wine.ml.send("POST", "/root/ml", {"dataset": "testing"})[0] == 409
        assert wine.ml.score("training") == first
        assert wine.count("model_versions") == 2

    def test_scoring_again_replaces(self, wine: Lab) -> None:
        wine.ml.set_model("DecisionTree")
        wine.ml.score("training")
        first = wine.ml.score("testing")
        assert wine.ml.score("testing") == first
        assert (wine.count("predictions"), wine.count("scorings")) == (106 + 36, 2)

    def test_other_rows_give_another_version(self, wine: Lab) -> None:
        wine.ml.set_model("DecisionTree")
        first = wine.ml.score("training")
        wine.load("training", seed=7)
        second = wine.ml.score("training")
        assert second["model_version"] != first["model_version"]
        wine.load("training")
        assert wine.ml.score("training") == first


def test_two_datasets_live_side_by_side(wine: Lab) -> None:
    wine.ml.set_model("DecisionTree")
    wine.ml.score("training")
    wine.load("training", "testing", dataset_name="iris")
    status, answer = wine.ml.send(
        "POST", "/root/ml", {"dataset": "testing", "dataset_name": "iris"}
    )
    assert status == 409
    assert 'POST /root/ml {"dataset": "training", "dataset_name": "iris"}' in answer["message"]
    trained = wine.ml.score("training", dataset_name="iris")
    assert (trained["dataset_name"], trained["rows"]) == ("iris", 90)
    assert wine.ml.score("testing", dataset_name="iris")["rows"] == 30
    assert wine.ml.ask("GET", "/root/ml")["dataset_name"] == "iris"


def test_what_is_due_first_is_named(lab: Lab) -> None:
    def message(dataset: str) -> str:
        status, answer = lab.ml.send("POST", "/root/ml", {"dataset": dataset})
        assert status == 409
        return str(answer["message"])

    load = 'POST /root/simulator {"set_name": "%s"}'
    assert load % "training" in message("training")
    lab.load("training")
    assert "POST /root/ml/set_model" in message("training")
    assert "POST /root/ml/set_model" in message("testing")
    lab.ml.set_model("DecisionTree")
    assert 'POST /root/ml {"dataset": "training"}' in message("testing")
    lab.ml.score("training")
    assert load % "testing" in message("testing")
    lab.load("testing")
    lab.ml.score("testing")
    assert load % "production" in message("production")
