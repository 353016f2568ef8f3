"""What the simulator refuses: with the contract's error, and without a change."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.simulator.conftest import Load

TRICK = "wine'; DROP TABLE datasets; --"
BODIES: dict[str, tuple[Any, str]] = {
    "no set": ({}, "set_name"),
    "unknown set": ({"set_name": "validation"}, "set_name"),
    "set in capitals": ({"set_name": "TRAINING"}, "set_name"),
    "set null": ({"set_name": None}, "set_name"),
    "set as list": ({"set_name": ["training"]}, "set_name"),
    "unknown key": ({"set_name": "training", "sed": 1}, "sed"),
    "seed below zero": ({"set_name": "training", "seed": -1}, "seed"),
    "seed beyond 32 bits": ({"set_name": "training", "seed": 2**32}, "seed"),
    "seed beyond 64 bits": ({"set_name": "training", "seed": 2**64}, "64 bits"),
    "seed with a fraction": ({"set_name": "training", "seed": 1.5}, "seed"),
    "seed as text": ({"set_name": "training", "seed": "42"}, "seed"),
    "seed true": ({"set_name": "training", "seed": True}, "seed"),
    "seed null": ({"set_name": "training", "seed": None}, "seed"),
    "dataset with SQL": ({"set_name": "training", "dataset_name": TRICK}, "dataset_name"),
    "dataset with a path": ({"set_name": "training", "dataset_name": "../wine"}, "dataset_name"),
    "dataset with a line end": ({"set_name": "training", "dataset_name": "wine\n"}, "dataset_name"),
    "dataset empty": ({"set_name": "training", "dataset_name": ""}, "dataset_name"),
    "unknown scenario": ({"set_name": "production", "scenario": "chaos"}, "scenario"),
    "unknown scenario of a clean set": ({"set_name": "training", "scenario": "chaos"}, "scenario"),
    "scenario null": ({"set_name": "production", "scenario": None}, "scenario"),
    "a list": ([{"set_name": "training"}], ""),
    "a text": ("training", ""),
}
RAW: dict[str, tuple[bytes, str, int]] = {
    "nothing": (b"", "application/json", 400),
    "half a body": (b'{"set_name": "train', "application/json", 400),
    "NaN as seed": (b'{"set_name": "training", "seed": NaN}', "application/json", 400),
    "infinite seed": (b'{"set_name": "training", "seed": 1e999}', "application/json", 400),
    "not UTF-8": (b'{"set_name": "\xff\xfe"}', "application/json", 400),
    "deeply nested": (b"[" * 20000 + b"]" * 20000, "application/json", 400),
    "a key twice": (b'{"set_name": "x", "set_name": "training"}', "application/json", 400),
    "a form": (b"set_name=training", "application/x-www-form-urlencoded", 415),
    "text": (b'{"set_name": "training"}', "text/plain", 415),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(
    client: FlaskClient, load: Load, state: Callable[[], Any], name: str
) -> None:
    load("training")
    before = state()
    body, said = BODIES[name]
    answer = client.post("/root/simulator", json=body)
    assert answer.status_code == 400
    assert {"error", "message"} <= set(answer.json) <= {"error", "message", "details"}
    assert said in answer.text
    assert state() == before


def test_an_unknown_dataset_is_not_found_and_changes_nothing(
    client: FlaskClient, load: Load, state: Callable[[], Any]
) -> None:
    load("training")
    before = state()
    answer = client.post("/root/simulator", json={"set_name": "training", "dataset_name": "beer"})
    assert answer.status_code == 404
    assert set(answer.json) == {"error", "message"}
    assert state() == before


@pytest.mark.parametrize("name", RAW)
def test_a_body_that_is_no_json_object_is_refused(client: FlaskClient, name: str) -> None:
    data, content_type, status = RAW[name]
    answer = client.post("/root/simulator", data=data, content_type=content_type)
    assert answer.status_code == status
    assert {"error", "message"} <= set(answer.json)


def test_a_refused_name_is_told_the_names_there_are(client: FlaskClient) -> None:
    body = {"set_name": "training", "dataset_name": "beer"}
    assert "wine, iris" in client.post("/root/simulator", json=body).json["message"]
    body = {"set_name": "production", "scenario": "chaos"}
    assert "shift, classic" in client.post("/root/simulator", json=body).json["message"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_is_refused(client: FlaskClient, method: str) -> None:
    answer = client.open("/root/simulator", method=method, json={"set_name": "training"})
    assert answer.status_code == 405
    assert {"error", "message"} <= set(answer.json)
