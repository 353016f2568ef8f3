"""From training to the canary and back, with real models in a real MLflow, over REST alone."""

import time
import warnings
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.datasets import load_wine
from sklearn.naive_bayes import GaussianNB

from tests.integration.ml_model.conftest import Lab, Service

ROWS = load_wine().data.tolist()


def train(lab: Lab, name: str, **hyperparameters: Any) -> str:
    """Set and train a model; return its URI."""
    lab.ml.set_model(name, **hyperparameters)
    answer = lab.ml.score("training")
    return f"models:/{answer['registered_model_name']}/{answer['model_version']}"


def predict(service: Service, rows: Any = None) -> Any:
    return service.ask("POST", "/predict", {"data": rows or ROWS[:1]})


def serving(service: Service) -> tuple[str | None, str | None]:
    slots = service.ask("GET", "/slots")
    return tuple(slots[slot] and slots[slot]["model_uri"] for slot in ("current", "next"))  # type: ignore[return-value]


def test_from_training_to_the_canary_and_back(wine: Lab) -> None:
    assert wine.ml.send("POST", "/predict", {"data": ROWS[:1]})[0] == 503
    first = train(wine, "LogisticRegression")
    assert serving(wine.ml) == (first, None)
    assert predict(wine.ml)["model_used"] == "current"
    wine.ml.set_model("KNN")
    # Setting leaves what serves untouched; training puts the version into current.
    assert serving(wine.ml) == (first, None)
    second = train(wine, "KNN")
    assert serving(wine.ml) == (second, None)

    wine.ml.ask("POST", "/update-model", {"model_uri": first})
    wine.ml.ask("POST", "/set-canary-probability", {"probability": 0})
    answer = predict(wine.ml)
    assert (answer["model_used"], answer["registered_model_name"]) == ("next", "LogisticRegression")
    # Another process answers by the same ledger.
    assert predict(wine.another_ml())["model_used"] == "next"
    wine.ml.ask("POST", "/set-canary-probability", {"probability": 1})
    assert predict(wine.ml)["model_used"] == "current"
    wine.ml.ask("POST", "/accept-next-model")
    assert serving(wine.ml) == (first, first)
    state = wine.ml.ask("GET", "/root/ml")
    assert (state["name"], state["trained"]) == ("LogisticRegression", True)
    assert wine.ml.score("testing")["model_name"] == "LogisticRegression"
    wine.ml.ask("POST", "/rollback", {})
    assert serving(wine.ml) == (second, first)
    assert wine.ml.ask("GET", "/root/ml")["name"] == "KNN"
    assert predict(wine.ml)["registered_model_name"] == "KNN"


def test_labels_find_the_predictions_of_a_request(wine: Lab) -> None:
    train(wine, "LogisticRegression")
    client = wine.ml.app.test_client()
    headers = {"X-Request-ID": "labelled"}
    given = client.post("/predict", json={"data": ROWS[:3]}, headers=headers).get_json()
    assert given["request_id"] == "labelled"
    truths = [0, "0", given["prediction_names"][2]]
    labels = [
        {"request_id": "labelled", "row": row, "label": truth} for row, truth in enumerate(truths)
    ]
    assert wine.ml.ask("POST", "/labels", {"labels": labels})["matched"] == 3
    [quality] = wine.ml.ask("GET", "/quality")["quality"]
    assert (quality["labelled"], quality["accuracy"]) == (3, 1.0)
    history = wine.ml.ask("GET", "/predictions/history?limit=1")["history"]
    columns = list(load_wine().feature_names)
    assert list(history[0]["inputs"]) == columns
    assert list(history[0]["inputs"].values()) == ROWS[2]
    assert history[0]["prediction"] == given["predictions"][2]
    assert sum(history[0]["probabilities"].values()) == pytest.approx(1)
    figures = wine.ml.ask("GET", "/metrics")
    assert (figures["total_requests"], figures["total_predictions"]) == (1, 3)


def test_a_roll_out_over_real_predictions(wine: Lab) -> None:
    first = train(wine, "LogisticRegression")
    second = train(wine, "LogisticRegression", C=0.9)
    wine.ml.ask("POST", "/update-model", {"model_uri": second})
    wine.ml.ask("POST", "/rollback", {"deployment_id": 2})
    wine.ml.ask("POST", "/update-model", {"model_uri": second})
    assert serving(wine.ml) == (first, second)
    plan = {"steps": [0.5], "min_requests": 5, "max_latency_ratio": 1000}
    status, rollout = wine.ml.send("POST", "/rollouts", plan)
    assert status == 201, rollout
    for number in range(60):
        predict(wine.ml, ROWS[number : number + 1])
    counts = "SELECT slot, count(*) FROM prediction_log GROUP BY slot"
    deadline_s = time.monotonic() + 30
    while True:
        logged = dict(wine.database.rows(counts))
        # A shadow is logged after its answer was given.
        if logged.get("shadow", 0) >= logged["current"] or time.monotonic() > deadline_s:
            break
    assert logged["current"] + logged["next"] == 60 and logged["shadow"] >= logged["current"]
    slots = wine.ml.ask("GET", "/slots")
    assert slots["compared"] >= logged["current"] and slots["agreement"] > 0.9


def test_a_model_from_elsewhere_serves_but_cannot_be_trained_or_scored(wine: Lab) -> None:
    import mlflow

    features, labels = load_wine(return_X_y=True, as_frame=True)
    mlflow.set_tracking_uri(wine.mlflow_url)
    client = MlflowClient(wine.mlflow_url, wine.mlflow_url)
    try:
        experiment_id = client.create_experiment(f"elsewhere {time.time_ns()}")
        with warnings.catch_warnings(), mlflow.start_run(experiment_id=experiment_id):
            # MLflow's own, about its own hints.
            warnings.simplefilter("ignore")
            logged = mlflow.sklearn.log_model(
                GaussianNB().fit(features, labels.to_numpy()),
                name="model",
                signature=infer_signature(features, labels.to_numpy()),
                input_example=features.head(2),
                serialization_format="skops",
                pip_requirements=["scikit-learn"],
            )
    finally:
        mlflow.set_tracking_uri(None)
    wine.ml.ask("POST", "/update-model", {"model_uri": logged.model_uri})
    wine.ml.ask("POST", "/accept-next-model")
    assert predict(wine.ml)["predictions"] == [0]
    state = wine.ml.ask("GET", "/root/ml")
    assert state["trained"] is True and state["dataset_name"] is None
    for dataset in ("testing", "training"):
        status, answer = wine.ml.send("POST", "/root/ml", {"dataset": dataset})
        assert status == 409
        assert "POST /root/ml/set_model" in answer["message"]
    trained = train(wine, "DecisionTree")
    assert serving(wine.ml) == (trained, logged.model_uri)
