"""Experiments and runs: lists, descriptions, rankings, statistics, deletion."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from tests.integration.tracking.conftest import Lab, new_name


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Collect every SQL statement this process sends."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def experiment_of(lab: Lab, *metrics: dict[str, float]) -> str:
    """Make an experiment by hand with one finished run per entry."""
    experiment_id = str(lab.client.create_experiment(new_name("by hand")))
    for values in metrics:
        lab.run_by_hand(experiment_id, **values)
    return experiment_id


def test_experiments_are_listed_with_their_run_counts(lab: Lab) -> None:
    experiment_id = experiment_of(lab, {}, {})
    deleted = lab.run_by_hand(experiment_id)
    lab.client.delete_run(deleted)
    answer = lab.ask("GET", "/experiments")
    assert answer["message"] == "Experiments retrieved successfully"
    found = next(item for item in answer["data"] if item["experiment_id"] == experiment_id)
    assert found == {
        "experiment_id": experiment_id,
        "name": lab.client.get_experiment(experiment_id).name,
        "lifecycle_stage": "active",
        "run_count": 2,
        "dataset_name": None,
        "dataset_version": None,
    }
    lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}")
    listed = lab.ask("GET", "/experiments")["data"]
    assert experiment_id not in {item["experiment_id"] for item in listed}


def test_mlflow_s_own_experiment_is_listed_once_it_holds_runs(lab: Lab) -> None:
    def listed() -> bool:
        return "0" in {item["experiment_id"] for item in lab.ask("GET", "/experiments")["data"]}

    assert not listed()
    run_id = lab.run_by_hand("0")
    assert listed()
    lab.client.delete_run(run_id)
    assert not listed()


def test_general_counts_runs_by_state_while_some_are_open(lab: Lab) -> None:
    experiment_id = experiment_of(lab, {}, {})
    for status in ("RUNNING", "FAILED", "KILLED"):
        lab.run_by_hand(experiment_id, status)
    lab.client.delete_run(lab.run_by_hand(experiment_id))
    data = lab.describe(experiment_id, "general")
    assert data["experiment_runs"] == {
        "number_of_runs": 5,
        "completed_runs": 2,
        "failed_runs": 1,
        "active_runs": 1,
        "stopped_runs": 1,
        "first_run_completed": "1970-01-01 00:00:03",
        "last_run_completed": "1970-01-01 00:00:03",
    }
    info = data["experiment_info"]
    assert info["artifact_location"] == f"mlflow-artifacts:/{experiment_id}"
    assert info["lifecycle_stage"] == "active"
    assert info["tags"] == {"description": None, "owner": None}
    for key in ("data_creation", "last_updated"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", info[key])


def test_runs_are_listed_the_newest_first(lab: Lab) -> None:
    experiment_id = experiment_of(lab, {})
    open_run = str(lab.client.create_run(experiment_id, start_time=9_000).info.run_id)
    answer = lab.ask("GET", f"/runs?experiment_id={experiment_id}")
    assert answer["message"] == "Experiment Runs Retrieved"
    newest, oldest = answer["data"]
    assert newest["run_id"] == open_run
    assert (newest["status"], newest["end_time"]) == ("RUNNING", None)
    assert (oldest["start_time"], oldest["end_time"]) == (
        "1970-01-01 00:00:01",
        "1970-01-01 00:00:03",
    )
    assert oldest["tags"] == {"model_type": None, "experiment_type": None}


def test_best_model_ranks_finished_runs(lab: Lab) -> None:
    experiment_id = experiment_of(
        lab,
        {"model_accuracy": 0.9, "model_recall": 0.5, "system_execution_time": 3.0},
        {"model_accuracy": 0.9, "model_recall": 0.6, "system_execution_time": 2.0},
        {"model_accuracy": float("nan"), "system_execution_time": 9.0},
        {},
    )
    lab.client.delete_run(lab.run_by_hand(experiment_id, model_accuracy=1.0))
    lab.run_by_hand(experiment_id, "FAILED", model_accuracy=1.0)
    best = lab.describe(experiment_id, "best_model", filter=["model_accuracy", "model_recall"])
    assert best["metrics"] == {"model_accuracy": 0.9, "model_recall": 0.6}
    best = lab.describe(experiment_id, "best_model", filter=["system_execution_time"])
    assert best["metrics"] == {"system_execution_time": 2.0}
    body = {
        "experiment_id": experiment_id,
        "request_information": "best_model",
        "filter": ["system_cpu_usage"],
    }
    assert lab.send("POST", "/experiments", body)[0] == 404


def test_statistics_leave_out_what_a_run_has_not(lab: Lab) -> None:
    experiment_id = experiment_of(
        lab,
        {"model_accuracy": 0.5},
        {"model_accuracy": 1.0},
        {"model_accuracy": float("nan")},
        {},
    )
    lab.client.delete_run(lab.run_by_hand(experiment_id, model_accuracy=0.0))
    data = lab.describe(experiment_id, "statistics", filter=["all"])
    assert set(data) == {"duration", "accuracy", "f1_score", "precision", "recall"}
    assert data["accuracy"] == {
        "mean": 0.75,
        "median": 0.75,
        "std_dev": 0.25,
        "variance": 0.0625,
        "min": 0.5,
        "max": 1.0,
        "mode": 0.5,
        "iqr": 0.25,
    }
    assert data["duration"]["mean"] == 2.5
    assert set(data["recall"].values()) == {None}
    some = lab.describe(experiment_id, "statistics", filter=["model_accuracy"])
    assert set(some) == {"duration", "accuracy"}
    assert some["accuracy"] == data["accuracy"]


def test_nan_never_reaches_the_wire(lab: Lab) -> None:
    experiment_id = experiment_of(lab, {"model_accuracy": float("nan"), "model_recall": 0.5})
    run_id = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"][0]["run_id"]
    body = {
        "experiment_id": experiment_id,
        "run_id": run_id,
        "request_information": "metrics",
        "type": "model",
    }
    assert lab.ask("POST", "/runs", body)["data"] == {"recall": 0.5}


def test_parameters_come_without_their_prefix(lab: Lab) -> None:
    data = lab.optimize()
    body = {
        "experiment_id": data["experiment_id"],
        "run_id": data["run_ids"]["DecisionTree"],
        "request_information": "parameters",
    }
    asked = {
        kind: lab.ask("POST", "/runs", {**body, "type": kind}) for kind in ("data", "grid_search")
    }
    assert asked["data"] == {
        "message": "Parameters Retrieved",
        "data": {"classes": "3", "features": "13", "samples": "106"},
        "dataset_name": "wine",
        "dataset_version": 1,
    }
    assert asked["grid_search"]["data"] == {
        "max_depth": "[1, None]",
        "cv_folds": "2",
        "scoring": "accuracy",
    }
    assert set(lab.ask("POST", "/runs", {**body, "type": "model"})["data"]) == {"max_depth"}


def test_every_answer_about_a_search_names_its_dataset(lab: Lab) -> None:
    data = lab.optimize()
    wine = {"dataset_name": "wine", "dataset_version": 1}
    experiment_id, run_id = data["experiment_id"], data["run_ids"]["DecisionTree"]
    runs = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
    best = lab.describe(experiment_id, "best_model", filter=["model_accuracy"])
    body = {"experiment_id": experiment_id, "run_id": run_id}
    asked = {"request_information": "metrics", "type": "model"}
    metrics = lab.ask("POST", "/runs", body | asked)

    def listed() -> dict[str, Any]:
        found = lab.ask("GET", "/experiments")["data"]
        return next(item for item in found if item["experiment_id"] == experiment_id)

    def general() -> dict[str, Any]:
        return dict(lab.describe(experiment_id, "general")["experiment_info"])

    for answer in (data, listed(), general(), best, metrics, *runs):
        assert {key: answer[key] for key in wine} == wine

    # Newer runs of another table; of one the version is no number.
    newer = lab.client.create_run(experiment_id, start_time=2**42).info.run_id
    lab.client.set_tag(newer, "cellar.dataset_name", "penguins")
    lab.client.set_tag(newer, "cellar.dataset_version", "3")
    odd = lab.client.create_run(experiment_id, start_time=2**43).info.run_id
    lab.client.set_tag(odd, "cellar.dataset_name", "penguins")
    lab.client.set_tag(odd, "cellar.dataset_version", "the third")
    penguins = {"dataset_name": "penguins", "dataset_version": 3}
    for answer in (listed(), general()):
        assert {key: answer[key] for key in wine} == penguins
    runs = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
    assert [run["dataset_version"] for run in runs[:3]] == [None, 3, 1]
    lab.client.delete_run(newer)
    lab.client.delete_run(odd)
    assert {key: listed()[key] for key in wine} == wine


@pytest.mark.parametrize(
    "information", [("general", None), ("best_model", ["model_accuracy"]), ("statistics", None)]
)
def test_an_experiment_without_runs_is_not_found(
    lab: Lab, information: tuple[str, list[str] | None]
) -> None:
    experiment_id = experiment_of(lab)
    name, chosen = information
    body = {"experiment_id": experiment_id, "request_information": name, "filter": chosen}
    answer = lab.ask("POST", "/experiments", body, 404)
    assert answer["error"] == "Experiment without runs"
    assert lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"] == []


def test_deleting_twice_is_not_found(lab: Lab) -> None:
    experiment_id = experiment_of(lab, {})
    run_id = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"][0]["run_id"]
    path = f"/runs?experiment_id={experiment_id}&run_id={run_id}"
    assert lab.ask("DELETE", path) == {"message": f"Run {run_id} deleted successfully."}
    lab.ask("DELETE", path, status=404)
    path = f"/experiments?experiment_id={experiment_id}"
    assert lab.ask("DELETE", path) == {
        "message": f"Experiment {experiment_id} deleted successfully."
    }
    lab.ask("DELETE", path, status=404)
    lab.ask("GET", f"/runs?experiment_id={experiment_id}", status=404)


def test_a_run_of_another_experiment_is_not_found(lab: Lab) -> None:
    mine, other = experiment_of(lab, {}), experiment_of(lab, {})
    run_id = lab.ask("GET", f"/runs?experiment_id={other}")["data"][0]["run_id"]
    body = {
        "experiment_id": mine,
        "run_id": run_id,
        "request_information": "metrics",
        "type": "model",
    }
    lab.ask("POST", "/runs", body, 404)
    lab.ask("DELETE", f"/runs?experiment_id={mine}&run_id={run_id}", status=404)
    assert lab.client.get_run(run_id).info.lifecycle_stage == "active"


@pytest.mark.parametrize("link", ["source_run_id", "version_source", "version_training"])
def test_what_is_deployed_cannot_be_deleted(lab: Lab, link: str) -> None:
    experiment_id = experiment_of(lab, {})
    run_id = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"][0]["run_id"]
    deploy(lab, **{link: run_id})
    path = f"/runs?experiment_id={experiment_id}&run_id={run_id}"
    answer = lab.ask("DELETE", path, status=409)
    assert answer["error"] == "Model deployed" and "'setting'" in answer["message"]
    lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}", status=409)
    assert lab.client.get_run(run_id).info.lifecycle_stage == "active"
    # Another model takes the slot: the run is free.
    deploy(lab)
    lab.ask("DELETE", path)
    lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("current_version_id", "the slot current"),
        ("next_version_id", "the slot next"),
        ("rollout", "the running roll-out"),
    ],
)
def test_what_serves_cannot_be_deleted(lab: Lab, where: str, words: str) -> None:
    experiment_id = experiment_of(lab, {})
    run_id = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"][0]["run_id"]
    deploy(lab, version_training=run_id)
    deploy(lab)
    newest, used = lab.database.rows("SELECT id FROM model_versions ORDER BY id DESC LIMIT 2")
    if where == "rollout":
        lab.database.execute(
            "INSERT INTO rollouts (plan, current_version_id, next_version_id, deployment_id)"
            " SELECT '{}', %s, %s, max(id) FROM deployments",
            (newest[0], used[0]),
        )
    else:
        # Setting a model to train leaves what serves: here another one is set.
        lab.database.execute(
            "INSERT INTO deployments (slot, action, model_name, hyperparameters, actor, reason,"  # noqa: S608
            f" request_id, {where}) VALUES ('current', 'set', 'KNN', '{{}}', 'a', '', '', %s)",
            (used[0],),
        )
    path = f"/runs?experiment_id={experiment_id}&run_id={run_id}"
    for refused in (path, f"/experiments?experiment_id={experiment_id}"):
        message = lab.ask("DELETE", refused, status=409)["message"]
        assert f"run {run_id} by {words}" in message
    lab.database.execute("UPDATE rollouts SET state = 'completed'")
    deploy(lab)
    lab.ask("DELETE", path)


def deploy(
    lab: Lab,
    source_run_id: str | None = None,
    version_source: str | None = None,
    version_training: str = "t",
) -> None:
    """Write what the ML service writes when a model is set and trained."""
    number = lab.database.rows("SELECT count(*) FROM deployments")[0][0] + 1
    lab.database.execute(
        """
        WITH version AS (
            INSERT INTO model_versions (registered_name, version, model_name, hyperparameters,
                source_run_id, training_run_id, dataset_id, training_content_hash, fingerprint,
                model_uri)
            SELECT 'SVC', %s, 'SVC', '{}', %s, %s, max(id), 'hash', %s, 'uri' FROM datasets
            RETURNING id
        )
        INSERT INTO deployments (slot, action, model_name, hyperparameters, source_run_id,
            model_version_id, actor, reason, request_id)
        SELECT 'current', 'trained', 'SVC', '{}', %s, id, 'test', 'test', 'test' FROM version
        """,
        [number, version_source, version_training, f"fingerprint {number}", source_run_id],
    )


def test_reads_take_the_same_number_of_queries_whatever_the_number_of_runs(lab: Lab) -> None:
    few, many = experiment_of(lab, {"model_accuracy": 0.5}), experiment_of(lab)
    # 300 runs with five metrics, five params and two tags each, straight into MLflow's tables.
    lab.mlflow.database.execute(
        """
        WITH made AS (
            INSERT INTO runs (run_uuid, name, source_type, status, start_time, end_time,
                lifecycle_stage, experiment_id)
            SELECT md5(%s || n), 'run ' || n, 'LOCAL', 'FINISHED', n, n + 1000, 'active', %s
            FROM generate_series(1, 300) AS n RETURNING run_uuid
        ), told AS (
            INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
            SELECT key, 0.5, 0, 0, false, run_uuid FROM made,
                unnest(ARRAY['model_accuracy', 'model_recall']) AS key
        )
        INSERT INTO tags (key, value, run_uuid) SELECT 'model_type', 'SVC', run_uuid FROM made
        """,
        [many, int(many)],
    )
    for path, body in (
        ("/experiments", None),
        ("/runs?experiment_id={id}", None),
        ("/experiments", {"request_information": "general"}),
        ("/experiments", {"request_information": "best_model", "filter": ["model_accuracy"]}),
        ("/experiments", {"request_information": "statistics"}),
    ):
        counts = []
        for experiment_id in (few, many):
            sent = body and {**body, "experiment_id": experiment_id}
            with counted_statements() as statements:
                lab.ask("POST" if sent else "GET", path.format(id=experiment_id), sent)
            counts.append(len(statements))
        assert counts[0] == counts[1] <= 3, (path, body, counts)
    assert len(lab.ask("GET", f"/runs?experiment_id={many}")["data"]) == 300
    assert lab.describe(many, "statistics")["accuracy"]["mean"] == 0.5


def test_the_statement_counter_sees_statements(lab: Lab) -> None:
    with lab.database.session() as session, counted_statements() as statements:
        session.execute(text("SELECT 1"))
    assert statements == ["SELECT 1"]


def test_no_answer_holds_more_than_json(lab: Lab) -> None:
    experiment_id = experiment_of(lab, {"model_accuracy": float("inf")})
    for body in (
        {"request_information": "statistics"},
        {"request_information": "best_model", "filter": ["model_accuracy"]},
    ):
        answer = lab.app.test_client().post(
            "/root/tracking/experiments", json={**body, "experiment_id": experiment_id}
        )

        def refuse(token: str) -> None:
            raise AssertionError(token)

        assert answer.status_code == 200, answer.get_json()
        json.loads(answer.get_data(), parse_constant=refuse)
