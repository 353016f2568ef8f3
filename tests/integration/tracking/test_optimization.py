"""The optimization request from body to registered model."""

import errno
import json
import math
import threading
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pytest
import requests

from modelkit import storage
from tests.integration.tracking.conftest import Lab, new_name

WALK_THROUGH = Path(__file__).parents[3] / "postman" / "optimization.json"


@pytest.fixture(scope="module")
def walk_through(loaded_lab: Lab) -> Any:
    """The walk-through's own search, run once; its answer's `data`."""
    body = json.loads(WALK_THROUGH.read_text(encoding="utf-8"))
    answer = loaded_lab.ask("POST", "/model_management", body, 201)
    assert answer["message"] == "Experiments retrieved successfully"
    return answer["data"]


@pytest.mark.parametrize("model", ["LogisticRegression", "RandomForest", "SVC"])
def test_a_run_has_everything_the_contract_lists(lab: Lab, walk_through: Any, model: str) -> None:
    run = lab.client.get_run(walk_through["run_ids"][model])
    assert run.info.run_name == f"{model} Grid_Search_Opt and CV_Performance"
    assert run.info.status == "FINISHED"
    assert run.info.experiment_id == walk_through["experiment_id"]
    assert run.data.tags["experiment_type"] == "GridSearch_CrossValidation"
    assert run.data.tags["model_type"] == model
    grid = json.loads(WALK_THROUGH.read_text(encoding="utf-8"))["hyperparameters"][model]
    best = json.loads(run.data.tags["cellar.hyperparameters"])
    assert all(best[name] in values for name, values in grid.items())
    assert run.data.params == {
        "data_samples": "106",
        "data_features": "13",
        "data_classes": "3",
        **{f"model_{name}": str(value) for name, value in best.items()},
        **{f"grid_search_{name}": str(values) for name, values in grid.items()},
        "grid_search_scoring": "accuracy",
        "grid_search_cv_folds": "5",
    }
    metrics = run.data.metrics
    assert set(metrics) == {
        "model_accuracy",
        "model_f1_score",
        "model_precision",
        "model_recall",
        "system_cpu_usage",
        "system_execution_time",
    }
    assert metrics["model_accuracy"] > 0.9
    assert 0 < metrics["system_cpu_usage"] <= 100 and metrics["system_execution_time"] > 0
    dataset = run.inputs.dataset_inputs[0].dataset
    assert dataset.name == "wine_v1"
    assert json.loads(dataset.profile)["num_rows"] == 106


def test_the_experiment_has_its_tags(lab: Lab, walk_through: Any) -> None:
    tags = lab.client.get_experiment(walk_through["experiment_id"]).tags
    body = json.loads(WALK_THROUGH.read_text(encoding="utf-8"))
    assert tags["description"] == body["experiment_description"]
    assert tags["owner"] == body["experiment_owner"]


@pytest.mark.parametrize("model", ["LogisticRegression", "RandomForest", "SVC"])
def test_the_best_estimator_is_a_registered_model_that_loads(
    lab: Lab, walk_through: Any, model: str, tmp_path: Path
) -> None:
    run_id = walk_through["run_ids"][model]
    versions = lab.client.search_model_versions(f"run_id = '{run_id}'")
    assert [version.name for version in versions] == [model]
    assert versions[0].tags["dataset_name"] == "wine"
    assert versions[0].tags["dataset_version"] == "1"
    model_id = versions[0].source.removeprefix("models:/")
    mlflow.artifacts.download_artifacts(
        artifact_uri=lab.client.get_logged_model(model_id).artifact_location,
        dst_path=str(tmp_path),
        tracking_uri=lab.mlflow.url,
    )
    folder = next(path.parent for path in tmp_path.rglob("MLmodel"))
    described = mlflow.models.Model.load(str(folder))
    assert described.signature.inputs.input_names()[0] == "alcohol"
    assert described.saved_input_example_info is not None
    assert described.metadata == {"class_names": ["class_0", "class_1", "class_2"]}
    pipeline = storage.load(folder / storage.MODEL_FILE)
    example = described.load_input_example(str(folder))
    assert [name for name, _ in pipeline.steps] == ["impute", "scale", "model"]
    assert len(pipeline.predict(example)) == 5


