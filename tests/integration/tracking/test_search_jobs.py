"""Searches in the background: followed, cancelled, killed and gone on with."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow.artifacts import download_artifacts

from tests.support.databases import TestDatabase
from tests.support.gate import Gate
from tests.support.mlflow_fixture import MlflowServer
from tests.support.search_jobs_lab import SearchJobsLab, search_jobs_lab

FORESTS = {"n_estimators": [20, 30, 40, 50, 60, 70], "max_depth": [2, None]}
CANDIDATES = 12

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def mlflow_gate(mlflow_server: MlflowServer) -> Iterator[Gate]:
    """The way to MLflow, for tracking and its searches."""
    url = urlsplit(mlflow_server.url)
    assert url.hostname is not None and url.port is not None
    gate = Gate(url.hostname, url.port)
    yield gate
    gate.shut()


@pytest.fixture(scope="module")
def lab(
    module_database: TestDatabase,
    mlflow_server: MlflowServer,
    mlflow_gate: Gate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SearchJobsLab]:
    """The program with wine's training set loaded."""
    folder = tmp_path_factory.mktemp("searches")
    over = {"search_jobs": 1, "mlflow_url": f"http://127.0.0.1:{mlflow_gate.port}"}
    with search_jobs_lab(module_database, mlflow_server, folder, **over) as lab:
        lab.load()
        yield lab


def request(**over: Any) -> dict[str, Any]:
    """Return a search of twelve forests and, before them, of two trees."""
    return {
        "request_information": "optimization",
        "experiment_name": f"search job {next(_numbers)}",
        "experiment_description": "In the background",
        "experiment_owner": "Ada",
        "models": ["DecisionTree", "RandomForest"],
        "hyperparameters": {"DecisionTree": {"max_depth": [1, None]}, "RandomForest": FORESTS},
        "scoring": "accuracy",
        "cv": 3,
        "wait": False,
    } | over


def submit(lab: SearchJobsLab, **over: Any) -> Any:
    """Hand a search in and return its job."""
    return lab.ask("POST", "/model_management", request(**over), 202)


def searching(job: Any) -> bool:
    """Tell whether some forests, and not all of them, have been tried."""
    found = ((job["result"] or {}).get("models") or {}).get("RandomForest", {"done": 0})
    return 2 <= found["done"] < CANDIDATES


def candidate_runs(lab: SearchJobsLab, experiment_id: str, parent: str) -> list[Any]:
    """Return the runs below a model's run."""
    found = lab.client.search_runs(
        [experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000
    )
    return list(found)


def table(lab: SearchJobsLab, run_id: str, folder: Path) -> list[dict[str, str]]:
    """Return a run's table of candidates without the seconds, which differ each time."""
    path = download_artifacts(
        run_id=run_id,
        artifact_path="search/candidates.csv",
        dst_path=str(folder),
        tracking_uri=lab.client.tracking_uri,
    )
    with Path(path).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name != "fit_s"} for row in rows]


def versions(lab: SearchJobsLab, run_id: str) -> int:
    """Return how many versions were registered from a run."""
    return len(lab.client.search_model_versions(f"run_id = '{run_id}'"))


def assert_whole(lab: SearchJobsLab, job: Any, folder: Path) -> Any:
    """Compare what a job has left with a search that was waited for; return the forests' run."""
    assert job["state"] == "succeeded", job
    asked = {**job["request"], "wait": True, "experiment_name": f"waited {next(_numbers)}"}
    asked.pop("content_hash")
    waited = lab.ask("POST", "/model_management", asked, 201)["data"]
    experiment_id = job["result"]["experiment_id"]
    for model in ("DecisionTree", "RandomForest"):
        found = lab.client.get_run(job["result"]["run_ids"][model])
        wanted = lab.client.get_run(waited["run_ids"][model])
        assert found.info.status == "FINISHED"
        assert found.data.params == wanted.data.params
        metrics = {k: v for k, v in found.data.metrics.items() if not k.startswith("system_")}
        assert metrics == {
            k: v for k, v in wanted.data.metrics.items() if not k.startswith("system_")
        }
        for tag in ("cellar.hyperparameters", "cellar.best_score", "cellar.candidates"):
            assert found.data.tags[tag] == wanted.data.tags[tag]
        assert table(lab, found.info.run_id, folder / "found") == table(
            lab, wanted.info.run_id, folder / "wanted"
        )
        assert versions(lab, found.info.run_id) == 1
        assert len(found.outputs.model_outputs) == 1
    # One run for each model, whatever happened to the attempts before; theirs are below it.
    runs = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
    assert {run["run_id"] for run in runs} == set(job["result"]["run_ids"].values())
    assert candidate_runs(lab, experiment_id, waited["run_ids"]["RandomForest"]) == []
    children = candidate_runs(lab, experiment_id, job["result"]["run_ids"]["RandomForest"])
    assert len(children) == CANDIDATES
    assert {run.info.status for run in children} == {"FINISHED"}
    values = {
        (run.data.params["model_n_estimators"], run.data.params["model_max_depth"])
        for run in children
    }
    assert len(values) == CANDIDATES
    assert lab.database.rows(
        "SELECT count(*) FROM search_candidates WHERE job_id = %s", (job["id"],)
    ) == [(0,)]
    assert lab.database.rows("SELECT state FROM searches WHERE job_id = %s", (job["id"],)) == [
        ("finished",)
    ]
    return lab.client.get_run(job["result"]["run_ids"]["RandomForest"])


