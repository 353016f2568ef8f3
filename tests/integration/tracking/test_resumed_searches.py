"""Searches by every strategy that are killed: what had finished is not fitted again."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.artifacts import download_artifacts

from tests.support.databases import TestDatabase
from tests.support.mlflow_fixture import MlflowServer
from tests.support.search_jobs_lab import SearchJobsLab, search_jobs_lab

MODEL = "RandomForest"
SIZES = [81, 82, 83, 84, 85, 86, 87, 88, 89]
SEARCHES: dict[str, dict[str, Any]] = {
    "halving": {"strategy": "halving"},
    "tpe": {
        "strategy": "tpe",
        "n_candidates": 8,
        # Of numbers no candidate is proposed twice.
        "hyperparameters": {MODEL: {"n_estimators": [80], "ccp_alpha": {"low": 0.0, "high": 0.1}}},
    },
    "nested_cv": {"nested_cv": 2, "hyperparameters": {MODEL: {"n_estimators": SIZES[:4]}}},
    "folds": {"folds": "random", "hyperparameters": {MODEL: {"n_estimators": SIZES[:6]}}},
}
TRIED = {"halving": 9 + 3, "tpe": 8, "nested_cv": 3 * 4, "folds": 6}
"""How many times a candidate is tried in all."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lab(
    module_database: TestDatabase,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SearchJobsLab]:
    """The program with wine's training set loaded."""
    folder = tmp_path_factory.mktemp("searches")
    with search_jobs_lab(module_database, mlflow_server, folder, search_jobs=1) as lab:
        lab.load()
        yield lab


def request(**over: Any) -> dict[str, Any]:
    """Return a search of a few forests."""
    return {
        "request_information": "optimization",
        "experiment_name": f"resumed {next(_numbers)}",
        "experiment_description": "In the background",
        "experiment_owner": "Ada",
        "models": [MODEL],
        "hyperparameters": {MODEL: {"n_estimators": SIZES}},
        "scoring": "neg_log_loss",
        "cv": 2,
        "wait": False,
    } | over


def done_of(job: Any) -> int:
    """Return how many candidates have finished."""
    models: dict[str, Any] = (job["result"] or {}).get("models") or {}
    return int(models.get(MODEL, {"done": 0})["done"])


def kept(lab: SearchJobsLab, job_id: int) -> dict[str, float]:
    """Return the seconds of a fit of each candidate that is kept, by its digest."""
    rows = lab.database.rows(
        "SELECT key, candidate FROM search_candidates WHERE job_id = %s", (job_id,)
    )
    return {key: candidate["fit_s"] for key, candidate in rows}


def children(lab: SearchJobsLab, job: Any) -> dict[str, float]:
    """Return the seconds of a fit of each candidate, by its digest, as its run has them."""
    runs = lab.client.search_runs(
        [job["result"]["experiment_id"]],
        f"tags.`mlflow.parentRunId` = '{job['result']['run_ids'][MODEL]}'",
        max_results=1000,
    )
    found = {run.data.tags["cellar.candidate"]: run.data.metrics["fit_s"] for run in runs}
    assert len(found) == len(runs)
    return found


def outcome(lab: SearchJobsLab, run_id: str, folder: Path) -> Any:
    """Return all that a run says of its search but seconds."""
    run = lab.client.get_run(run_id)
    path = download_artifacts(
        run_id=run_id,
        artifact_path="search/candidates.csv",
        dst_path=str(folder),
        tracking_uri=lab.client.tracking_uri,
    )
    rows = list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines()))
    metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith("system_")}
    tags = ("cellar.hyperparameters", "cellar.best_score", "cellar.candidates")
    return (
        run.info.status,
        run.data.params,
        metrics,
        [run.data.tags[tag] for tag in tags],
        [{name: value for name, value in row.items() if name != "fit_s"} for row in rows],
    )


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_killed_search_comes_to_the_outcome_of_one_that_was_not(
    lab: SearchJobsLab, tmp_path: Path, kind: str
) -> None:
    job = lab.ask("POST", "/model_management", request(**SEARCHES[kind]), 202)
    # Of a nested search: within the outer folds.
    enough = 6 if kind == "nested_cv" else 3
    lab.wait(job["id"], lambda found: enough <= done_of(found) < TRIED[kind])
    child = lab.child()
    child.suspend()
    before = kept(lab, job["id"])
    child.kill()
    assert enough <= len(before) < TRIED[kind]

    done = lab.wait(job["id"])
    assert (done["state"], done["attempts"]) == ("succeeded", 2), done
    after = children(lab, done)
    assert len(after) == TRIED[kind] == done_of(done)
    # A fit takes another time whenever it is made again.
    assert {key: after[key] for key in before} == before

    asked = {**done["request"], "wait": True, "experiment_name": f"waited {next(_numbers)}"}
    asked.pop("content_hash")
    waited = lab.ask("POST", "/model_management", asked, 201)["data"]["run_ids"][MODEL]
    found = outcome(lab, done["result"]["run_ids"][MODEL], tmp_path / "found")
    assert found == outcome(lab, waited, tmp_path / "wanted")
    assert ("model_nested_cv_mean" in found[2]) == (kind == "nested_cv")
    assert found[1].get("grid_search_folds") == ("random" if kind == "folds" else None)


def test_the_time_budget_is_that_of_all_attempts(lab: SearchJobsLab, tmp_path: Path) -> None:
    job = lab.ask("POST", "/model_management", request(time_budget_s=3_600), 202)
    lab.wait(job["id"], lambda found: 2 <= done_of(found) < len(SIZES))
    lab.program.stop()
    waiting = lab.job(job["id"])
    spent_s = waiting["result"]["models"][MODEL]["spent_s"]
    assert 0 < spent_s < 3_600
    tried = len(kept(lab, job["id"]))
    # As if the attempt had taken all of it.
    models = {MODEL: {**waiting["result"]["models"][MODEL], "spent_s": 3_600.0}}
    lab.database.execute(
        "UPDATE jobs SET result = result || %s::jsonb WHERE id = %s",
        (json.dumps({"models": models}), job["id"]),
    )
    lab.program.start()
    done = lab.wait(job["id"])
    assert done["state"] == "succeeded", done
    run = lab.client.get_run(done["result"]["run_ids"][MODEL])
    assert run.data.tags["cellar.stopped"] == "time budget"
    assert run.data.tags["cellar.candidates"] == str(tried)
    assert done["result"]["models"][MODEL]["spent_s"] >= 3_600
