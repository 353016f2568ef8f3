"""The walk-through, request by request, in the order in which the contract tells it.

One story: every test goes on from where the one before it stopped. Run the file as a whole.
"""

import re
import statistics
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import requests

from tests.support.lifecycle_client import EXPERIMENTS, MANAGEMENT, RUNS, SETS, Client, search
from tests.support.running_suite import RunningSuite

PRESETS = (
    "data_drift",
    "data_quality",
    "data_stability",
    "no_target_performance",
    "multi_class_classification",
)
MODEL_METRICS = ("accuracy", "f1_score", "precision", "recall")
FIGURES = {"mean", "median", "std_dev", "variance", "min", "max", "mode", "iqr"}
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture(scope="module")
def story() -> dict[str, Any]:
    """What was answered so far and is needed later."""
    return {"name": f"wine_test {uuid.uuid4().hex[:8]}"}


def assert_recent_utc(text: str) -> None:
    assert TIME.fullmatch(text), text
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=15), text


def test_services_say_who_they_are(suite: RunningSuite) -> None:
    answer = suite.ask("GET", "simulator", "/root/simulator")
    assert (answer["name"], answer["message"]) == ("DataSimulator", "Simulator")
    answer = suite.ask("GET", "monitoring", "/root/monitoring")
    assert (answer["name"], answer["message"]) == ("EvidentlyAI", "Monitoring")
    answer = suite.ask("GET", "ml_model", "/root/ml")
    assert answer["message"] == "ML model"
    assert "name" in answer


@pytest.mark.parametrize("set_name", SETS)
def test_sets_are_loaded(client: Client, set_name: str) -> None:
    assert client.load(set_name)["message"] == f"Load {set_name} set"


def test_three_models_are_tuned(client: Client, story: dict[str, Any]) -> None:
    body = search(story["name"])
    answer = client.suite.ask("POST", "tracking", MANAGEMENT, body, status=201)
    assert answer["message"] == "Experiments retrieved successfully"
    assert isinstance(answer["data"]["experiment_id"], str)
    assert set(answer["data"]["run_ids"]) == {"LogisticRegression", "RandomForest", "SVC"}
    story |= {"experiment": answer["data"]["experiment_id"], "runs": answer["data"]["run_ids"]}


def test_experiment_is_listed(suite: RunningSuite, story: dict[str, Any]) -> None:
    answer = suite.ask("GET", "tracking", EXPERIMENTS)
    assert answer["message"] == "Experiments retrieved successfully"
    (entry,) = [item for item in answer["data"] if item["name"] == story["name"]]
    assert entry["experiment_id"] == story["experiment"]
    assert entry["lifecycle_stage"] == "active"
    assert entry["run_count"] == 3


def test_experiment_in_general(client: Client, story: dict[str, Any]) -> None:
    data = client.experiment(story["experiment"], "general")
    info, runs = data["experiment_info"], data["experiment_runs"]
    assert info["experiment_id"] == story["experiment"]
    assert info["experiment_name"] == story["name"]
    assert info["artifact_location"]
    assert info["lifecycle_stage"] == "active"
    assert info["tags"]["description"] == "Which classifier tells the three wines apart"
    assert info["tags"]["owner"] == "cellar"
    assert_recent_utc(info["data_creation"])
    assert_recent_utc(info["last_updated"])
    assert {key: value for key, value in runs.items() if key.endswith("_runs")} == {
        "number_of_runs": 3,
        "completed_runs": 3,
        "failed_runs": 0,
        "active_runs": 0,
        "stopped_runs": 0,
    }
    assert_recent_utc(runs["first_run_completed"])
    assert runs["first_run_completed"] <= runs["last_run_completed"]


def test_runs_are_listed(suite: RunningSuite, story: dict[str, Any]) -> None:
    answer = suite.ask("GET", "tracking", f"{RUNS}?experiment_id={story['experiment']}")
    assert answer["message"] == "Experiment Runs Retrieved"
    assert {run["run_id"] for run in answer["data"]} == set(story["runs"].values())
    for run in answer["data"]:
        model = run["tags"]["model_type"]
        assert story["runs"][model] == run["run_id"]
        assert run["run_name"] == f"{model} Grid_Search_Opt and CV_Performance"
        assert run["tags"]["experiment_type"] == "GridSearch_CrossValidation"
        assert run["status"] == "FINISHED"
        assert_recent_utc(run["start_time"])
        assert run["start_time"] <= run["end_time"]


