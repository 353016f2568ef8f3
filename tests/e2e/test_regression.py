"""A dataset of numbers through the whole lifecycle, by REST alone."""

import uuid
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

from tests.support.lifecycle_client import EXPERIMENTS, MANAGEMENT, SETS, Client, search
from tests.support.real_tables import diabetes
from tests.support.table_walk import finished, rows_of, walk

GRIDS: dict[str, dict[str, list[Any]]] = {
    "Ridge": {"alpha": [0.1, 1, 10]},
    "RandomForestRegressor": {"n_estimators": [20]},
}
ROWS, TARGET = load_diabetes(return_X_y=True, as_frame=True)


def test_numbers_that_are_brought_go_through_the_whole_lifecycle(client: Client) -> None:
    walk(client, diabetes())


def test_a_regression_goes_through_the_whole_lifecycle(client: Client) -> None:
    suite, name = client.suite, "diabetes"
    own = {"dataset_name": name}
    rows = {set_name: client.load(set_name, **own)["rows"] for set_name in SETS}
    assert rows == {"training": 265, "testing": 88, "production": 89}

    refused = suite.ask(
        "POST",
        "tracking",
        MANAGEMENT,
        search(name, {"SVC": {"C": [1]}}, **own, cv=3),
        status=422,
    )
    assert f"{name} is a regression" in refused["message"] and "'Ridge'" in refused["message"]
    found = client.search(
        f"{name} {uuid.uuid4().hex[:6]}", GRIDS, **own, cv=3, scoring="neg_root_mean_squared_error"
    )
    question = {
        "experiment_id": found["experiment_id"],
        "request_information": "best_model",
        "filter": ["model_rmse"],
    }
    best = suite.ask("POST", "tracking", EXPERIMENTS, question)["data"]
    assert 50 < best["metrics"]["model_rmse"] < 65
    client.deploy(found["run_ids"]["Ridge"])
    answers = {
        set_name: suite.ask("POST", "ml_model", "/root/ml", {"dataset": set_name, **own})
        for set_name in SETS
    }
    assert {answer["task"] for answer in answers.values()} == {"regression"}
    assert answers["testing"]["score"] > 0.3 > answers["production"]["score"]
    assert answers["testing"]["metrics"]["rmse"] < answers["production"]["metrics"]["rmse"]

    one = suite.ask("POST", "ml_model", "/predict", {"features": ROWS.iloc[0].tolist()})
    assert isinstance(one["prediction"], float) and one["logged"] is True
    assert one["prediction_name"] is one["confidence"] is one["probabilities"] is None
    label = {"request_id": one["request_id"], "label": TARGET[0]}
    assert suite.ask("POST", "ml_model", "/labels", label)["matched"] == 1
    named = f"registered_model_name=Ridge&model_version={one['model_version']}"
    [quality] = suite.ask("GET", "ml_model", f"/quality?{named}")["quality"]
    error = abs(TARGET[0] - one["prediction"])
    assert quality["mean_absolute_error"] == pytest.approx(error)
    assert quality["accuracy"] is None
    evaluated = suite.ask("POST", "ml_model", "/evaluate", own)
    assert evaluated["metrics"] == pytest.approx(answers["testing"]["metrics"])

    summary = suite.ask("POST", "monitoring", "/root/monitoring", {"metric": "summary", **own})
    fired = {signal["name"] for signal in summary["signals"] if signal["fired"]}
    assert summary["retraining_needed"] is True
    assert {"error_growth", "missing_values"} <= fired
    assert summary["total_tests"] > 40
    for metric in ("report", "tests"):
        body = {"metric": metric, **own, "format": "html"}
        page = suite.call("POST", "monitoring", "/root/monitoring", json=body)
        assert page.status_code == 200 and "mean absolute error went from" in page.text
    verdicts = suite.ask("GET", "monitoring", "/retraining-verdicts?limit=1")["verdicts"]
    assert verdicts[0]["dataset_name"] == name

    trained = suite.ask("POST", "ml_model", "/train", {**own, "model_name": "Ridge"})
    assert trained["metrics"]["rmse"] > 0
    version = {
        "registered_model_name": "Ridge",
        "model_version": int(trained["model_version"]),
    }
    for set_name, verdict in (("testing", "no_drift"), ("production", "drift")):
        records = rows_of(client, name, set_name)
        data = [{column: record[column] for column in ROWS} for record in records]
        checked = suite.ask("POST", "monitoring", "/data-drift", {"data": data, **version})
        assert checked["verdict"] == verdict, checked["columns_drifted"]
    scored = suite.ask("POST", "ml_model", "/inference", {"data": data[:2]})
    assert all(isinstance(value, float) for value in scored["predictions"])

    started = suite.ask(
        "POST", "ml_model", "/trigger_retrain", {"force_retrain": True, **own}, status=202
    )
    job = finished(client, started["job_id"])
    assert job["state"] == "succeeded", job
    result = job["result"]
    assert result["model_name"] == "Ridge" and result["compared_rows"] == 88
    # The same model on the same rows errs as much.
    assert result["challenger_rmse"] == pytest.approx(answers["testing"]["metrics"]["rmse"])
    assert result["challenger_rmse"] == pytest.approx(result["champion_rmse"])
