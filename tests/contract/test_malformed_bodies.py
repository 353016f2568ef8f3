"""Every endpoint that takes a body refuses what is no body for it, and nothing changes."""

import json
from typing import Any

import pytest

from tests.contract.conftest import Furnished, Refused, search

BODIES: dict[tuple[str, str], Any] = {
    ("simulator", "/root/simulator"): {"set_name": "training"},
    ("ml_model", "/root/ml/set_model"): {"model_name": "SVC", "hyperparameters": {"C": 2}},
    ("ml_model", "/root/ml"): {"dataset": "testing"},
    ("tracking", "/root/tracking/model_management"): search(
        "never made", {"DecisionTree": {"max_depth": [2]}}
    ),
    ("tracking", "/root/tracking/experiments"): {
        "experiment_id": "$experiment_id",
        "request_information": "general",
    },
    ("tracking", "/root/tracking/runs"): {
        "experiment_id": "$experiment_id",
        "run_id": "$run_id",
        "request_information": "metrics",
        "type": "model",
    },
    ("monitoring", "/root/monitoring"): {"metric": "summary", "tests": {"data_drift": True}},
}
ENDPOINTS = sorted(BODIES)

MALFORMED = {
    "empty": b"",
    "white space": b" \n ",
    "cut off": b'{"set_name": "trai',
    "not JSON": b"set_name=training",
    "single quotes": b"{'set_name': 'training'}",
    "NaN": b'{"set_name": NaN}',
    "infinity": b'{"set_name": -Infinity}',
    "number beyond float": b'{"set_name": 1e400}',
    "list": b"[]",
    "text": b'"training"',
    "number": b"5",
    "null": b"null",
    "empty object": b"{}",
    "not UTF-8": b'{"set_name": "\xff\xfe\xfa"}',
    "UTF-16": '{"set_name": "training"}'.encode("utf-16"),
    "NUL": b'{"set_name": "trai\\u0000ning"}',
    "half a surrogate pair": b'{"set_name": "\\ud83d"}',
    "key twice": b'{"set_name": "training", "set_name": "training"}',
    "two documents": b"{}{}",
    "500 deep": b'{"a":' * 500 + b"1" + b"}" * 500,
    "100000 deep": b"[" * 100_000,
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize(("service", "path"), ENDPOINTS, ids=[path for _, path in ENDPOINTS])
def test_malformed_body_is_400(
    furnished: Furnished, refused: Refused, service: str, path: str, raw: bytes
) -> None:
    answer = furnished.suite.call(
        "POST", service, path, data=raw, headers={"Content-Type": "application/json"}
    )
    refused(answer, 400)


@pytest.mark.parametrize(("service", "path"), ENDPOINTS, ids=[path for _, path in ENDPOINTS])
class TestEveryBody:
    """What holds of any endpoint that takes a body."""

    def test_unknown_key_is_refused_by_name(
        self, furnished: Furnished, refused: Refused, service: str, path: str
    ) -> None:
        body = furnished.fill_in(BODIES[service, path]) | {"surprise": 1}
        answer = refused(furnished.suite.call("POST", service, path, json=body), 400)
        assert "surprise" in json.dumps(answer)

    def test_each_required_key_is_required_and_named(
        self, furnished: Furnished, refused: Refused, service: str, path: str
    ) -> None:
        whole = furnished.fill_in(BODIES[service, path])
        optional = {"hyperparameters", "tests", "scoring", "cv"}
        optional |= {"experiment_description", "experiment_owner"}
        for key in set(whole) - optional:
            body = {name: value for name, value in whole.items() if name != key}
            answer = refused(furnished.suite.call("POST", service, path, json=body), 400)
            assert key in json.dumps(answer)

    @pytest.mark.parametrize("value", [None, True, 1, 1.5, [], {}, ""], ids=json.dumps)
    def test_wrong_type_is_refused_by_name(
        self, furnished: Furnished, refused: Refused, service: str, path: str, value: Any
    ) -> None:
        whole = furnished.fill_in(BODIES[service, path])
        for key in whole:
            if key in ACCEPTED and value in ACCEPTED[key]:
                continue
            body = whole | {key: value}
            answer = refused(furnished.suite.call("POST", service, path, json=body), {400, 422})
            assert key in json.dumps(answer), (key, answer)

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/xml", ""]
    )
    def test_other_content_types_are_415(
        self, furnished: Furnished, refused: Refused, service: str, path: str, content_type: str
    ) -> None:
        raw = json.dumps(furnished.fill_in(BODIES[service, path]))
        answer = furnished.suite.call(
            "POST", service, path, data=raw, headers={"Content-Type": content_type}
        )
        refused(answer, 415)

    def test_oversized_body_is_413(
        self, furnished: Furnished, refused: Refused, service: str, path: str
    ) -> None:
        raw = b'{"set_name": "' + b"x" * 20_000_000 + b'"}'
        answer = furnished.suite.call(
            "POST", service, path, data=raw, headers={"Content-Type": "application/json"}
        )
        refused(answer, 413)

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE"])
    def test_wrong_method_is_405(
        self, furnished: Furnished, refused: Refused, service: str, path: str, method: str
    ) -> None:
        answer = furnished.suite.call(method, service, path, json=BODIES[service, path])
        refused(answer, 405)
        assert "POST" in answer.headers["Allow"]


# Values that are right for the key although they are wrong for others.
ACCEPTED: dict[str, list[Any]] = {
    "hyperparameters": [{}],
    # A summary of which no preset is named is of all five.
    "tests": [None, {}],
    "experiment_description": [""],
    "experiment_owner": [""],
}


@pytest.fixture(scope="module", autouse=True)
def nothing_changes(furnished: Furnished) -> Any:
    """All of this module's requests are refused: at its end the databases are as at its start."""
    before = furnished.suite.state()
    yield
    after = furnished.suite.state()
    assert {name for name in after if after[name] != before.get(name)} == set()