def ask_run(client: Client, story: dict[str, Any], model: str, information: str, type_: str) -> Any:
    body = {
        "experiment_id": story["experiment"],
        "run_id": story["runs"][model],
        "request_information": information,
        "type": type_,
    }
    answer = client.suite.ask("POST", "tracking", RUNS, body)
    return answer["message"], answer["data"]


def test_parameters_of_a_run(client: Client, story: dict[str, Any]) -> None:
    message, data = ask_run(client, story, "LogisticRegression", "parameters", "data")
    assert message == "Parameters Retrieved"
    assert data.items() >= {"classes": "3", "features": "13", "samples": "106"}.items()
    _, grid = ask_run(client, story, "LogisticRegression", "parameters", "grid_search")
    assert grid == {
        "C": "[0.1, 1]",
        "cv_folds": "5",
        "scoring": "accuracy",
        "solver": "['liblinear']",
    }
    _, best = ask_run(client, story, "LogisticRegression", "parameters", "model")
    assert best["solver"] == "liblinear"
    assert best["C"] in {"0.1", "1"}
    _, forest = ask_run(client, story, "RandomForest", "parameters", "grid_search")
    assert forest["max_depth"] == "[None, 5]"


@pytest.mark.parametrize("model", ["LogisticRegression", "RandomForest", "SVC"])
def test_metrics_of_a_run(client: Client, story: dict[str, Any], model: str) -> None:
    _, data = ask_run(client, story, model, "metrics", "model")
    assert set(data) == set(MODEL_METRICS)
    # Wine is easy: whoever falls below this was fitted or scored wrongly.
    assert all(0.9 <= data[name] <= 1 for name in MODEL_METRICS), data
    # Weighted recall and accuracy are the same number by definition.
    assert data["recall"] == pytest.approx(data["accuracy"])
    story.setdefault("accuracy", {})[model] = data["accuracy"]
    _, system = ask_run(client, story, model, "metrics", "system")
    assert set(system) == {"cpu_usage", "execution_time"}
    assert system["execution_time"] > 0
    assert system["cpu_usage"] >= 0


def test_best_model(client: Client, story: dict[str, Any]) -> None:
    body = {
        "experiment_id": story["experiment"],
        "request_information": "best_model",
        "filter": ["model_accuracy", "model_f1_score", "system_execution_time"],
    }
    answer = client.suite.ask("POST", "tracking", EXPERIMENTS, body)
    assert answer["message"] == "Best model and run retrieved successfully."
    data = answer["data"]
    assert data["run_id"] == story["runs"][data["model"]]
    assert data["run_name"] == f"{data['model']} Grid_Search_Opt and CV_Performance"
    assert story["accuracy"][data["model"]] == max(story["accuracy"].values())
    assert data["metrics"]["model_accuracy"] == pytest.approx(max(story["accuracy"].values()))
    story["best"] = data


@pytest.mark.parametrize("metric", ["system_cpu_usage", "system_execution_time"])
def test_system_metrics_are_better_when_lower(
    client: Client, story: dict[str, Any], metric: str
) -> None:
    data = client.experiment(story["experiment"], "best_model", filter=[metric])
    every = [
        ask_run(client, story, model, "metrics", "system")[1][metric.removeprefix("system_")]
        for model in story["runs"]
    ]
    assert data["metrics"][metric] == pytest.approx(min(every))


def test_statistics(client: Client, story: dict[str, Any]) -> None:
    answer = client.suite.ask(
        "POST",
        "tracking",
        EXPERIMENTS,
        {
            "experiment_id": story["experiment"],
            "request_information": "statistics",
            "filter": ["all"],
        },
    )
    assert answer["message"] == "Statistics Retrieved"
    data = answer["data"]
    assert {"duration", *MODEL_METRICS} <= set(data)
    values = sorted(story["accuracy"].values())
    found = data["accuracy"]
    assert set(found) == FIGURES
    lower, upper = np.percentile(values, [25, 75])
    assert found["mean"] == pytest.approx(statistics.fmean(values))
    assert found["median"] == pytest.approx(statistics.median(values))
    assert found["variance"] == pytest.approx(statistics.pvariance(values))
    assert found["std_dev"] == pytest.approx(statistics.pstdev(values))
    assert (found["min"], found["max"]) == (pytest.approx(values[0]), pytest.approx(values[-1]))
    assert found["iqr"] == pytest.approx(float(upper - lower))
    most = max(values.count(value) for value in values)
    assert found["mode"] == pytest.approx(min(v for v in values if values.count(v) == most))
    assert client.experiment(story["experiment"], "statistics") == data


