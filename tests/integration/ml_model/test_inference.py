"""`/inference`, `/evaluate` and `/data-drift` with real PostgreSQL, MLflow and monitoring."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from werkzeug.serving import make_server

import ml_model.app
import ml_model.settings
import monitoring.app
import monitoring.settings
from ml_model.repository.drift_samples import DriftSamples, new_sample_id
from ml_model.service import evaluation_rows, long_evaluation
from mlflowrest.client import Mlflow
from mlflowrest.runs import Run
from schema import samples
from tests.integration.ml_model.conftest import Lab, Service
from tests.support.gate import Gate


@dataclass
class Suite:
    """A lab with wine trained, monitoring behind a gate, and what it kept."""

    lab: Lab
    ml: Service
    monitoring_gate: Gate
    mlflow: Mlflow
    version: str
    """Of `LogisticRegression`; MLflow counts on from test to test."""

    def rows(self, set_name: str) -> tuple[list[str], list[list[Any]], list[str]]:
        """Return columns, rows and labels of a loaded set of wine."""
        ((columns, target),) = self.lab.database.rows(
            "SELECT columns, target FROM datasets WHERE name = 'wine'"
        )
        names = [item["name"] for item in columns if item["name"] != target]
        listed = ", ".join(f'"{name}"' for name in [*names, target])
        query = f"SELECT {listed} FROM samples.wine_v1 WHERE set_name = %s"  # noqa: S608
        found = self.lab.database.rows(query, (set_name,))
        return names, [list(row[:-1]) for row in found], [row[-1] for row in found]

    def run(self, answer: Any) -> Run:
        """Return the run that an answer names."""
        return self.mlflow.runs.get(answer["run_id"])

    def newest_run(self, experiment: str) -> Run:
        """Return the newest run of an experiment that began with this lab or later."""
        return self.mlflow.runs.search(
            [self.mlflow.experiments.ensure(experiment)],
            f"attributes.start_time >= {self.lab.started_ms}",
            max_results=1,
        )[0]


@pytest.fixture
def suite(wine: Lab) -> Iterator[Suite]:
    settings = wine.database.settings(monitoring.settings.Settings, mlflow_url=wine.mlflow_url)
    server = make_server("127.0.0.1", 0, monitoring.app.create_app(settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    gate = Gate("127.0.0.1", server.server_port)
    app = ml_model.app.create_app(
        wine.database.settings(
            ml_model.settings.Settings,
            mlflow_url=f"http://127.0.0.1:{wine.mlflow_gate.port}",
            database_port=wine.database_gate.port,
            monitoring_url=f"http://127.0.0.1:{gate.port}",
            connect_timeout_s=20.0,
        )
    )
    ml = Service(app)
    ml.set_model("LogisticRegression", solver="liblinear")
    version = ml.score("training")["model_version"]
    yield Suite(wine, ml, gate, Mlflow(wine.mlflow_url), version)
    gate.shut()
    server.shutdown()
    server.server_close()
    thread.join()


def test_inference_predicts_stores_and_checks(suite: Suite) -> None:
    names, rows, labels = suite.rows("testing")
    answer = suite.ml.ask(
        "POST", "/inference", {"data": rows, "registered_model_name": "LogisticRegression"}
    )
    assert answer["status"] == "success" and answer["rows"] == 36
    assert np.mean(np.array(answer["predictions"]) == np.array(labels)) > 0.9
    assert np.array(answer["probabilities"]).sum(axis=1) == pytest.approx(np.ones(36))
    assert len(answer["prediction_names"]) == 36
    assert answer["registered_model_name"] == "LogisticRegression"
    assert answer["model_version"] == suite.version
    # Testing rows are like the training rows that the version has as its reference.
    assert answer["drift"]["status"] == "no_drift" and answer["drift"]["drift"] is False
    assert answer["drift"]["check"]["reference"] == (
        f"training set of LogisticRegression version {suite.version}"
    )
    stored = suite.lab.database.rows(
        "SELECT row_number, slot, inputs, predicted_class, probabilities FROM prediction_log"
        " WHERE request_id = %s ORDER BY row_number",
        (answer["request_id"],),
    )
    assert [row[0] for row in stored] == list(range(36))
    assert {row[1] for row in stored} == {"inference"}
    assert [row[2] for row in stored] == rows
    assert [row[3] for row in stored] == [str(label) for label in answer["predictions"]]
    assert [row[4] for row in stored] == answer["probabilities"]
    run = suite.run(answer)
    assert run.name == answer["run_name"] and run.name.startswith("infer_20")
    assert run.status == "FINISHED" and run.tags["drift"] == "no_drift"
    assert run.tags["model_version"] == suite.version and run.metrics["rows"] == 36
    kept = suite.mlflow.artifacts.get_json(f"{run.artifact_path}/predictions.json")
    assert kept["columns"] == names and kept["predictions"] == answer["predictions"]


def test_fouled_rows_drift_and_leave_a_run_of_the_drift(suite: Suite) -> None:
    names, rows, _ = suite.rows("production")
    records = [dict(zip(names, row, strict=True)) for row in rows]
    assert any(value is None for row in rows for value in row)
    answer = suite.ml.ask("POST", "/inference", {"data": records})
    drift = answer["drift"]
    assert drift["status"] == "drift" and drift["drift"] is True
    assert drift["check"]["run_name"].startswith(f"drift_LogisticRegression_{suite.version}_20")
    run = suite.mlflow.runs.get(drift["check"]["run_id"])
    kept = suite.mlflow.artifacts.get_json(f"{run.artifact_path}/data.json")
    assert kept["rows"] == rows
    assert suite.lab.database.rows("SELECT registered_name, version FROM drift_checks") == [
        ("LogisticRegression", int(suite.version))
    ]


def test_a_version_with_a_drift_sample_is_compared_with_it(suite: Suite) -> None:
    names, rows, labels = suite.rows("training")
    sample_id = new_sample_id()
    DriftSamples(suite.mlflow).put(
        sample_id, pd.DataFrame(rows[:60], columns=names), "cultivar", labels[:60]
    )
    suite.lab.database.execute("UPDATE model_versions SET drift_sample_id = %s", (sample_id,))
    _, current, _ = suite.rows("testing")
    answer = suite.ml.ask("POST", "/inference", {"data": current})
    check = answer["drift"]["check"]
    assert check["reference"].startswith("drift sample of LogisticRegression")
    assert (check["reference_rows"], check["rows"]) == (60, 36)
    assert check["verdict"] == "no_drift"


def test_monitoring_away_predictions_still_answer(suite: Suite) -> None:
    _, rows, _ = suite.rows("testing")
    with suite.monitoring_gate.outage():
        answer = suite.ml.ask("POST", "/inference", {"data": rows[:3]})
        assert len(answer["predictions"]) == 3 and answer["drift"]["status"] == "unavailable"
        assert answer["drift"]["drift"] is None
        status, refused = suite.ml.send("POST", "/data-drift", {"data": rows})
        assert status == 503 and refused["error"] == "monitoring unavailable"
    assert suite.lab.count("prediction_log") == 3


def test_mlflow_away_predictions_and_metrics_still_answer(suite: Suite) -> None:
    _, rows, labels = suite.rows("testing")
    with suite.lab.mlflow_gate.outage():
        answer = suite.ml.ask("POST", "/inference", {"data": rows})
        assert answer["run_id"] is None and "The MLflow run is missing" in answer["notes"][0]
        found = suite.ml.ask("POST", "/evaluate", {"data": rows, "target": labels})
        assert found["run_id"] is None and found["metrics"]["accuracy"] > 0.9
    assert suite.lab.count("prediction_log") == 36


def test_the_same_request_again_stores_nothing_anew(suite: Suite) -> None:
    _, rows, _ = suite.rows("testing")
    client = suite.ml.app.test_client()
    headers = {"X-Request-ID": "batch-1"}
    first = client.post("/inference", json={"data": rows[:5]}, headers=headers)
    again = client.post("/inference", json={"data": rows[:5]}, headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.get_json()["predictions"] == again.get_json()["predictions"]
    other = client.post("/inference", json={"data": rows[5:7]}, headers=headers)
    assert other.status_code == 409
    assert suite.lab.count("prediction_log") == 5


def test_bad_rows_are_named_stored_nowhere_and_a_failed_run(suite: Suite) -> None:
    names, rows, _ = suite.rows("testing")
    rows[1][2] = "much"
    status, refused = suite.ml.send("POST", "/inference", {"data": rows})
    assert status == 400
    assert refused["details"][0]["path"] == f"data.1.{names[2]}"
    assert suite.lab.count("prediction_log") == 0 and suite.lab.count("drift_checks") == 0
    run = suite.newest_run("inference")
    assert run.status == "FAILED" and names[2] in run.tags["cellar.failure_reason"]
    trace = suite.mlflow.artifacts.get(f"{run.artifact_path}/traceback.txt").decode()
    assert "InvalidRows" in trace and "Traceback" in trace


def test_unknown_versions_are_404_and_nothing_serving_409(suite: Suite, lab: Lab) -> None:
    _, rows, _ = suite.rows("testing")
    for more in (
        {"registered_model_name": "nobody"},
        {"registered_model_name": "LogisticRegression", "model_version": 999},
        {"registered_model_name": "a/b@c", "model_version": 1},
        {"registered_model_name": "runs:/0/model"},
    ):
        status, answer = suite.ml.send("POST", "/inference", {"data": rows, **more})
        assert (status, answer["error"]) == (404, "No such model version"), answer
    assert suite.ml.send("POST", "/inference", {"data": rows, "model_version": 1})[0] == 400
    lab.database.execute(
        "SET session_replication_role = replica; DELETE FROM deployments"  # past the trigger
    )
    assert suite.ml.send("POST", "/inference", {"data": rows})[0] == 409
    # By name it is found all the same.
    body = {
        "data": rows,
        "registered_model_name": "LogisticRegression",
        "model_version": suite.version,
    }
    assert suite.ml.ask("POST", "/inference", body)["model_version"] == suite.version


def test_evaluate_rows_and_the_run(suite: Suite) -> None:
    names, rows, labels = suite.rows("testing")
    answer = suite.ml.ask("POST", "/evaluate", {"data": rows, "target": [*labels[:-1], None]})
    assert answer["status"] == "success" and answer["rows"] == 35
    assert set(answer["metrics"]) == {
        "accuracy",
        "f1_score",
        "precision",
        "recall",
        "log_loss",
        "roc_auc",
    }
    predicted = suite.ml.ask("POST", "/inference", {"data": rows})["predictions"]
    right = np.array(predicted[:-1]) == np.array(labels[:-1])
    assert answer["metrics"]["accuracy"] == pytest.approx(right.mean())
    run = suite.run(answer)
    assert run.name.startswith("eval_20") and run.status == "FINISHED"
    assert run.metrics["accuracy"] == pytest.approx(answer["metrics"]["accuracy"])
    kept = suite.mlflow.artifacts.get_json(f"{run.artifact_path}/evaluation.json")
    assert kept["columns"] == names and len(kept["rows"]) == 35


def test_classes_may_be_given_by_name_or_as_floats(suite: Suite) -> None:
    _, rows, labels = suite.rows("testing")
    named = suite.ml.ask("POST", "/inference", {"data": rows})
    name_of = dict(zip(map(str, named["classes"]), named["class_names"], strict=True))
    plain = suite.ml.ask("POST", "/evaluate", {"data": rows, "target": labels})["metrics"]
    for target in (
        [name_of[str(label)] for label in labels],
        [str(label) for label in labels],
        [float(label) for label in labels],
    ):
        found = suite.ml.ask("POST", "/evaluate", {"data": rows, "target": target})
        assert found["metrics"] == plain


def test_evaluate_a_stored_set(suite: Suite) -> None:
    answer = suite.ml.ask("POST", "/evaluate", {"dataset_name": "wine"})
    assert (answer["dataset"], answer["dataset_name"]) == ("testing", "wine")
    assert answer["metrics"]["accuracy"] == pytest.approx(suite.ml.score("testing")["score"])
    body = {"dataset_name": "wine", "dataset": "production"}
    worse = suite.ml.ask("POST", "/evaluate", body)
    assert worse["rows"] == 36
    assert worse["metrics"]["accuracy"] < answer["metrics"]["accuracy"]
    assert suite.run(worse).tags["dataset"] == "production"


def test_a_long_set_is_evaluated_part_by_part(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"dataset_name": "wine", "dataset": "production"}
    at_once = suite.ml.ask("POST", "/evaluate", body)
    kept = kept_file(suite, at_once)
    monkeypatch.setattr(samples, "CHUNK_ROWS", 7)
    monkeypatch.setattr(evaluation_rows, "KEPT_ROWS", 20)
    monkeypatch.setattr(long_evaluation, "KEPT_ROWS", 20)
    in_parts = suite.ml.ask("POST", "/evaluate", body)
    assert in_parts["rows"] == at_once["rows"] == 36
    exact = ("accuracy", "f1_score", "precision", "recall")
    assert [in_parts["metrics"][name] for name in exact] == [
        at_once["metrics"][name] for name in exact
    ]
    assert in_parts["metrics"] == pytest.approx(at_once["metrics"], rel=1e-3)
    assert "roc_auc is counted in" in in_parts["notes"][0]
    assert in_parts["notes"][1].startswith("evaluation.json keeps 20 of the 36 rows")
    sample = kept_file(suite, in_parts)
    assert len(sample["rows"]) == len(sample["target"]) == len(sample["predictions"]) == 20
    whole = list(zip(kept["rows"], kept["target"], kept["predictions"], strict=True))
    assert all(
        row in whole
        for row in zip(sample["rows"], sample["target"], sample["predictions"], strict=True)
    )
    assert suite.run(in_parts).params["data_samples"] == "36"


def test_rows_of_the_request_are_kept_as_a_sample_too(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_rows, "KEPT_ROWS", 20)
    _, rows, labels = suite.rows("testing")
    answer = suite.ml.ask("POST", "/evaluate", {"data": rows, "target": labels})
    assert answer["rows"] == 36
    assert answer["notes"] == [evaluation_rows.kept_note(36)]
    assert len(kept_file(suite, answer)["rows"]) == 20


def kept_file(suite: Suite, answer: Any) -> Any:
    """Return the run's `evaluation.json`."""
    run = suite.run(answer)
    return suite.mlflow.artifacts.get_json(f"{run.artifact_path}/evaluation.json")


