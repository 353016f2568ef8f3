"""Handing a run's model to the ML service."""

import json
from typing import Any

import pytest

from tests.integration.tracking.conftest import Lab, new_name


def set_model(lab: Lab, run_id: str) -> tuple[int, Any]:
    body = {"request_information": "setting", "run_id": run_id}
    return lab.send("POST", "/model_management", body)


def test_types_are_restored_exactly(lab: Lab) -> None:
    grid = {
        "max_depth": [None],
        "min_samples_split": [2],
        "ccp_alpha": [0.0],
        "splitter": ["best"],
        "max_features": [1.0],
        "class_weight": [{"0": 1.0, "2": 3}],
    }
    run_id = lab.optimize(hyperparameters={"DecisionTree": grid})["run_ids"]["DecisionTree"]
    assert set_model(lab, run_id) == (200, {"message": "Model successfully uploaded"})
    [sent] = lab.ml.received
    expected = {name: values[0] for name, values in grid.items()}
    assert sent == {"model_name": "DecisionTree", "hyperparameters": expected, "run_id": run_id}
    assert json.dumps(sent["hyperparameters"], sort_keys=True) == json.dumps(
        expected, sort_keys=True
    )


@pytest.mark.parametrize(
    ("kind", "values"), [("booleans", [True]), ("lists", [0.5]), ("strings", ["log2"])]
)
def test_other_types(lab: Lab, kind: str, values: list[Any]) -> None:
    name = {"booleans": "oob_score", "lists": "max_samples", "strings": "max_features"}[kind]
    grid = {"n_estimators": [30], name: values}
    data = lab.optimize(models=["RandomForest"], hyperparameters={"RandomForest": grid})
    set_model(lab, data["run_ids"]["RandomForest"])
    found = lab.ml.received[0]["hyperparameters"]
    assert found == {"n_estimators": 30, name: values[0]}
    assert type(found[name]) is type(values[0])


def test_the_ml_service_s_refusal_is_passed_on(lab: Lab) -> None:
    run_id = lab.optimize()["run_ids"]["DecisionTree"]
    lab.ml.status, lab.ml.answer = 422, {"error": "Refused", "message": "Too deep."}
    assert set_model(lab, run_id) == (422, {"error": "Refused", "message": "Too deep."})


def test_runs_that_have_nothing_to_set(lab: Lab) -> None:
    experiment_id = lab.client.create_experiment(new_name())
    by_hand = lab.run_by_hand(experiment_id)
    status, answer = set_model(lab, by_hand)
    assert status == 422 and "model_type" in answer["message"]
    lab.client.set_tag(by_hand, "model_type", "SVC")
    status, answer = set_model(lab, by_hand)
    assert status == 422 and "cellar.hyperparameters" in answer["message"]
    lab.client.set_tag(by_hand, "cellar.hyperparameters", '{"C": 2}')
    assert set_model(lab, by_hand)[0] == 200
    assert lab.ml.received[-1]["hyperparameters"] == {"C": 2}
    for status_of_run in ("RUNNING", "FAILED", "KILLED"):
        status, answer = set_model(lab, lab.run_by_hand(experiment_id, status_of_run))
        assert status == 409 and status_of_run in answer["message"]


def test_deleted_and_unknown_runs_are_not_found(lab: Lab) -> None:
    data = lab.optimize()
    run_id, experiment_id = data["run_ids"]["DecisionTree"], data["experiment_id"]
    lab.ask("DELETE", f"/runs?experiment_id={experiment_id}&run_id={run_id}")
    assert set_model(lab, run_id)[0] == 404
    data = lab.optimize()
    lab.ask("DELETE", f"/experiments?experiment_id={data['experiment_id']}")
    assert set_model(lab, data["run_ids"]["DecisionTree"])[0] == 404
    for unknown in ("0" * 32, "1", "../../etc/passwd", "' OR 1=1 --", "ü"):
        assert set_model(lab, unknown)[0] == 404
    assert lab.ml.received == []


def test_a_missing_run_id_is_refused(lab: Lab) -> None:
    status, answer = lab.send("POST", "/model_management", {"request_information": "setting"})
    assert status == 400 and answer["details"][0]["path"].endswith("run_id")