def test_statistics_of_some_metrics(client: Client, story: dict[str, Any]) -> None:
    data = client.experiment(story["experiment"], "statistics", filter=["model_accuracy"])
    whole = client.experiment(story["experiment"], "statistics")
    assert data["accuracy"] == whole["accuracy"]
    assert "recall" not in data


def test_best_run_is_deployed(client: Client, story: dict[str, Any]) -> None:
    answer = client.deploy(story["best"]["run_id"])
    assert answer["message"] == "Model successfully uploaded"
    assert client.suite.ask("GET", "ml_model", "/root/ml")["name"] == story["best"]["model"]


@pytest.mark.parametrize(
    ("set_name", "rows"), [("training", 106), ("testing", 36), ("production", 36)]
)
def test_sets_are_scored(client: Client, story: dict[str, Any], set_name: str, rows: int) -> None:
    answer = client.suite.ask("POST", "ml_model", "/root/ml", {"dataset": set_name})
    score = answer["score"]
    assert answer["message"] == f"Score on {set_name} set: {score * 100}%"
    # A share of that many rows: right/rows with a whole number of right ones.
    assert score * rows == pytest.approx(round(score * rows))
    story.setdefault("scores", {})[set_name] = score


def test_production_falls_below_testing(story: dict[str, Any]) -> None:
    assert story["scores"]["testing"] >= 0.9
    assert story["scores"]["testing"] - story["scores"]["production"] >= 3 / 36 - 1e-9


def test_report_is_evidentlys(client: Client) -> None:
    report = client.monitor("report")
    assert isinstance(report, dict)
    text = repr(report).lower()
    for word in ("drift", "alcohol", "proline", "accuracy"):
        assert word in text


def test_tests_are_evidentlys(client: Client) -> None:
    tests = client.monitor("tests", tests=dict.fromkeys(PRESETS, True))
    outcomes = {test["status"] for test in find_tests(tests)}
    assert outcomes <= {"SUCCESS", "FAIL", "WARNING", "ERROR", "SKIPPED"}
    assert {"SUCCESS", "FAIL"} <= outcomes


def find_tests(value: Any) -> list[dict[str, Any]]:
    """Return the tests in Evidently's result, wherever they stand."""
    if isinstance(value, dict):
        own = [value] if {"name", "status"} <= set(value) else []
        return own + [test for item in value.values() for test in find_tests(item)]
    if isinstance(value, list):
        return [test for item in value for test in find_tests(item)]
    return []


def test_summary_of_fouled_production_asks_for_retraining(client: Client) -> None:
    summary = client.monitor("summary", tests=dict.fromkeys(PRESETS, True))
    assert summary["all_passed"] is False
    assert summary["success_tests"] + summary["failed_tests"] <= summary["total_tests"]
    assert sum(summary["by_status"].values()) == summary["total_tests"]
    assert summary["by_status"]["SUCCESS"] == summary["success_tests"]
    assert summary["by_status"]["FAIL"] == summary["failed_tests"] > 0
    assert summary["retraining_needed"] is True
    reasons = next(value for key, value in summary.items() if "reason" in key)
    assert reasons and all(isinstance(reason, str) and reason for reason in reasons)


def test_summary_without_tests_means_all_five(client: Client) -> None:
    every = client.monitor("summary", tests=dict.fromkeys(PRESETS, True))
    assert client.monitor("summary") == every


def test_summary_of_one_preset_is_of_that_alone(client: Client) -> None:
    drift = client.monitor("summary", tests={"data_drift": True})
    assert 0 < drift["total_tests"] < client.monitor("summary")["total_tests"]
    switched_off = dict.fromkeys(PRESETS, False) | {"data_drift": True}
    assert client.monitor("summary", tests=switched_off) == drift


def test_drift_is_flagged(client: Client) -> None:
    drift = client.monitor("tests", tests={"data_drift": True})
    failed = [test for test in find_tests(drift) if test["status"] == "FAIL"]
    assert failed


@pytest.mark.parametrize("metric", ["report", "tests"])
def test_pages_are_html(suite: RunningSuite, metric: str) -> None:
    body: dict[str, Any] = {"metric": metric, "format": "html"}
    if metric == "tests":
        body["tests"] = {"data_drift": True}
    answer = suite.call("POST", "monitoring", "/root/monitoring", json=body)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<html" in answer.text[:2000].lower()
    assert len(answer.text) > 100_000