def test_what_cannot_be_evaluated(suite: Suite) -> None:
    row = [1] * 13
    for body, expected in (
        ({}, 400),
        ({"data": [[1]]}, 400),
        ({"data": [[1]], "target": [1, 2]}, 400),
        ({"data": [row], "target": [1], "dataset_name": "wine"}, 400),
        ({"data": [row], "target": [1], "dataset": "testing"}, 400),
        ({"data": [[1]], "target": [1]}, 400),
        ({"data": [row], "target": [None]}, 422),
        ({"data": [row], "target": [[1]]}, 400),
        ({"data": [row, row], "target": [7, "red"]}, 400),
        ({"dataset_name": "grapes"}, 404),
        ({"dataset_name": "wine", "dataset_version": 9}, 404),
        ({"dataset_name": "wine", "dataset": "other"}, 400),
    ):
        status, answer = suite.ml.send("POST", "/evaluate", body)
        assert status == expected, (body, answer)
        assert {"error", "message"} <= set(answer)


def test_a_failed_evaluation_is_a_failed_run_with_its_traceback(suite: Suite) -> None:
    assert suite.ml.send("POST", "/evaluate", {"data": [[1, 2]], "target": [0]})[0] == 400
    run = suite.newest_run("evaluation")
    assert run.status == "FAILED" and run.name.startswith("eval_20")
    trace = suite.mlflow.artifacts.get(f"{run.artifact_path}/traceback.txt").decode()
    assert "InvalidRows" in trace


