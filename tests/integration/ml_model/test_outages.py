"""Failures half-way, peers that are away, and what the next request finds."""

from typing import Any

import pytest
import requests
from sqlalchemy.exc import OperationalError

from ml_model.repository.ledger import SqlLedger
from ml_model.service import training
from tests.integration.ml_model.conftest import Lab, tags_of

TRAIN = ("POST", "/root/ml", {"dataset": "training"})
SCORE = ("POST", "/root/ml", {"dataset": "testing"})


def test_mlflow_away_and_back(wine: Lab) -> None:
    wine.ml.set_model("DecisionTree", max_depth=6)
    with wine.mlflow_gate.outage():
        status, answer = wine.ml.send(*TRAIN)
        assert (status, set(answer)) == (503, {"error", "message"})
        assert wine.ml.send("GET", "/ready")[0] == 503
        assert (wine.count("model_versions"), wine.count("predictions")) == (0, 0)
    trained = wine.ml.score("training")
    with wine.mlflow_gate.outage():
        # It is in this process's memory; another process has to fetch it.
        assert wine.ml.score("testing")["model_version"] == trained["model_version"]
        assert wine.ml.score("training") == trained
        fresh = wine.another_ml()
        assert fresh.send(*SCORE)[0] == 503
    assert fresh.score("testing")["model_version"] == trained["model_version"]
    assert wine.ml.ask("GET", "/ready")["checks"]["mlflow"] == "ok"


def test_postgres_away_and_back(wine: Lab) -> None:
    wine.ml.set_model("DecisionTree")
    trained = wine.ml.score("training")
    with wine.database_gate.outage():
        for request in (TRAIN, SCORE, ("GET", "/root/ml"), ("GET", "/ready")):
            assert wine.ml.send(*request)[0] == 503
        body = {"model_name": "SVC", "hyperparameters": {}}
        assert wine.ml.send("POST", "/root/ml/set_model", body)[0] == 503
    assert wine.ml.score("training") == trained
    assert wine.ml.ask("GET", "/root/ml")["name"] == "DecisionTree"


def test_postgres_lost_in_the_middle_of_a_training(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wine.ml.set_model("DecisionTree", max_depth=9)
    recorded = SqlLedger.record_version

    def lose(self: SqlLedger, *args: Any, **kwargs: Any) -> Any:
        wine.database_gate.shut()
        return recorded(self, *args, **kwargs)

    monkeypatch.setattr(SqlLedger, "record_version", lose)
    assert wine.ml.send(*TRAIN)[0] == 503
    monkeypatch.undo()
    wine.database_gate.open()
    assert wine.count("model_versions") == 0
    # MLflow has a version now that nobody recorded; the next one simply gets the next number.
    assert wine.ml.score("training")["rows"] == 106
    assert wine.count("model_versions") == 1
    assert {run["info"]["status"] for run in wine.training_runs()} <= {"FINISHED", "FAILED"}


def test_an_estimator_that_refuses_the_rows_leaves_nothing(wine: Lab) -> None:
    wine.ml.set_model("KNN", n_neighbors=500)
    status, answer = wine.ml.send(*TRAIN)
    assert status == 422
    assert "n_neighbors = 500" in answer["message"]
    assert wine.ml.ask("GET", "/root/ml")["trained"] is False
    assert (wine.count("model_versions"), wine.count("scorings")) == (0, 0)


def test_a_logging_that_fails_half_way_is_a_failed_run(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    def refuse(*args: object, **kwargs: object) -> None:
        raise MlflowException("the artifact store is full")

    wine.ml.set_model("DecisionTree", max_depth=8)
    monkeypatch.setattr(mlflow.sklearn, "save_model", refuse)
    assert wine.ml.send(*TRAIN)[0] == 503
    [run] = wine.training_runs()
    assert run["info"]["status"] == "FAILED"
    assert "artifact store is full" in tags_of(run["data"])["cellar.failure_reason"]
    assert wine.ml.ask("GET", "/root/ml")["trained"] is False
    monkeypatch.undo()
    wine.ml.score("training")
    assert sorted(run["info"]["status"] for run in wine.training_runs()) == ["FAILED", "FINISHED"]


def test_a_run_that_a_killed_worker_left_open_is_closed(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_model.repository import mlflow_models

    wine.ml.set_model("DecisionTree", max_depth=7)
    killed = mlflow_models._log_and_register

    def kill(*args: object) -> None:
        raise KeyboardInterrupt

    # The process is gone: nobody marks the run.
    monkeypatch.setattr(mlflow_models, "_log_and_register", kill)
    monkeypatch.setattr(mlflow_models, "_end_badly", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        wine.ml.send(*TRAIN)
    assert [run["info"]["status"] for run in wine.training_runs()] == ["RUNNING"]
    monkeypatch.undo()
    assert mlflow_models._log_and_register is killed
    wine.ml.score("training")
    assert sorted(run["info"]["status"] for run in wine.training_runs()) == ["FAILED", "FINISHED"]


def test_a_database_error_is_no_answer_of_success(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("INSERT", {}, Exception("server closed the connection"))

    wine.ml.set_model("DecisionTree")
    monkeypatch.setattr(training, "request_id", fail)
    assert wine.ml.send(*TRAIN)[0] >= 500
    assert wine.ml.ask("GET", "/root/ml")["trained"] is False
    assert wine.count("predictions") == 0


def test_a_model_deleted_in_mlflow_is_trained_anew(wine: Lab) -> None:
    wine.ml.set_model("LinearSVC", C=0.5)
    first = wine.ml.score("training")
    wine.ml.set_model("LinearSVC", C=2)
    second = wine.ml.score("training")
    url = f"{wine.mlflow_url}/api/2.0/mlflow/registered-models/delete"
    assert requests.delete(url, json={"name": "LinearSVC"}, timeout=30).status_code == 200

    fresh = wine.another_ml()
    status, answer = fresh.send(*SCORE)
    assert status == 409
    assert 'POST /root/ml {"dataset": "training"}' in answer["message"]
    # MLflow counts from 1 again, so the number belonged to the first one before.
    again = fresh.score("training")
    assert again["score"] == second["score"]
    assert again["model_version"] == "1"
    assert fresh.score("testing")["model_version"] == "1"
    fresh.set_model("LinearSVC", C=0.5)
    back = wine.another_ml().score("training")
    assert back["score"] == first["score"]
    assert wine.count("model_versions") == 2
    assert back["model_version"] == "2"