def test_a_search_in_the_background_is_that_of_the_request(
    lab: SearchJobsLab, tmp_path: Path
) -> None:
    job = submit(lab)
    assert (job["kind"], job["state"], job["progress"]) == ("search", "queued", 0.0)
    assert lab.ask("GET", "/jobs?limit=1")["jobs"][0]["id"] == job["id"]

    during = lab.wait(job["id"], searching)
    assert 0 < during["progress"] < 1
    assert during["result"]["models"]["RandomForest"]["planned"] == CANDIDATES
    assert during["result"]["time_left_s"] > 0
    assert during["result"]["models"]["DecisionTree"]["done"] == 2
    experiment_id = during["result"]["experiment_id"]
    parent = during["result"]["run_ids"]["RandomForest"]
    lab.eventually(lambda: candidate_runs(lab, experiment_id, parent), bool)
    assert lab.client.get_run(parent).info.status == "RUNNING"
    # Whoever looks at the open runs does not take the search for a dead one.
    lab.ask("GET", f"/runs?experiment_id={experiment_id}")
    lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}", status=409)

    done = lab.wait(job["id"])
    assert (done["progress"], done["attempts"]) == (1.0, 1)
    run = assert_whole(lab, done, tmp_path)
    body = {"experiment_id": experiment_id, "request_information": "general"}
    counts = lab.ask("POST", "/experiments", body)["data"]["experiment_runs"]
    assert (counts["number_of_runs"], counts["completed_runs"]) == (2, 2)
    body = {**body, "request_information": "statistics", "filter": ["all"]}
    assert lab.ask("POST", "/experiments", body)["data"]["accuracy"]["max"] > 0.8
    best = {**body, "request_information": "best_model", "filter": ["model_accuracy"]}
    assert lab.ask("POST", "/experiments", best)["data"]["run_id"] in job_runs(done)
    listed = lab.ask("GET", "/experiments")["data"]
    assert [e["run_count"] for e in listed if e["experiment_id"] == experiment_id] == [2]

    # A run goes with those of its candidates.
    lab.ask("DELETE", f"/runs?experiment_id={experiment_id}&run_id={run.info.run_id}")
    assert candidate_runs(lab, experiment_id, run.info.run_id) == []
    assert lab.send("POST", f"/jobs/{job['id']}/cancel")[0] == 409


def job_runs(job: Any) -> set[str]:
    """Return the runs of a job's models."""
    return set(job["result"]["run_ids"].values())


def test_a_killed_search_goes_on_where_it_was(lab: SearchJobsLab, tmp_path: Path) -> None:
    job = submit(lab)
    lab.wait(job["id"], searching)
    child = lab.child()
    child.suspend()
    [(kept,)] = lab.database.rows(
        "SELECT count(*) FROM search_candidates WHERE job_id = %s", (job["id"],)
    )
    assert kept >= 4
    child.kill()
    done = lab.wait(job["id"])
    assert done["attempts"] == 2
    assert_whole(lab, done, tmp_path)


def test_a_candidate_that_was_logged_and_not_yet_kept_has_one_run(
    lab: SearchJobsLab, tmp_path: Path
) -> None:
    job = submit(lab)

    def logged(found: Any) -> list[Any]:
        if not searching(found):
            return []
        runs = candidate_runs(
            lab, found["result"]["experiment_id"], found["result"]["run_ids"]["RandomForest"]
        )
        return [run for run in runs if run.info.status == "FINISHED"]

    running = lab.wait(job["id"], logged)
    child = lab.child()
    child.suspend()
    # As if it had been killed between the run of a candidate and its row.
    lab.database.execute(
        "DELETE FROM search_candidates WHERE job_id = %s AND key = %s",
        (job["id"], logged(running)[0].data.tags["cellar.candidate"]),
    )
    child.kill()
    assert_whole(lab, lab.wait(job["id"]), tmp_path)


def test_a_stopped_program_goes_on_at_its_next_start(lab: SearchJobsLab, tmp_path: Path) -> None:
    job = submit(lab)
    lab.wait(job["id"], searching)
    lab.program.stop()
    waiting = lab.job(job["id"])
    assert (waiting["state"], waiting["attempts"]) == ("queued", 0)
    assert lab.client.get_run(waiting["result"]["run_ids"]["RandomForest"]).info.status == "RUNNING"
    lab.program.start()
    done = lab.wait(job["id"])
    assert done["attempts"] == 1
    assert_whole(lab, done, tmp_path)


