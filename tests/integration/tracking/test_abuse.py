"""Bad input gets the contract's error and changes nothing."""

from typing import Any

import pytest

from tests.integration.tracking.conftest import Lab, new_name

MISSING = object()


def refused(lab: Lab, status: int, method: str, path: str, body: Any = None) -> Any:
    """Send what must be refused; nothing may have changed."""
    before = (lab.all_runs(), lab.database.rows("SELECT count(*) FROM searches"))
    answer = lab.ask(method, path, body, status)
    assert set(answer) <= {"error", "message", "details"}
    assert answer["error"] and answer["message"]
    assert (lab.all_runs(), lab.database.rows("SELECT count(*) FROM searches")) == before
    return answer


def test_before_loading_the_call_that_is_due_is_named(bare_lab: Lab) -> None:
    if bare_lab.database.rows("SELECT count(*) FROM set_loads") != [(0,)]:
        pytest.fail("this test must be the first of its module: the set is loaded already")
    answer = refused(bare_lab, 409, "POST", "/model_management", bare_lab.optimization())
    assert answer["error"] == "Training set not loaded"
    assert 'POST /root/simulator {"set_name": "training"}' in answer["message"]


@pytest.mark.parametrize(
    ("over", "status", "says"),
    [
        ({"models": ["Oracle"], "hyperparameters": {}}, 400, "Please Specify 'RandomForest'"),
        ({"models": []}, 400, "models"),
        ({"models": ["DecisionTree", "DecisionTree"]}, 400, "more than once"),
        ({"models": ["KNN"]}, 400, "not among the models"),
        ({"models": "DecisionTree"}, 400, "models"),
        ({"hyperparameters": {"DecisionTree": {"max_depth": []}}}, 400, "max_depth"),
        ({"hyperparameters": {"DecisionTree": {"max_depth": 3}}}, 400, "max_depth"),
        ({"hyperparameters": {"DecisionTree": [1]}}, 400, "DecisionTree"),
        ({"hyperparameters": None}, 400, "hyperparameters"),
        ({"hyperparameters": {"DecisionTree": {"max_depth": list(range(1, 30))}}}, 400, "29 cand"),
        ({"hyperparameters": {"DecisionTree": {"height": [1]}}}, 422, "no hyperparameter 'height'"),
        ({"hyperparameters": {"DecisionTree": {"max_depth": [0]}}}, 422, "max_depth"),
        ({"hyperparameters": {"DecisionTree": {"max_depth": ["tall"]}}}, 422, "max_depth"),
        ({"hyperparameters": {"DecisionTree": {"max_depth": [[[1]]]}}}, 422, "max_depth"),
        ({"scoring": "r2"}, 400, "balanced_accuracy"),
        ({"scoring": "roc_auc"}, 400, "roc_auc_ovr"),
        ({"scoring": 5}, 400, "scoring"),
        ({"cv": 1}, 400, "cv"),
        ({"cv": 30}, 400, "at most 29"),
        ({"cv": "5"}, 400, "cv"),
        ({"cv": 2.5}, 400, "cv"),
        ({"cv": True}, 400, "cv"),
        ({"cv": MISSING}, 400, "cv"),
        ({"experiment_name": ""}, 400, "experiment_name"),
        ({"experiment_name": "   "}, 400, "experiment_name"),
        ({"experiment_name": "x" * 201}, 400, "experiment_name"),
        ({"experiment_name": MISSING}, 400, "experiment_name"),
        ({"experiment_owner": None}, 400, "experiment_owner"),
        ({"colour": "red"}, 400, "colour"),
        ({"request_information": "guess"}, 400, "'optimization', 'setting'"),
        ({"request_information": MISSING}, 400, "request_information"),
        ({"dataset_name": "../wine"}, 400, "dataset_name"),
        ({"dataset_name": "grapes"}, 404, "grapes"),
        ({"dataset_version": 7}, 404, "version 7"),
    ],
)
def test_a_search_that_cannot_be_meant(
    lab: Lab, over: dict[str, Any], status: int, says: str
) -> None:
    body = {
        key: value for key, value in {**lab.optimization(), **over}.items() if value is not MISSING
    }
    answer = refused(lab, status, "POST", "/model_management", body)
    assert says in answer["message"]


@pytest.mark.parametrize(
    "experiment_id",
    ["999999", "99999999999999999999", "abc", "-1", "1.0", "01", "' OR 1=1 --", "../1", "１", " 1"],
)
def test_ids_that_cannot_exist_are_not_found(lab: Lab, experiment_id: str) -> None:
    for body in (
        {"request_information": "general"},
        {"request_information": "best_model", "filter": ["model_accuracy"]},
        {"request_information": "statistics"},
    ):
        sent = {**body, "experiment_id": experiment_id}
        assert refused(lab, 404, "POST", "/experiments", sent)["error"] == "Experiment not found"
    client = lab.app.test_client()
    query = {"experiment_id": experiment_id}
    assert client.get("/root/tracking/runs", query_string=query).status_code == 404
    assert client.delete("/root/tracking/experiments", query_string=query).status_code == 404
    answer = client.delete("/root/tracking/runs", query_string={**query, "run_id": "0" * 32})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"request_information": "general"}, "experiment_id"),
        ({"experiment_id": "1"}, "request_information"),
        ({"experiment_id": 1, "request_information": "general"}, "experiment_id"),
        ({"experiment_id": "1", "request_information": "worst_model"}, "best_model"),
        ({"experiment_id": "1", "request_information": "best_model"}, "model_accuracy"),
        (
            {"experiment_id": "1", "request_information": "best_model", "filter": []},
            "system_cpu_usage",
        ),
        (
            {"experiment_id": "1", "request_information": "best_model", "filter": ["beauty"]},
            "model_recall",
        ),
        (
            {"experiment_id": "1", "request_information": "statistics", "filter": ["beauty"]},
            "duration",
        ),
        ({"experiment_id": "1", "request_information": "statistics", "filter": "all"}, "filter"),
        ({"experiment_id": "1", "request_information": "general", "depth": 1}, "depth"),
        ([], "JSON object"),
    ],
)
def test_questions_that_cannot_be_meant(lab: Lab, body: Any, says: str) -> None:
    assert says in refused(lab, 400, "POST", "/experiments", body)["message"]


@pytest.mark.parametrize(
    ("information", "kind"),
    [("parameters", "system"), ("metrics", "data"), ("metrics", ""), ("tags", "model")],
)
def test_a_type_that_a_run_has_not(lab: Lab, information: str, kind: str) -> None:
    body = {
        "experiment_id": "1",
        "run_id": "0" * 32,
        "request_information": information,
        "type": kind,
    }
    refused(lab, 400, "POST", "/runs", body)


def test_a_missing_id_in_the_query_is_refused(lab: Lab) -> None:
    for method, path in (
        ("GET", "/runs"),
        ("DELETE", "/runs"),
        ("DELETE", "/runs?experiment_id=1"),
        ("DELETE", "/experiments"),
        ("GET", "/runs?experiment_id="),
        ("GET", "/runs?experiment_id=1&experiment_id=2"),
        ("GET", "/runs?experiment_id=1&order=new"),
    ):
        refused(lab, 400, method, path)


def test_odd_but_possible_names_work(lab: Lab) -> None:
    for name in ("50 % / 'O''Brien' & <b>", "葡萄酒 🍷", "../../etc", '"; DROP TABLE runs'):
        data = lab.optimize(new_name(name))
        info = lab.describe(data["experiment_id"], "general")["experiment_info"]
        assert info["experiment_name"].startswith(name)
