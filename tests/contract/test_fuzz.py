"""Every service against schemathesis, from the document it serves: no 5xx, nothing undocumented.

Deterministic: the same document gives the same requests. A search that would succeed is made small
before it is sent, so that fuzzing finds faults and not the limits of the machine.
"""

import json
from collections import Counter
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.contract.conftest import Furnished, search
from tests.support.running_suite import SERVICES

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
CONFIG = schemathesis.Config.from_dict(
    {
        "seed": 42,
        "generation": {"deterministic": True, "no-shrink": True, "max-examples": EXAMPLES},
        "phases": {"coverage": {"unexpected-methods": ["trace", "patch"]}},
    }
)


def make_small(case: Case) -> None:
    """Cut a search down to one model with one candidate, and as few folds as were asked for.

    What is wrong with it stays wrong. A stream of events ends after its first.
    """
    if case.operation.path == "/dashboard/events":
        longest = case.query.get("max_s", 1)
        if isinstance(longest, int | float) and longest > 0:
            case.query["max_s"] = 0
    body = case.body
    if not isinstance(body, dict) or not isinstance(body.get("hyperparameters"), dict):
        return
    models = body.get("models")
    if isinstance(models, list) and models:
        body["models"] = models[:1]
        kept = [str(model) for model in models[:1]]
        body["hyperparameters"] = {
            name: {key: cut(value) for key, value in grid.items()}
            if isinstance(grid, dict)
            else grid
            for name, grid in body["hyperparameters"].items()
            if name in kept or name not in map(str, models)
        }
    if isinstance(body.get("cv"), int) and not isinstance(body["cv"], bool) and body["cv"] > 3:
        body["cv"] = 3 if body["cv"] <= 10 else body["cv"]


def cut(values: Any) -> Any:
    if not isinstance(values, list):
        return values
    return [5 if isinstance(value, int) and value > 5 else value for value in values[:1]]


class Finder:
    """Sends cases and keeps what was wrong with the answers, once per kind."""

    def __init__(self, furnished: Furnished, in_paths: dict[str, str]) -> None:
        """`in_paths` are ids that exist, by the names that paths and bodies give them."""
        self._furnished = furnished
        self.in_paths = in_paths
        self._sent = 0
        self.faults: dict[str, str] = {}
        self.statuses: Counter[tuple[str, int]] = Counter()

    def past_validation(self) -> set[str]:
        """The operations that took something at least once; of what is deployed, 409 to delete."""
        return {label for label, status in self.statuses if status < 400 or status == 409}

    def send(self, case: Case) -> None:
        """Send one case and check its answer."""
        make_small(case)
        self._sent += 1
        right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
        if right and self._sent % 2:
            self._point_to_what_exists(case)
        label = case.operation.label
        answer = case.call(timeout=60, allow_redirects=False)
        self.statuses[label, answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
            if answer.status_code >= 400:
                body = json.loads(answer.content)
                assert {"error", "message"} <= set(body), body
        except (AssertionError, BaseExceptionGroup) as error:
            text = str(error)
            self.faults.setdefault(f"{label} {answer.status_code} {text[:120]}", text[:3000])

    def _point_to_what_exists(self, case: Case) -> None:
        """Replace well-formed ids by those of what exists: nobody guesses them.

        Neither can be deleted, so that they stay.
        """
        ids = {
            "experiment_id": self._furnished.experiment_id,
            "run_id": self._furnished.run_id,
            **self.in_paths,
        }
        for place in (case.query, case.body):
            if isinstance(place, dict):
                for name in ids.keys() & place.keys():
                    if isinstance(place[name], str) and place[name]:
                        place[name] = ids[name]
        case.path_parameters.update(
            {name: value for name, value in self.in_paths.items() if name in case.path_parameters}
        )


def fuzz(operation: APIOperation, finder: Finder) -> None:
    """Send the boundary values of the operation's schema, then random ones, right and wrong."""
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        config = operation.schema.config.generation_for(operation=operation)
        for case in operation.schema.iter_coverage_cases(
            operation, generation_modes=[mode], generation_config=config
        ):
            finder.send(case)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send_random(case: Case) -> None:
            finder.send(case)

        try:
            send_random()
        except Unsatisfiable:
            # An operation that takes nothing cannot be given anything wrong.
            assert mode is GenerationMode.NEGATIVE, operation.label


def ids_in_paths(furnished: Furnished, service: str) -> dict[str, str]:
    """Return what the service has: a dataset that cannot be deleted; or the ids of a job and a
    roll-out, which are begun for it, and a model's URI."""
    ask = furnished.suite.ask
    if service == "simulator":
        return {"dataset_name": "wine"}
    if service == "tracking":
        body = search("fuzzed", {"DecisionTree": {"max_depth": [2]}}, wait=False)
        path = "/root/tracking/model_management"
        return {"job_id": str(ask("POST", "tracking", path, body, status=202)["id"])}
    if service != "ml_model":
        return {}
    body = {"dataset_name": "iris", "model_name": "DecisionTree"}
    job = ask("POST", "ml_model", "/train", body)
    uri = f"models:/{job['registered_model_name']}/{job['model_version']}"
    ask("POST", "ml_model", "/update-model", {"model_uri": uri})
    rollout = ask("POST", "ml_model", "/rollouts", {"min_requests": 1_000_000}, status=201)
    return {
        "job_id": str(job["job_id"]),
        "rollout_id": str(rollout["rollout_id"]),
        "model_uri": uri,
    }


def send_examples(
    furnished: Furnished, finder: Finder, operations: dict[str, APIOperation]
) -> None:
    """Send the example of each operation's description, against a model of the walk-through.

    Nobody guesses rows that fit a model, nor the name of one that serves. Fuzzing has left another
    model in `next` and a share that is not 1, so that chance would choose whose rows they are.
    """
    furnished.deploy()
    furnished.suite.ask("POST", "ml_model", "/set-canary-probability", {"probability": 1.0})
    names = dict(finder.in_paths)
    if any("{model_name}" in operation.path for operation in operations.values()):
        serving = furnished.suite.ask("GET", "ml_model", "/slots")["current"]
        names["model_name"] = serving["registered_model_name"]
        names["model_version"] = serving["model_version"]
    for label, operation in operations.items():
        content = operation.definition.raw.get("requestBody", {}).get("content", {})
        example = content.get("application/json", {}).get("example")
        answer = requests.request(
            operation.method.upper(),
            f"{operation.base_url}{operation.path.format(**names)}",
            json=example,
            timeout=60,
            allow_redirects=False,
        )
        finder.statuses[label, answer.status_code] += 1


@pytest.mark.parametrize("service", SERVICES)
def test_no_input_breaks_a_service(furnished: Furnished, service: str) -> None:
    url = furnished.suite.urls[service]
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=CONFIG)
    # Fuzzing the ML service has set other models.
    furnished.deploy()
    finder = Finder(furnished, ids_in_paths(furnished, service))
    operations = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        operations[operation.label] = operation
        fuzz(operation, finder)
    closed = {label: operations[label] for label in operations.keys() - finder.past_validation()}
    send_examples(furnished, finder, closed)
    for (label, status), count in sorted(finder.statuses.items()):
        print(f"{label}: {count} x {status}")
    assert finder.faults == {}, "\n\n".join(finder.faults.values())
    assert finder.past_validation() == operations.keys()
    for name in SERVICES:
        furnished.suite.wait_ready(name, 30)