def test_a_cancelled_search_keeps_what_has_finished(lab: SearchJobsLab, tmp_path: Path) -> None:
    job = submit(lab)
    lab.wait(job["id"], searching)
    status, answer = lab.send("POST", f"/jobs/{job['id']}/cancel")
    assert (status, answer["cancel_requested"]) == (202, True)
    done = lab.wait(job["id"])
    assert done["state"] == "cancelled"
    experiment_id = done["result"]["experiment_id"]
    for model, run_id in done["result"]["run_ids"].items():
        run = lab.client.get_run(run_id)
        assert run.info.status == "KILLED"
        assert "cancelled" in run.data.tags["cellar.failure_reason"]
        rows = table(lab, run_id, tmp_path / model)
        assert len(rows) == int(run.data.tags["cellar.candidates"])
        assert 2 <= len(rows) <= CANDIDATES
        assert rows[0]["rank"] == "1"
        assert float(rows[0]["mean_accuracy"]) == run.data.metrics["mean_accuracy"]
        assert versions(lab, run_id) == 0
        children = candidate_runs(lab, experiment_id, run_id)
        assert {child.info.status for child in children} <= {"FINISHED", "KILLED"}
    counts = lab.ask(
        "POST",
        "/experiments",
        {"experiment_id": experiment_id, "request_information": "general"},
    )["data"]["experiment_runs"]
    assert (counts["number_of_runs"], counts["stopped_runs"]) == (2, 2)
    assert lab.database.rows("SELECT state FROM searches WHERE job_id = %s", (job["id"],)) == [
        ("cancelled",)
    ]
    assert lab.send("POST", f"/jobs/{job['id']}/cancel")[0] == 200


def test_a_search_that_waits_is_cancelled_at_once(lab: SearchJobsLab) -> None:
    running, waiting = submit(lab), submit(lab)
    status, answer = lab.send("POST", f"/jobs/{waiting['id']}/cancel")
    assert (status, answer["state"]) == (200, "cancelled")
    lab.send("POST", f"/jobs/{running['id']}/cancel")
    assert lab.wait(running["id"])["state"] == "cancelled"


def test_a_search_in_which_a_model_fails_registers_nothing(lab: SearchJobsLab) -> None:
    job = submit(
        lab,
        models=["DecisionTree", "KNN"],
        hyperparameters={"KNN": {"n_neighbors": [500]}},
    )
    done = lab.wait(job["id"])
    assert (done["state"], done["result"]["status_code"]) == ("failed", 422)
    assert "KNN" in done["reason"]
    for run_id in job_runs(done):
        run = lab.client.get_run(run_id)
        assert run.info.status == "FAILED"
        assert "KNN" in run.data.tags["cellar.failure_reason"]
        assert versions(lab, run_id) == 0


def test_what_can_be_seen_wrong_is_refused_without_a_job(lab: SearchJobsLab) -> None:
    before = lab.ask("GET", "/jobs")["count"]
    lab.ask("POST", "/model_management", request(models=["Nonsense"]), 400)
    lab.ask("POST", "/model_management", request(cv=1000), 400)
    lab.ask("POST", "/model_management", request(dataset_name="nobody"), 404)
    lab.ask("POST", "/model_management", request(scoring="nonsense"), 400)
    assert lab.ask("GET", "/jobs")["count"] == before
    lab.ask("GET", "/jobs/987654321", status=404)
    lab.ask("POST", "/jobs/987654321/cancel", status=404)
    lab.ask("GET", "/jobs?kind=train", status=400)


def test_a_set_loaded_anew_before_the_search_begins_ends_it(lab: SearchJobsLab) -> None:
    lab.program.stop()
    try:
        job = submit(lab)
        lab.load(seed=7)
        lab.program.start()
        done = lab.wait(job["id"])
        assert (done["state"], done["result"]["status_code"]) == ("failed", 409)
        assert "loaded anew" in done["reason"]
    finally:
        lab.load()


def test_while_mlflow_is_away_a_search_waits(lab: SearchJobsLab, mlflow_gate: Gate) -> None:
    job = submit(lab)
    lab.wait(job["id"], searching)
    with mlflow_gate.outage():
        lab.child().kill()
        lab.wait(job["id"], lambda found: found["message"] == "waits for MLflow")
    assert lab.wait(job["id"])["state"] == "succeeded"


def test_what_a_cancelled_search_leaves_while_mlflow_is_away_is_ended_later(
    lab: SearchJobsLab, mlflow_gate: Gate
) -> None:
    job = submit(lab)
    run_id = lab.wait(job["id"], searching)["result"]["run_ids"]["RandomForest"]
    with mlflow_gate.outage():
        lab.send("POST", f"/jobs/{job['id']}/cancel")
        assert lab.wait(job["id"])["state"] == "cancelled"
        assert lab.client.get_run(run_id).info.status == "RUNNING"
    lab.eventually(
        lambda: lab.client.get_run(run_id).info.status, lambda status: status == "KILLED"
    )
    assert lab.client.get_run(run_id).data.metrics["mean_accuracy"] > 0.5
