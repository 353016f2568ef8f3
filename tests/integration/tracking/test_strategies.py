"""Searches that draw, halve or learn, from body to registered model."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pytest

from modelkit.pipeline import build_pipeline
from tests.integration.tracking.conftest import Lab

SPACE = {"LogisticRegression": {"C": {"low": 0.001, "high": 100.0, "log": True}}}


def candidates_of(lab: Lab, run_id: str) -> list[dict[str, str]]:
    """Return the table of candidates that a run keeps."""
    path = Path(lab.client.download_artifacts(run_id, "search/candidates.csv"))
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("strategy", ["random", "halving", "tpe"])
def test_a_strategy_says_what_it_is_and_keeps_its_candidates(lab: Lab, strategy: str) -> None:
    data = lab.optimize(
        models=["LogisticRegression"],
        hyperparameters=SPACE,
        strategy=strategy,
        n_candidates=7,
        seed=1,
    )
    run = lab.client.get_run(data["run_ids"]["LogisticRegression"])
    words = {"random": "Random", "halving": "Halving", "tpe": "TPE"}
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith(f"LogisticRegression {words[strategy]}_Search")
    assert run.data.tags["experiment_type"] == f"{words[strategy]}Search_CrossValidation"
    assert run.data.params["grid_search_strategy"] == strategy
    assert run.data.params["grid_search_n_candidates"] == "7"
    assert run.data.params["grid_search_seed"] == "1"
    assert json.loads(run.data.params["grid_search_C"].replace("'", '"').replace("True", "true"))
    found = candidates_of(lab, run.info.run_id)
    assert len(found) == 7 and found[0]["rank"] == "1"
    assert ("training_rows" in found[0]) == (strategy == "halving")
    assert run.data.metrics["model_accuracy"] > 0.9
    body = {
        "experiment_id": data["experiment_id"],
        "run_id": run.info.run_id,
        "request_information": "parameters",
        "type": "grid_search",
    }
    assert lab.ask("POST", "/runs", body)["data"]["strategy"] == strategy
    assert lab.ask("GET", f"/runs?experiment_id={data['experiment_id']}")["data"]


def test_what_a_search_chose_of_the_pipeline_goes_where_its_model_goes(lab: Lab) -> None:
    data = lab.optimize(
        models=["SVC"],
        hyperparameters={"SVC": {"C": [1.0]}},
        preprocessing={"scaling": ["minmax", "none"], "numeric_imputation": ["mean"]},
        calibration="sigmoid",
        nested_cv=2,
    )
    run = lab.client.get_run(data["run_ids"]["SVC"])
    best = json.loads(run.data.tags["cellar.hyperparameters"])
    assert best == {
        "C": 1.0,
        "calibration": "sigmoid",
        "preprocessing.numeric_imputation": "mean",
        "preprocessing.scaling": "minmax",
    }
    assert run.data.params["model_preprocessing.scaling"] == "minmax"
    assert run.data.params["grid_search_nested_cv"] == "2"
    assert run.data.metrics["model_nested_cv_mean"] > 0.8
    assert run.data.metrics["model_nested_cv_std"] >= 0
    [version] = [
        item
        for item in lab.client.search_model_versions("name = 'SVC'")
        if item.run_id == run.info.run_id
    ]
    mlflow.set_tracking_uri(lab.mlflow.url)
    logged = mlflow.sklearn.load_model(f"models:/SVC/{version.version}")
    names = list(logged.feature_names_in_)
    assert [repr(step) for _, step in logged.steps] == [
        repr(step) for _, step in build_pipeline("SVC", best, names).steps
    ]
    body = {"request_information": "setting", "run_id": run.info.run_id}
    assert lab.send("POST", "/model_management", body)[0] == 200
    assert lab.ml.received[-1]["hyperparameters"] == best


def test_runs_are_compared_by_what_their_search_scores_on_rows_it_did_not_see(lab: Lab) -> None:
    data = lab.optimize(nested_cv=3)
    experiment_id, run_id = data["experiment_id"], data["run_ids"]["DecisionTree"]
    measured = lab.client.get_run(run_id).data.metrics
    mean, spread = measured["model_nested_cv_mean"], measured["model_nested_cv_std"]
    # The one scores as well with less spread, the other has no outer folds.
    steady = lab.run_by_hand(
        experiment_id, model_nested_cv_mean=mean, model_nested_cv_std=spread / 2
    )
    other = lab.run_by_hand(experiment_id, model_accuracy=1.0)
    asked = ["model_nested_cv_mean", "model_nested_cv_std"]
    best = lab.describe(experiment_id, "best_model", filter=asked)
    assert (best["run_id"], best["metrics"]["model_nested_cv_std"]) == (steady, spread / 2)
    best = lab.describe(experiment_id, "best_model", filter=["model_accuracy", *asked])
    assert best["run_id"] == other
    found = lab.describe(experiment_id, "statistics", filter=["nested_cv_mean", *asked])
    assert list(found) == ["duration", "nested_cv_mean", "nested_cv_std"]
    assert (found["nested_cv_mean"]["max"], found["nested_cv_std"]["min"]) == (mean, spread / 2)
    everything = lab.describe(experiment_id, "statistics", filter=["all"])
    assert everything["nested_cv_mean"] == found["nested_cv_mean"]


def test_time_that_runs_out_keeps_what_is_finished(lab: Lab) -> None:
    data = lab.optimize(time_budget_s=0.000001)
    run = lab.client.get_run(data["run_ids"]["DecisionTree"])
    assert run.data.tags["cellar.stopped"] == "time budget"
    assert run.data.tags["cellar.candidates"] == "1"


@pytest.mark.parametrize(
    ("over", "status", "path"),
    [
        ({"hyperparameters": {"DecisionTree": {"max_depth": {"low": 1, "high": 3}}}}, 400, None),
        ({"strategy": "genetic"}, 400, "optimization.strategy"),
        ({"n_candidates": 3}, 400, "n_candidates"),
        ({"strategy": "tpe", "n_candidates": 21}, 201, None),
        ({"time_budget_s": 0}, 400, "optimization.time_budget_s"),
        ({"preprocessing": {"scaling": ["cubic"]}}, 400, None),
        ({"preprocessing": {"colour": ["red"]}}, 400, None),
        ({"nested_cv": 31}, 400, "nested_cv"),
        (
            {"models": ["Ridge"], "hyperparameters": {}, "calibration": "sigmoid"},
            400,
            "calibration",
        ),
        ({"hyperparameters": {"DecisionTree": {"max_depth": 3}}}, 400, None),
    ],
)
def test_what_cannot_be_meant_is_refused(
    lab: Lab, over: dict[str, Any], status: int, path: str | None
) -> None:
    before = lab.all_runs()
    found, answer = lab.send("POST", "/model_management", lab.optimization(**over))
    assert found == status, answer
    if status == 400:
        assert lab.all_runs() == before
        assert answer["details"] and answer["message"]
        if path:
            assert answer["details"][0]["path"] == path
