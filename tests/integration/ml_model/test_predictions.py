"""Predicting in process: with MLflow or Postgres away, and with a canary that fails."""

import json
import os
import signal
import time
from typing import Any

import pytest
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

import ml_model.app
import ml_model.settings
from ml_model.prediction_rows import answered_lines
from ml_model.repository.cut_off import CutOff
from ml_model.repository.prediction_log import PredictionLogWriter
from ml_model.service import prediction
from servicekit.database import Database
from tests.integration.ml_model.conftest import Lab, Service

ROW = [13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]


@pytest.fixture
def trained(wine: Lab) -> Lab:
    """A trained model serves."""
    wine.ml.set_model("LogisticRegression")
    wine.ml.score("training")
    return wine


def predict(service: Service, **body: Any) -> Any:
    """Predict, which must succeed."""
    return service.ask("POST", "/predict", body or {"data": [ROW]})


def test_nothing_serves_before_something_is_deployed(lab: Lab) -> None:
    status, answer = lab.ml.send("POST", "/predict", {"data": [ROW]})
    assert status == 503
    assert "POST /update-model" in answer["message"]
    for path in ("/ping", "/v2/health/ready"):
        assert lab.ml.send("GET", path)[0] == 503
    assert predict_constant(lab.ml) == {"y_pred": 2}


def predict_constant(service: Service) -> Any:
    """Ask for the constant."""
    return service.ask("GET", "/predict")


def test_a_model_that_is_set_and_not_trained_leaves_what_serves(trained: Lab) -> None:
    before = predict(trained.ml)
    trained.ml.set_model("RandomForest")
    after = predict(trained.ml)
    for key in ("predictions", "registered_model_name", "model_version", "probabilities"):
        assert after[key] == before[key]


def test_serving_needs_no_mlflow(trained: Lab) -> None:
    before = predict(trained.ml)
    with trained.mlflow_gate.outage():
        # A process that has never seen the model, as after a restart.
        after = predict(trained.another_ml())
    assert after["predictions"] == before["predictions"]


def test_without_postgres_nothing_is_answered(trained: Lab) -> None:
    predict(trained.ml)
    with trained.database_gate.outage():
        status, answer = trained.ml.send("POST", "/predict", {"data": [ROW]})
    assert status == 503
    assert "predictions" not in answer
    assert predict(trained.ml)["logged"] is True


@pytest.fixture
def unlogged(trained: Lab) -> Service:
    """The service as it is where predictions may go unlogged."""
    settings = trained.database.settings(
        ml_model.settings.Settings,
        mlflow_url=f"http://127.0.0.1:{trained.mlflow_gate.port}",
        database_port=trained.database_gate.port,
        predict_without_log=True,
    )
    return Service(ml_model.app.create_app(settings))


def test_if_so_configured_predictions_go_on_and_say_that_they_are_not_logged(
    trained: Lab, unlogged: Service
) -> None:
    before = predict(unlogged)
    assert before["logged"] is True
    with trained.database_gate.outage():
        after = predict(unlogged)
    assert after["logged"] is False
    assert after["predictions"] == before["predictions"]
    assert trained.count("prediction_log") == 1


def test_a_canary_that_fails_costs_no_request(
    trained: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = predict(trained.ml)["model_version"]
    trained.ml.set_model("LogisticRegression", C=3.0)
    trained.ml.score("training")
    challenger = predict(trained.ml)["model_version"]
    update = {"model_uri": f"models:/LogisticRegression/{champion}"}
    trained.ml.ask("POST", "/update-model", update)
    trained.ml.ask("POST", "/set-canary-probability", {"probability": 0.0})
    assert predict(trained.ml)["model_used"] == "next"
    broken, predicted = {"next"}, prediction._predicted

    def fail(slot: str, *rest: Any) -> Any:
        if slot in broken:
            raise RuntimeError("out of memory")
        return predicted(slot, *rest)

    monkeypatch.setattr(prediction, "_predicted", fail)
    answer = predict(trained.ml)
    assert (answer["model_used"], answer["model_version"]) == ("current", challenger)
    failures = trained.database.rows(
        "SELECT slot, error, request_id FROM prediction_log WHERE error IS NOT NULL"
    )
    assert failures == [("next", "RuntimeError: out of memory", answer["request_id"])]
    broken.add("current")
    status, refused = trained.ml.send("POST", "/predict", {"data": [ROW]})
    assert status == 422
    assert "out of memory" in refused["message"]


def test_missing_values_are_null_and_nothing_else(trained: Lab) -> None:
    answer = predict(trained.ml, data=[[None, *ROW[1:]]])
    (inputs,) = trained.database.rows(
        "SELECT inputs FROM prediction_log WHERE request_id = %s", (answer["request_id"],)
    )
    assert inputs[0] == [None, *ROW[1:]]


def test_a_gap_as_mlflows_client_writes_it_is_a_missing_value(trained: Lab) -> None:
    client = trained.ml.app.test_client()
    row = json.dumps([*ROW[:-1], float("nan")])

    def post(path: str, body: str) -> Any:
        return client.post(path, data=body, content_type="application/json")

    answer = post("/invocations", f'{{"dataframe_split": {{"data": [{row}]}}}}')
    assert answer.status_code == 200, answer.text
    with_null = predict(trained.ml, data=[[*ROW[:-1], None]])
    assert answer.json["probabilities"] == with_null["probabilities"]
    refused = post("/predict", f'{{"data": [{row}]}}')
    assert refused.status_code == 400
    assert refused.json["details"][0]["path"] == "data.0.12"


def test_a_frozen_server_process_is_given_up_and_what_it_took_is_kept_once(trained: Lab) -> None:
    connected: list[PgConnection] = []
    database = Database(trained.database.settings(ml_model.settings.Settings))

    def connect() -> PgConnection:
        connected.append(database.connect())
        return connected[-1]

    [(version_id,)] = trained.database.rows("SELECT id FROM model_versions")
    writer = PredictionLogWriter(connect, CutOff(1.0))

    def write(request_id: str) -> None:
        writer.write(
            answered_lines(request_id, "current", version_id, [ROW], [0], None, 5, is_class=True)
        )

    write("before")
    frozen = connected[0].info.backend_pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        write("meanwhile")
        assert time.monotonic() - began_s > 0.9
        assert len(connected) == 2
    finally:
        os.kill(frozen, signal.SIGCONT)
    write("after")
    # The process that was frozen finds the same row in what it had taken.
    for _ in range(200):
        if not trained.database.rows("SELECT FROM pg_stat_activity WHERE pid = %s", (frozen,)):
            break
        time.sleep(0.1)
    assert trained.database.rows("SELECT request_id FROM prediction_log ORDER BY id") == [
        ("before",),
        ("meanwhile",),
        ("after",),
    ]
    writer.close()