def test_artifacts_open_through_the_server(lab: Lab, walk_through: Any) -> None:
    run_id = walk_through["run_ids"]["SVC"]
    answer = requests.get(
        f"{lab.mlflow.url}/get-artifact",
        params={"run_uuid": run_id, "path": "search/candidates.csv"},
        timeout=30,
    )
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert lines[0] == "rank,C,kernel,mean_accuracy,std_accuracy,fit_s"
    assert len(lines) == 1 + 6
    picture = requests.get(
        f"{lab.mlflow.url}/get-artifact",
        params={"run_uuid": run_id, "path": "search/candidates.svg"},
        timeout=30,
    )
    assert picture.text.startswith("<svg")


def test_the_same_request_gives_the_same_best(lab: Lab) -> None:
    over = {
        "models": ["RandomForest"],
        "hyperparameters": {"RandomForest": {"n_estimators": [5, 7], "max_depth": [None, 2]}},
    }
    runs = [lab.client.get_run(lab.optimize(**over)["run_ids"]["RandomForest"]) for _ in range(2)]
    tags = [run.data.tags["cellar.hyperparameters"] for run in runs]
    accuracies = [run.data.metrics["model_accuracy"] for run in runs]
    assert tags[0] == tags[1] and accuracies[0] == accuracies[1]


def test_two_searches_at_once_with_one_new_name_both_succeed(lab: Lab) -> None:
    name = new_name("at once")
    answers: list[tuple[int, Any]] = []

    def search() -> None:
        answers.append(lab.send("POST", "/model_management", lab.optimization(name)))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [201] * 4, answers
    ids = {answer["data"]["experiment_id"] for _, answer in answers}
    assert len(ids) == 1
    runs = {answer["data"]["run_ids"]["DecisionTree"] for _, answer in answers}
    assert len(runs) == 4
    listed = lab.ask("GET", f"/runs?experiment_id={ids.pop()}")["data"]
    assert {run["run_id"] for run in listed} == runs
    assert {run["status"] for run in listed} == {"FINISHED"}


def test_the_name_of_a_deleted_experiment_can_be_used_again_and_again(lab: Lab) -> None:
    name = new_name("again")
    ids = []
    for _ in range(3):
        data = lab.optimize(name)
        ids.append(data["experiment_id"])
        lab.ask("DELETE", f"/experiments?experiment_id={data['experiment_id']}")
    assert len(set(ids)) == 3
    stages = {lab.client.get_experiment(number).lifecycle_stage for number in ids}
    assert stages == {"deleted"}
    assert all(
        stage == "deleted"
        for (stage,) in lab.mlflow.database.rows(
            "SELECT lifecycle_stage FROM runs WHERE experiment_id = ANY(%s)",
            [[int(i) for i in ids]],
        )
    )


def test_an_existing_experiment_takes_the_new_description(lab: Lab) -> None:
    name = new_name("described")
    first = lab.optimize(name)
    second = lab.optimize(name, experiment_description="Another view", experiment_owner="Bo")
    assert first["experiment_id"] == second["experiment_id"]
    info = lab.describe(second["experiment_id"], "general")["experiment_info"]
    assert info["tags"] == {"description": "Another view", "owner": "Bo"}


def test_a_model_without_a_grid_is_searched_with_its_defaults(lab: Lab) -> None:
    data = lab.optimize(models=["KNN"], hyperparameters={})
    run = lab.client.get_run(data["run_ids"]["KNN"])
    assert json.loads(run.data.tags["cellar.hyperparameters"]) == {}