def test_answers_are_strict_json(suite: RunningSuite) -> None:
    def no_constant(token: str) -> None:
        pytest.fail(f"{token} is not JSON")

    for body in ({"metric": "report"}, {"metric": "tests", "tests": {"data_drift": True}}):
        answer = suite.call("POST", "monitoring", "/root/monitoring", json=body)
        requests.models.complexjson.loads(answer.text, parse_constant=no_constant)


def test_same_question_is_answered_from_the_store(suite: RunningSuite) -> None:
    body = {"metric": "tests", "tests": dict.fromkeys(PRESETS, True)}
    first = suite.call("POST", "monitoring", "/root/monitoring", json=body)
    again = [suite.call("POST", "monitoring", "/root/monitoring", json=body) for _ in range(5)]
    # With the time at which it was made.
    assert all(answer.json() == first.json() for answer in again)


def test_clean_production_does_not_ask_for_retraining(
    client: Client, story: dict[str, Any]
) -> None:
    client.load("production", scenario="clean")
    score = client.score("production")
    summary = client.monitor("summary")
    client.load("production")
    assert client.score("production") == story["scores"]["production"]
    assert score > story["scores"]["production"]
    assert summary["retraining_needed"] is False
    assert client.monitor("summary")["retraining_needed"] is True


def test_classic_scenario_can_be_had(client: Client, story: dict[str, Any]) -> None:
    client.load("production", scenario="classic")
    score = client.score("production")
    client.load("production")
    assert 0 <= score <= 1
    assert client.score("production") == story["scores"]["production"]


@pytest.mark.parametrize("model", ["LogisticRegression", "RandomForest", "SVC"])
def test_each_run_can_be_deployed_and_trained(
    client: Client, story: dict[str, Any], model: str
) -> None:
    client.deploy(story["runs"][model])
    assert client.suite.ask("GET", "ml_model", "/root/ml")["name"] == model
    assert client.score("training") > 0.95
    assert client.score("testing") > 0.9


@pytest.mark.parametrize(
    ("model", "hyperparameters"),
    [
        ("RandomForest", {"n_estimators": 20, "max_depth": None, "random_state": 1}),
        ("SVC", {"C": 1.0, "kernel": "rbf", "probability": False}),
        ("LogisticRegression", {"solver": "liblinear", "C": 1, "class_weight": None}),
        ("HistGradientBoosting", {"max_iter": 20}),
        ("DecisionTree", {"max_depth": 4}),
        ("KNN", {"n_neighbors": 5}),
        ("LinearSVC", {"C": 0.5}),
    ],
)
def test_each_model_can_be_set_by_hand(
    client: Client, model: str, hyperparameters: dict[str, Any]
) -> None:
    assert client.set_model(model, **hyperparameters)["message"] == "Model successfully uploaded"
    assert client.score("training") > 0.9
    assert client.score("testing") > 0.8


def test_deployed_run_cannot_be_deleted(client: Client, story: dict[str, Any]) -> None:
    run_id = story["runs"]["SVC"]
    client.deploy(run_id)
    path = f"{RUNS}?experiment_id={story['experiment']}&run_id={run_id}"
    answer = client.suite.ask("DELETE", "tracking", path, status=409)
    assert "deployed" in answer["error"] + answer["message"]
    assert run_id in {run["run_id"] for run in client.runs(story["experiment"])}


def test_run_is_deleted_once(client: Client, story: dict[str, Any]) -> None:
    client.set_model("KNN")
    run_id = story["runs"]["SVC"]
    path = f"{RUNS}?experiment_id={story['experiment']}&run_id={run_id}"
    answer = client.suite.ask("DELETE", "tracking", path)
    assert answer["message"] == f"Run {run_id} deleted successfully."
    client.suite.ask("DELETE", "tracking", path, status=404)
    assert run_id not in {run["run_id"] for run in client.runs(story["experiment"])}
    client.suite.ask(
        "POST",
        "tracking",
        MANAGEMENT,
        {"request_information": "setting", "run_id": run_id},
        status=404,
    )


def test_experiment_is_deleted_once_and_its_name_is_free_again(
    client: Client, story: dict[str, Any]
) -> None:
    id_ = story["experiment"]
    answer = client.delete_experiment(id_)
    assert answer["message"] == f"Experiment {id_} deleted successfully."
    path = f"{EXPERIMENTS}?experiment_id={id_}"
    client.suite.ask("DELETE", "tracking", path, status=404)
    data = client.search(story["name"], {"DecisionTree": {"max_depth": [3]}})
    assert data["experiment_id"] != id_
    assert len(client.runs(data["experiment_id"])) == 1
    client.delete_experiment(data["experiment_id"])
