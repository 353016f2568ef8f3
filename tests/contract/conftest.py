"""A suite in which everything exists once, and how a refusal must look."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.support.running_suite import OwnSuite

Refused = Callable[[requests.Response, int | set[int]], dict[str, Any]]

SETS = ("training", "testing", "production")


@dataclass(frozen=True)
class Furnished:
    """Ids of what the suite holds; `$name` in a test's table stands for the field `name`."""

    suite: OwnSuite
    experiment_id: str
    run_id: str
    other_experiment_id: str
    other_run_id: str
    deleted_experiment_id: str
    deleted_run_id: str

    def deploy(self) -> None:
        """Set the run's model, train it and score every set; again changes nothing."""
        body = {"request_information": "setting", "run_id": self.run_id}
        self.suite.ask("POST", "tracking", "/root/tracking/model_management", body)
        for name in SETS:
            self.suite.ask("POST", "simulator", "/root/simulator", {"set_name": name})
        for name in SETS:
            self.suite.ask("POST", "ml_model", "/root/ml", {"dataset": name})

    def fill_in(self, value: Any) -> Any:
        """Return `value` with every `$name` in it replaced."""
        if isinstance(value, str):
            for name in (
                "other_experiment_id",
                "other_run_id",
                "deleted_experiment_id",
                "deleted_run_id",
                "experiment_id",
                "run_id",
            ):
                value = value.replace(f"${name}", getattr(self, name))
            return value
        if isinstance(value, dict):
            return {key: self.fill_in(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill_in(item) for item in value]
        return value


def search(name: str, grids: dict[str, dict[str, list[Any]]], **changes: Any) -> dict[str, Any]:
    """Return an optimization request."""
    return {
        "request_information": "optimization",
        "experiment_name": name,
        "experiment_description": "what the contract tests ask about",
        "experiment_owner": "contract",
        "models": list(grids),
        "hyperparameters": grids,
        "scoring": "accuracy",
        "cv": 3,
    } | changes


@pytest.fixture(scope="module")
def furnished(own_suite: OwnSuite) -> Iterator[Furnished]:
    """The lifecycle gone through once: sets, searches, a deployed and scored model, deletions."""
    suite = own_suite
    suite.empty()
    for name in SETS:
        suite.ask("POST", "simulator", "/root/simulator", {"set_name": name})
    management = "/root/tracking/model_management"
    tree = {"DecisionTree": {"max_depth": [2]}}

    def run_search(name: str, models: dict[str, dict[str, list[Any]]]) -> tuple[str, list[str]]:
        data = suite.ask("POST", "tracking", management, search(name, models), status=201)["data"]
        return data["experiment_id"], list(data["run_ids"].values())

    experiment_id, (run_id, deleted_run_id) = run_search(
        "furnished", {"LogisticRegression": {"C": [0.1]}, "DecisionTree": {"max_depth": [2]}}
    )
    other_experiment_id, (other_run_id,) = run_search("furnished too", tree)
    deleted_experiment_id, _ = run_search("furnished and deleted", tree)
    suite.ask(
        "DELETE", "tracking", f"/root/tracking/experiments?experiment_id={deleted_experiment_id}"
    )
    suite.ask(
        "DELETE",
        "tracking",
        f"/root/tracking/runs?experiment_id={experiment_id}&run_id={deleted_run_id}",
    )
    suite.ask("POST", "tracking", management, {"request_information": "setting", "run_id": run_id})
    for name in SETS:
        suite.ask("POST", "ml_model", "/root/ml", {"dataset": name})
    yield Furnished(
        suite,
        experiment_id,
        run_id,
        other_experiment_id,
        other_run_id,
        deleted_experiment_id,
        deleted_run_id,
    )
    for id_ in (experiment_id, other_experiment_id):
        suite.call("DELETE", "tracking", f"/root/tracking/experiments?experiment_id={id_}")


@pytest.fixture
def refused() -> Refused:
    """Return a function that sees to the one shape of an error and returns its body."""

    def assert_refused(answer: requests.Response, status: int | set[int]) -> dict[str, Any]:
        allowed = {status} if isinstance(status, int) else status
        assert answer.status_code in allowed, f"{answer.status_code}: {answer.text[:1000]}"
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Request-ID"]
        body = answer.json()
        assert set(body) <= {"error", "message", "details"}, body
        for key in ("error", "message"):
            assert isinstance(body[key], str) and body[key].strip(), body
        for item in body.get("details", ()):
            assert set(item) == {"path", "problem"} and item["problem"], body
        for word in ("Traceback", "<html", "psycopg2", "sqlalchemy", 'File "/'):
            assert word not in answer.text, answer.text
        return dict(body)

    return assert_refused