def test_a_long_grid_is_logged_cut_off_and_kept_whole_as_an_artifact(lab: Lab) -> None:
    weights = [None, *({"0": 1.0, "1": 1.0 + n, "2": 1.0, "9" * 900: 1.0} for n in range(9))]
    grid = {"DecisionTree": {"max_depth": [2], "class_weight": weights}}
    data = lab.optimize(hyperparameters=grid)
    run = lab.client.get_run(data["run_ids"]["DecisionTree"])
    assert len(run.data.params["grid_search_class_weight"]) == 6_000
    answer = requests.get(
        f"{lab.mlflow.url}/get-artifact",
        params={"run_uuid": run.info.run_id, "path": "search/grid.json"},
        timeout=30,
    )
    assert answer.json() == grid["DecisionTree"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_some_failing_candidates_do_not_stop_a_search(lab: Lab) -> None:
    grid = {"LogisticRegression": {"solver": ["lbfgs"], "l1_ratio": [0.5, 0.0]}}
    data = lab.optimize(models=["LogisticRegression"], hyperparameters=grid)
    tags = lab.client.get_run(data["run_ids"]["LogisticRegression"]).data.tags
    assert tags["cellar.candidates"] == "2" and tags["cellar.failed_candidates"] == "1"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_a_search_that_fails_leaves_failed_runs_and_no_version(lab: Lab) -> None:
    name = new_name("failing")
    grid = {"LogisticRegression": {"solver": ["lbfgs"], "l1_ratio": [0.5]}}
    body = lab.optimization(
        name, models=["DecisionTree", "LogisticRegression"], hyperparameters=grid
    )
    answer = lab.ask("POST", "/model_management", body, 422)
    assert answer["error"] == "Every candidate failed"
    assert "Solver lbfgs supports only 'l2'" in answer["message"]
    experiment_id = lab.client.get_experiment_by_name(name).experiment_id
    runs = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
    assert {(run["tags"]["model_type"], run["status"]) for run in runs} == {
        ("DecisionTree", "FAILED"),
        ("LogisticRegression", "FAILED"),
    }
    for run in runs:
        tags = lab.client.get_run(run["run_id"]).data.tags
        assert "Solver lbfgs" in tags["cellar.failure_reason"]
        assert lab.client.search_model_versions(f"run_id = '{run['run_id']}'") == []
    state, reason = lab.database.rows(
        "SELECT state, reason FROM searches WHERE experiment_id = %s", [experiment_id]
    )[0]
    assert state == "failed" and "Solver lbfgs" in reason


def test_a_model_that_cannot_be_written_is_no_outage_of_mlflow(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = new_name("unwritten")
    with monkeypatch.context() as patch:
        patch.setattr("skops.io.dump", fill_the_disk)
        answer = lab.ask("POST", "/model_management", lab.optimization(name), 500)
    assert answer["error"] == "Internal error"
    experiment_id = lab.client.get_experiment_by_name(name).experiment_id
    (run,) = lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
    assert run["status"] == "FAILED"
    assert not lab.client.search_model_versions(f"run_id = '{run['run_id']}'")


def test_metrics_in_the_answers_are_the_run_s(lab: Lab, walk_through: Any) -> None:
    run_id = walk_through["run_ids"]["RandomForest"]
    body = {
        "experiment_id": walk_through["experiment_id"],
        "run_id": run_id,
        "request_information": "metrics",
        "type": "model",
    }
    answer = lab.ask("POST", "/runs", body)
    assert answer["message"] == "Parameters Retrieved"
    assert set(answer["data"]) == {"accuracy", "f1_score", "precision", "recall"}
    assert all(math.isfinite(value) for value in answer["data"].values())
    stored = lab.client.get_run(run_id).data.metrics
    assert answer["data"]["accuracy"] == stored["model_accuracy"]
    best = lab.describe(
        walk_through["experiment_id"], "best_model", filter=["model_accuracy", "model_f1_score"]
    )
    top = max(
        lab.client.get_run(found).data.metrics["model_accuracy"]
        for found in walk_through["run_ids"].values()
    )
    assert best["metrics"]["model_accuracy"] == top
