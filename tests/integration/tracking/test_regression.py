"""A search on a dataset whose target is a number."""

import json
from typing import Any

import pytest

import simulator.app
import simulator.settings
from tests.integration.tracking.conftest import Lab, new_name

DIABETES = {"dataset_name": "diabetes"}
GRIDS: dict[str, Any] = {
    "Ridge": {"alpha": [0.1, 10]},
    "DecisionTreeRegressor": {"max_depth": [2, 3]},
}


@pytest.fixture
def loaded(lab: Lab) -> Lab:
    """The training sets of wine and diabetes are loaded."""
    settings = lab.database.settings(simulator.settings.Settings)
    body = {"set_name": "training", **DIABETES}
    answer = simulator.app.create_app(settings).test_client().post("/root/simulator", json=body)
    assert answer.status_code == 200, answer.get_json()
    return lab


def search_of(lab: Lab, **over: Any) -> dict[str, Any]:
    return lab.optimization(
        new_name("diabetes"),
        **{
            **DIABETES,
            "models": list(GRIDS),
            "hyperparameters": GRIDS,
            "scoring": "neg_root_mean_squared_error",
            **over,
        },
    )


def test_search_list_compare_and_set(loaded: Lab) -> None:
    found = loaded.ask("POST", "/model_management", search_of(loaded), 201)["data"]
    experiment_id, run_ids = found["experiment_id"], found["run_ids"]
    run = loaded.client.get_run(run_ids["Ridge"]).data
    measured = {"model_r2", "model_mae", "model_rmse", "model_mape"}
    assert set(run.metrics) == {*measured, "system_cpu_usage", "system_execution_time"}
    assert (run.params["data_samples"], run.params["data_classes"]) == ("265", "0")
    assert run.params["grid_search_scoring"] == "neg_root_mean_squared_error"

    by_error = loaded.describe(experiment_id, "best_model", filter=["model_rmse"])
    by_share = loaded.describe(experiment_id, "best_model", filter=["model_r2"])
    assert by_error["model"] == by_share["model"] == "Ridge"
    statistics = loaded.describe(experiment_id, "statistics", filter=["all"])
    named = ["duration", "accuracy", "f1_score", "precision", "recall", "r2", "mae", "rmse", "mape"]
    assert list(statistics) == named
    assert statistics["accuracy"]["mean"] is None
    assert statistics["rmse"]["min"] == run.metrics["model_rmse"]
    body = {"experiment_id": experiment_id, "run_id": run_ids["Ridge"]}
    body |= {"request_information": "metrics", "type": "model"}
    assert set(loaded.ask("POST", "/runs", body)["data"]) == {"r2", "mae", "rmse", "mape"}

    [version] = loaded.client.search_model_versions(f"run_id = '{run_ids['Ridge']}'")
    assert (version.name, version.status) == ("Ridge", "READY")
    setting = {"request_information": "setting", "run_id": run_ids["Ridge"]}
    loaded.ask("POST", "/model_management", setting)
    sent = loaded.ml.received[-1]
    assert sent["model_name"] == "Ridge"
    assert sent["hyperparameters"] == json.loads(run.tags["cellar.hyperparameters"])


@pytest.mark.parametrize(
    ("over", "status", "words"),
    [
        (
            {"models": ["SVC"], "hyperparameters": {}, "scoring": "accuracy"},
            422,
            ("diabetes is a regression", "'RandomForestRegressor'", "or 'SVR'"),
        ),
        (
            {"models": ["Ridge"], "hyperparameters": {}, "dataset_name": "wine"},
            422,
            ("wine is a classification", "or 'LinearSVC'"),
        ),
        (
            {"models": ["SVC"], "hyperparameters": {}, "scoring": "r2"},
            422,
            ("diabetes is a regression",),
        ),
        ({"scoring": "guess"}, 400, ("neg_mean_absolute_error", "r2")),
        ({"scoring": "accuracy"}, 400, ("neg_mean_absolute_error", "r2")),
        ({"models": ["SVC", "Ridge"], "hyperparameters": {}}, 400, ("SVC predicts classes",)),
        ({"cv": 133}, 400, ("at most 132",)),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_begins(
    loaded: Lab, over: dict[str, Any], status: int, words: tuple[str, ...]
) -> None:
    body = search_of(loaded, **over)
    answer = loaded.ask("POST", "/model_management", body, status)
    assert all(word in answer["message"] for word in words), answer
    assert loaded.client.get_experiment_by_name(body["experiment_name"]) is None
