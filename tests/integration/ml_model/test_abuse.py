"""Bad input gets the contract's error and changes nothing."""

from typing import Any

import pytest

from tests.integration.ml_model.conftest import Lab

HUGE = 10**30
DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]

SET_MODEL = [
    ({}, 400),
    ({"model_name": "Perceptron"}, 400),
    ({"model_name": ""}, 400),
    ({"model_name": None, "hyperparameters": {}}, 400),
    ({"model_name": ["SVC"], "hyperparameters": {}}, 400),
    ({"model_name": "x" * 10_000, "hyperparameters": {}}, 400),
    ({"model_name": "SVC'; DROP TABLE deployments; --", "hyperparameters": {}}, 400),
    ({"model_name": "../../etc/passwd", "hyperparameters": {}}, 400),
    ({"model_name": "SVC", "hyperparameters": [1]}, 400),
    ({"model_name": "SVC", "hyperparameters": None}, 400),
    ({"model_name": "SVC", "hyperparameters": {}, "extra": 1}, 400),
    ({"model_name": "SVC", "hyperparameters": {}, "run_id": "../1"}, 400),
    ({"model_name": "SVC", "hyperparameters": {}, "run_id": 5}, 400),
    ({"model_name": "SVC", "hyperparameters": {f"p{n}": 1 for n in range(200)}}, 400),
    ({"model_name": "SVC", "hyperparameters": {"C": HUGE}}, 400),
    ({"model_name": "SVC", "hyperparameters": {"C": DEEP}}, 400),
    ({"model_name": "SVC", "hyperparameters": {"C": "\x00"}}, 400),
    ({"model_name": "SVC", "hyperparameters": {"C": -1}}, 422),
    ({"model_name": "SVC", "hyperparameters": {"__class__": "x"}}, 422),
    ({"model_name": "SVC", "hyperparameters": {"C__C": 1}}, 422),
    ({"model_name": "SVC", "hyperparameters": {"kernel": {"a": {"b": [1]}}}}, 422),
    ({"model_name": "RandomForest", "hyperparameters": {"n_estimators": 2**62}}, 422),
    ({"model_name": "RandomForest", "hyperparameters": {"n_estimators": True}}, 422),
    ({"model_name": "RandomForest", "hyperparameters": {"n_jobs": 10**6}}, 422),
    ({"model_name": "LogisticRegression", "hyperparameters": {"penalty": "l1"}}, 422),
]
ML = [
    {},
    {"dataset": "validation"},
    {"dataset": None},
    {"dataset": ["training"]},
    {"dataset": "testing", "extra": 1},
    {"dataset": "testing", "dataset_name": "wine; DROP TABLE x"},
    {"dataset": "testing", "dataset_name": "../wine"},
    {"dataset": "testing", "dataset_name": 'wine"'},
    {"dataset": "testing", "dataset_name": ""},
    {"dataset": "testing", "dataset_version": "1"},
    {"dataset": "testing", "dataset_version": 0},
    {"dataset": "testing", "dataset_version": 1.0},
    {"dataset": "testing", "dataset_version": True},
    {"dataset": "testing", "dataset_version": 2**40},
    {"dataset": "testing", "dataset_version": HUGE},
]


@pytest.mark.parametrize(("body", "status"), SET_MODEL, ids=lambda value: str(value)[:60])
def test_a_model_that_cannot_be_set(lab: Lab, body: Any, status: int) -> None:
    lab.ml.set_model("DecisionTree")
    found, answer = lab.ml.send("POST", "/root/ml/set_model", body)
    assert found == status, answer
    assert {"error", "message"} <= set(answer) <= {"error", "message", "details"}
    assert lab.ml.ask("GET", "/root/ml")["name"] == "DecisionTree"
    assert lab.count("deployments") == 1


def test_sets_that_cannot_be_scored(wine: Lab) -> None:
    wine.ml.set_model("DecisionTree")
    wine.ml.score("training")
    for body in ML:
        found, answer = wine.ml.send("POST", "/root/ml", body)
        assert found == 400, (body, answer)
        assert {"error", "message"} <= set(answer) <= {"error", "message", "details"}
    for body in ({"dataset": "testing", "dataset_name": "nothing"},
                 {"dataset": "testing", "dataset_version": 7}):  # fmt: skip
        assert wine.ml.send("POST", "/root/ml", body)[0] == 404
    body = {"dataset": "training", "dataset_version": 7}
    assert wine.ml.send("POST", "/root/ml", body)[0] == 404
    assert (wine.count("scorings"), wine.count("predictions")) == (1, 106)


@pytest.mark.parametrize(
    ("raw", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"dataset": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"dataset": "training"}', "text/plain", 415),
        (b'{"dataset": "' + b"x" * (17 * 1024 * 1024) + b'"}', "application/json", 413),
    ],
    ids=["cut", "nan", "not utf-8", "array", "nested", "text", "huge"],
)
def test_bodies_that_cannot_be_read(lab: Lab, raw: bytes, media: str, status: int) -> None:
    for path in ("/root/ml", "/root/ml/set_model"):
        answer = lab.ml.app.test_client().post(path, data=raw, content_type=media)
        assert answer.status_code == status
        assert set(answer.get_json()) >= {"error", "message"}


def test_unknown_paths_and_methods(lab: Lab) -> None:
    assert lab.ml.send("GET", "/root/nothing")[0] == 404
    assert lab.ml.send("DELETE", "/root/ml")[0] == 405
    assert lab.ml.send("GET", "/root/ml/set_model")[0] == 405
