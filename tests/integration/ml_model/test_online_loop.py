"""Rows that come in online, the one retraining they set off, and what becomes of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

import ml_model.app
import ml_model.settings
from ml_model.service.online_training import RETRAININGS
from tests.support.databases import TestDatabase
from tests.support.jobs_lab import JobsLab, jobs_lab
from tests.support.mlflow_fixture import MlflowServer

IRIS = load_iris()
NOBODY = "http://127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture
def lab(
    cellar_database: TestDatabase, mlflow_server: MlflowServer, tmp_path: Path
) -> Iterator[JobsLab]:
    """Everything on a fresh database, with a model that is quick to train."""
    with jobs_lab(cellar_database, mlflow_server.url, tmp_path) as lab:
        lab.ask("POST", "/root/ml/set_model", {"model_name": "DecisionTree"})
        yield lab


def add(lab: JobsLab, number: int, **more: Any) -> Any:
    """Add one flower."""
    row = {"features": IRIS.data[number].tolist(), "target": int(IRIS.target[number])}
    return lab.ask("POST", "/add_training_data", row | more)


def serve(lab: JobsLab, version_id: int) -> None:
    """Let a version serve."""
    lab.database.execute(
        "INSERT INTO deployments (slot, action, current_version_id, canary_probability, shadow,"
        " actor, reason, request_id) VALUES ('current', 'accept', %s, 1, false, 't', 't', 't')",
        (version_id,),
    )


def test_ten_rows_retrain_and_go_to_next(lab: JobsLab, cellar_database: TestDatabase) -> None:
    triggered = RETRAININGS._value.get()
    for number in range(9):
        answer = add(lab, number * 16)
        assert (answer["dataset_name"], answer["missing"]) == ("iris", 9 - number)
        assert answer["job_id"] is None
    # Another process counts the same rows.
    settings = cellar_database.settings(ml_model.settings.Settings, simulator_url=NOBODY)
    again = ml_model.app.create_app(settings).test_client()
    row = {"features": IRIS.data[149].tolist(), "target": "virginica", "dataset_name": "iris"}
    answer = again.post("/add_training_data", json=row).get_json()
    assert (answer["missing"], answer["retraining_started"]) == (0, True)
    assert RETRAININGS._value.get() == triggered + 1
    job = lab.wait(answer["job_id"])
    assert job["state"] == "succeeded", job
    result = job["result"]
    assert (result["promoted"], result["champion"], result["champion_accuracy"]) == (
        True,
        None,
        None,
    )
    assert result["model_name"] == "DecisionTree"
    assert (result["stored_rows"], result["new_rows"], result["new_rows_held_back"]) == (90, 10, 2)
    assert result["compared_rows"] == 32
    assert lab.database.rows(
        "SELECT next_version_id, current_version_id, actor FROM deployments"
        " ORDER BY id DESC LIMIT 1"
    ) == [(result["model_version_id"], None, "retraining")]
    assert add(lab, 3)["missing"] == 9


def test_a_challenger_meets_what_serves(lab: JobsLab) -> None:
    trained = lab.ask(
        "POST", "/train", {"dataset_name": "iris", "registered_model_name": "champion"}
    )
    champion_id = lab.job(trained["job_id"])["result"]["model_version_id"]
    serve(lab, champion_id)
    job = lab.wait(lab.ask("POST", "/trigger_retrain", {"force_retrain": True})["job_id"])
    result = job["result"]
    assert result["champion"] == "models:/champion/1"
    assert (result["registered_model_name"], result["model_version"]) == ("champion", "2")
    assert result["model_name"] == "RandomForest"
    assert result["compared_rows"] == 30
    assert result["promoted"] is (result["challenger_accuracy"] >= result["champion_accuracy"])


def test_a_champion_of_other_columns_is_not_challenged(lab: JobsLab) -> None:
    trained = lab.ask("POST", "/train", {"dataset_name": "wine", "registered_model_name": "wines"})
    serve(lab, lab.job(trained["job_id"])["result"]["model_version_id"])
    body = {"force_retrain": True, "dataset_name": "iris"}
    job = lab.wait(lab.ask("POST", "/trigger_retrain", body)["job_id"])
    assert job["state"] == "succeeded"
    assert job["result"]["promoted"] is False
    assert "other columns" in job["message"]
    # `models:/wines/latest` stays a model of wines.
    assert job["result"]["registered_model_name"] == "iris-RandomForest"
    # Rows that name no dataset belong to that of the serving version.
    status, answer = lab.send("POST", "/add_training_data", {"features": [1, 2], "target": 0})
    assert status == 400
    assert "alcohol" in answer["message"]


def test_a_champion_with_classes_by_other_names_is_measured_by_what_it_says(lab: JobsLab) -> None:
    names = [str(IRIS.target_names[label]) for label in IRIS.target]
    columns: Any = IRIS.feature_names
    body = {"data": IRIS.data.tolist(), "columns": columns, "target": names}
    body["registered_model_name"] = "flowers"
    trained = lab.ask("POST", "/train", body)
    serve(lab, lab.job(trained["job_id"])["result"]["model_version_id"])
    job = lab.wait(lab.ask("POST", "/trigger_retrain", {"force_retrain": True})["job_id"])
    assert job["result"]["champion"] == "models:/flowers/1"
    assert job["result"]["champion_accuracy"] > 0.9


def test_a_challenger_takes_no_traffic_from_a_canary(lab: JobsLab) -> None:
    versions = []
    for model in ("DecisionTree", "LogisticRegression"):
        body = {"dataset_name": "iris", "model_name": model, "registered_model_name": model}
        trained = lab.ask("POST", "/train", body)
        versions.append(lab.job(trained["job_id"])["result"]["model_version_id"])
    serve(lab, versions[0])
    update = {"model_uri": "models:/LogisticRegression/1"}
    lab.ask("POST", "/update-model", update)
    lab.ask("POST", "/set-canary-probability", {"probability": 0.5})
    before = lab.ask("GET", "/slots")
    body = {"force_retrain": True}
    job = lab.wait(lab.ask("POST", "/trigger_retrain", body)["job_id"])
    assert job["state"] == "succeeded"
    assert job["result"]["promoted"] is False
    assert "canary" in job["message"] or job["message"].startswith("worse")
    after = lab.ask("GET", "/slots")
    for kept in ("current", "next", "canary_probability"):
        assert before[kept] == after[kept]


def test_missing_sets_are_cut_with_the_seed_of_those_that_are_loaded(lab: JobsLab) -> None:
    lab.load("training", "iris", 7)
    job = lab.wait(lab.ask("POST", "/trigger_retrain", {"force_retrain": True})["job_id"])
    assert job["state"] == "succeeded", job
    assert lab.database.rows("SELECT set_name, seed FROM set_loads ORDER BY set_name") == [
        ("testing", 7),
        ("training", 7),
    ]


def test_sets_that_share_rows_are_not_compared_on(lab: JobsLab) -> None:
    lab.load("training", "iris", 7)
    lab.load("testing", "iris", 8)
    job = lab.wait(lab.ask("POST", "/trigger_retrain", {"force_retrain": True})["job_id"])
    assert job["state"] == "failed"
    assert '"seed": 7' in job["reason"]


def test_rows_that_come_during_a_retraining_set_off_the_next(lab: JobsLab) -> None:
    lab.program.stop()
    answers = [add(lab, number) for number in range(22)]
    first = answers[9]["job_id"]
    assert answers[9]["retraining_started"] is True
    assert {answer["job_id"] for answer in answers[10:]} == {first}
    lab.program.start()
    assert lab.wait(first)["result"]["new_rows"] == 10
    jobs = lab.eventually(lambda: lab.ask("GET", "/jobs")["jobs"], lambda jobs: len(jobs) == 2)
    second = next(job["id"] for job in jobs if job["id"] != first)
    assert lab.wait(second)["result"]["new_rows"] == 22
    assert len(lab.ask("GET", "/jobs")["jobs"]) == 2


def test_a_row_is_stored_once_per_request(lab: JobsLab) -> None:
    row = {"features": IRIS.data[0].tolist(), "target": 0}
    first = lab.send("POST", "/add_training_data", row, request_id="row-1")
    assert lab.send("POST", "/add_training_data", row, request_id="row-1") == first
    assert first[1]["new_rows"] == 1
    other = lab.send("POST", "/add_training_data", {**row, "target": 1}, request_id="row-1")
    assert other[0] == 409
    assert lab.database.rows("SELECT target FROM training_rows") == [(0,)]


@pytest.mark.parametrize("target", [1, 1.0, "1", "versicolor"])
def test_a_class_may_be_written_in_many_ways(lab: JobsLab, target: Any) -> None:
    add(lab, 0, target=target)
    assert lab.database.rows("SELECT target FROM training_rows") == [(1,)]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"features": [1, 2, 3]}, 400, "sepal length (cm)"),
        ({"features": [1, 2, 3, "x"]}, 400, "features.petal width (cm)"),
        ({"target": 7}, 400, "target"),
        ({"target": "rose"}, 400, "target"),
        ({"target": True}, 400, "target"),
        ({"target": None}, 400, "target"),
        ({"dataset_name": "tulips"}, 404, "tulips"),
        ({"extra": 1}, 400, "extra"),
    ],
)
def test_what_is_no_row_of_the_dataset_is_refused(
    lab: JobsLab, change: dict[str, Any], status: int, named: str
) -> None:
    row = {"features": IRIS.data[0].tolist(), "target": 0, **change}
    found, answer = lab.send("POST", "/add_training_data", row)
    assert found == status, answer
    assert named in str(answer)
    assert lab.database.rows("SELECT count(*) FROM training_rows") == [(0,)]


def test_two_triggers_at_once_are_one_retraining(lab: JobsLab) -> None:
    assert lab.send("POST", "/trigger_retrain", {})[0] == 409
    lab.program.stop()
    with ThreadPoolExecutor(8) as pool:
        body = {"force_retrain": True}
        answers = list(pool.map(lambda _: lab.send("POST", "/trigger_retrain", body), range(8)))
        rows = list(pool.map(lambda number: add(lab, number), range(12)))
    assert {status for status, _ in answers} == {202}
    [job_id] = {answer["job_id"] for _, answer in answers}
    assert {row["job_id"] for row in rows} == {job_id}
    assert lab.database.rows("SELECT count(*) FROM jobs") == [(1,)]
    # Cancelled before it began, it leaves the new rows to the next one.
    cancelled = lab.ask("POST", f"/jobs/{job_id}/cancel")
    assert cancelled["state"] == "cancelled"
    assert lab.ask("POST", f"/jobs/{job_id}/cancel") == cancelled
    answer = add(lab, 13)
    assert answer["retraining_started"] is True
    assert answer["job_id"] != job_id
    lab.program.start()
    assert lab.wait(answer["job_id"])["result"]["new_rows"] == 13
