"""Training sets with more rows than may be fitted: a sample is fitted, all rows are scored."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

import ml_model.app
import ml_model.settings
from tests.support.databases import TestDatabase
from tests.support.jobs_lab import JobsLab, jobs_lab
from tests.support.mlflow_fixture import MlflowServer

MOST = 60
SETTING = {"model_name": "LogisticRegression", "hyperparameters": {"C": 0.5}}


@pytest.fixture(scope="module")
def lab(
    module_database: TestDatabase,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[JobsLab]:
    """One program for the tests of this module, on wine and diabetes."""
    folder = tmp_path_factory.mktemp("jobs")
    with jobs_lab(module_database, mlflow_server.url, folder, fit_max_rows=MOST) as lab:
        for name in ("wine", "diabetes"):
            for set_name in ("training", "testing"):
                lab.load(set_name, name, 42)
        yield lab


def answer_of(lab: JobsLab, setting: Any, **more: Any) -> Any:
    """Set a model and train it."""
    lab.ask("POST", "/root/ml/set_model", setting)
    return lab.ask("POST", "/root/ml", {"dataset": "training", **more})


def version_of(lab: JobsLab, name: str, version: str) -> dict[str, Any]:
    """Return what MLflow knows of a version: its tags, and its run's params."""
    base = f"{lab.mlflow_url}/api/2.0/mlflow"
    found = requests.get(
        f"{base}/model-versions/get", params={"name": name, "version": version}, timeout=30
    ).json()["model_version"]
    run = requests.get(f"{base}/runs/get", params={"run_id": found["run_id"]}, timeout=30).json()
    return {
        "tags": {tag["key"]: tag["value"] for tag in found["tags"]},
        "params": {p["key"]: p["value"] for p in run["run"]["data"].get("params", [])},
        "run_tags": {tag["key"]: tag["value"] for tag in run["run"]["data"]["tags"]},
    }


def check_said(lab: JobsLab, answer: Any, rows: int) -> None:
    """Check that answer, run and version say that so many rows were fitted of how many."""
    assert answer["rows_fitted"] == rows < answer["rows_in_set"] == answer["rows"]
    assert f"a sample of {rows} of the set's {answer['rows']} rows" in answer["notes"][0]
    kept = version_of(lab, answer["registered_model_name"], answer["model_version"])
    assert kept["params"]["data_samples"] == str(rows)
    for tags in (kept["tags"], kept["run_tags"]):
        assert tags["cellar.rows_fitted"] == str(rows)
        assert tags["cellar.rows_in_set"] == str(answer["rows"])


def test_all_rows_are_scored_by_what_a_sample_was_fitted_to(lab: JobsLab) -> None:
    answer = answer_of(lab, SETTING)
    check_said(lab, answer, MOST)
    right = lab.database.rows(
        "SELECT avg((predicted_class = target::text)::int)::float8, count(*)"
        " FROM predictions JOIN samples.wine_v1 USING (sample_id)"
        " WHERE predictions.set_name = 'training'"
    )
    assert right == [(answer["score"], answer["rows"])]
    assert answer["message"] == f"Score on training set: {answer['score'] * 100}%"
    assert 0.9 < answer["score"] <= 1


def test_same_rows_give_the_same_version_and_a_higher_limit_another(lab: JobsLab) -> None:
    first = answer_of(lab, SETTING)
    assert answer_of(lab, SETTING) == first
    with_more = ml_model.app.create_app(
        lab.database.settings(
            ml_model.settings.Settings,
            mlflow_url=lab.mlflow_url,
            connect_timeout_s=20.0,
            fit_max_rows=MOST + 1,
        )
    )
    more = with_more.test_client().post("/root/ml", json={"dataset": "training"}).get_json()
    assert more["rows_fitted"] == MOST + 1
    assert more["model_version"] != first["model_version"]


def test_limits_that_do_not_bite_change_nothing(lab: JobsLab) -> None:
    found = []
    for most in (106, 500_000):
        app = ml_model.app.create_app(
            lab.database.settings(
                ml_model.settings.Settings,
                mlflow_url=lab.mlflow_url,
                connect_timeout_s=20.0,
                fit_max_rows=most,
            )
        )
        lab.ask("POST", "/root/ml/set_model", SETTING)
        found.append(app.test_client().post("/root/ml", json={"dataset": "training"}).get_json())
    assert found[0] == found[1]
    assert (found[0]["rows_fitted"], found[0]["rows_in_set"], found[0]["notes"]) == (106, 106, [])
    kept = version_of(lab, found[0]["registered_model_name"], found[0]["model_version"])
    assert "cellar.rows_fitted" not in kept["tags"]


def test_regression(lab: JobsLab) -> None:
    answer = answer_of(lab, {"model_name": "Ridge"}, dataset_name="diabetes")
    check_said(lab, answer, MOST)
    assert {"r2", "mae", "median_absolute_error"} <= set(answer["metrics"])


def test_training_as_a_job_takes_the_same_sample(lab: JobsLab) -> None:
    answer = lab.ask("POST", "/train", {"dataset_name": "wine", "model_name": "DecisionTree"})
    assert answer["trained_rows"] + answer["drift_sample_rows"] == MOST
    assert answer["rows_in_set"] == 106
    assert "a sample of 60 of the set's 106 rows" in answer["notes"][0]
    kept = version_of(lab, answer["registered_model_name"], answer["model_version"])
    assert kept["tags"]["cellar.rows_fitted"] == str(answer["trained_rows"])
    assert kept["run_tags"]["cellar.rows_in_set"] == "106"


def test_retraining_takes_a_sample(lab: JobsLab) -> None:
    lab.ask("POST", "/root/ml/set_model", SETTING)
    begun = lab.ask("POST", "/trigger_retrain", {"force_retrain": True, "dataset_name": "wine"})
    job = lab.wait(begun["job_id"])
    assert job["state"] == "succeeded", job
    assert (job["result"]["stored_rows"], job["result"]["rows_in_set"]) == (MOST, 106)
    assert "a sample of 60" in job["result"]["notes"][0]