def test_the_drift_check_is_passed_on_with_status_and_body(suite: Suite) -> None:
    _, rows, _ = suite.rows("production")
    answer = suite.ml.ask("POST", "/data-drift", {"data": rows})
    assert answer["verdict"] == "drift" and answer["registered_model_name"] == "LogisticRegression"
    status, refused = suite.ml.send(
        "POST", "/data-drift", {"data": [[1]], "registered_model_name": "nobody"}
    )
    assert status == 404 and refused["error"] == "Model version not known"
    status, refused = suite.ml.send("POST", "/data-drift", {"data": [[1, 2]]})
    assert status == 400 and refused["details"][0]["path"] == "data.0"
    assert suite.ml.send("POST", "/data-drift", {"data": []})[0] == 400


def test_a_failed_drift_sample_is_told_by_inference(suite: Suite) -> None:
    _, rows, _ = suite.rows("testing")
    suite.lab.database.execute("UPDATE model_versions SET drift_sample_id = 'cellar/none.json'")
    answer = suite.ml.ask("POST", "/inference", {"data": rows[:2]})
    assert answer["drift"]["status"] == "not_checked"
    assert "no longer in the artifact store" in answer["drift"]["message"]
    sample = {"columns": ["other"], "rows": [[1.0]], "target": [0]}
    suite.mlflow.artifacts.put_json("cellar/test_other.json", sample)
    suite.lab.database.execute(
        "UPDATE model_versions SET drift_sample_id = 'cellar/test_other.json'"
    )
    answer = suite.ml.ask("POST", "/inference", {"data": rows[:2]})
    assert answer["drift"]["status"] == "not_checked", json.dumps(answer["drift"])
