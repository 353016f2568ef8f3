"""The walk-through in containers, each of which is killed once in the middle.

One story in order: every test goes on from where the one before it stopped. What was acknowledged
before a crash must be there after it, and a crash of one container must not need a hand on another.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.compose_suite import SERVICES, ComposeSuite, wait_until

pytestmark = pytest.mark.containers

SEARCH = {
    "request_information": "optimization",
    "experiment_name": "wine_test",
    "experiment_description": "Which classifier tells the three wines apart",
    "experiment_owner": "containers",
    "models": ["LogisticRegression", "RandomForest", "SVC"],
    "hyperparameters": {
        "LogisticRegression": {"C": [0.1, 1], "solver": ["liblinear"]},
        "RandomForest": {"n_estimators": [10, 50], "max_depth": [None, 3]},
        "SVC": {"C": [0.1, 1.0], "kernel": ["linear", "rbf"]},
    },
    "scoring": "accuracy",
    "cv": 5,
}
ENDLESS_SEARCH = SEARCH | {
    "experiment_name": "interrupted",
    "models": ["RandomForest"],
    "hyperparameters": {"RandomForest": {"n_estimators": list(range(300, 700))}},
}


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What the story has been told so far, to be compared later."""
    return {}


@pytest.fixture
def crash(suite: ComposeSuite, note_figure: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that crashes a service and sees to it that only that one started anew."""

    def crash_one(service: str) -> None:
        before = suite.started_at()
        began = time.monotonic()
        suite.crash(service)
        note_figure(f"{service} killed, healthy again in {time.monotonic() - began:.1f} s")
        for other in SERVICES:
            suite.wait_healthy(other)
        after = suite.started_at()
        assert {name for name in before if before[name] != after[name]} == {service}

    return crash_one


def loaded_rows(suite: ComposeSuite) -> dict[str, int]:
    lines = suite.sql("SELECT set_name, count(*) FROM samples.wine_v1 GROUP BY 1").splitlines()
    return {name: int(count) for name, count in (line.split("|") for line in lines)}


def test_a_killed_simulator_keeps_what_it_loaded(
    suite: ComposeSuite, crash: Callable[[str], None]
) -> None:
    for name in ("training", "testing"):
        answer = suite.ask("POST", "simulator", "/root/simulator", {"set_name": name})
        assert answer["message"] == f"Load {name} set"

    crash("simulator")

    assert loaded_rows(suite) == {"training": 106, "testing": 36}
    before = suite.sql("SELECT id, loaded_at FROM set_loads ORDER BY id")
    suite.ask("POST", "simulator", "/root/simulator", {"set_name": "training"})
    assert suite.sql("SELECT id, loaded_at FROM set_loads ORDER BY id") == before
    suite.ask("POST", "simulator", "/root/simulator", {"set_name": "production"})
    assert loaded_rows(suite) == {"training": 106, "testing": 36, "production": 36}


def test_a_killed_tracking_keeps_its_runs_and_their_models(
    suite: ComposeSuite,
    crash: Callable[[str], None],
    kept: dict[str, Any],
    note_figure: Callable[[str], None],
) -> None:
    began = time.monotonic()
    answer = suite.ask("POST", "tracking", "/root/tracking/model_management", SEARCH, status=201)
    note_figure(f"optimization request: {time.monotonic() - began:.1f} s")
    experiment, runs = answer["data"]["experiment_id"], answer["data"]["run_ids"]
    assert set(runs) == set(SEARCH["models"])
    question = f"/root/tracking/runs?experiment_id={experiment}"
    before = suite.ask("GET", "tracking", question)["data"]

    crash("tracking")

    after = suite.ask("GET", "tracking", question)["data"]
    assert after == before
    assert {run["run_id"] for run in after} == set(runs.values())
    assert {run["status"] for run in after} == {"FINISHED"}
    for model in runs:
        registered = suite.ask(
            "GET", "mlflow", f"/api/2.0/mlflow/registered-models/get?name={model}"
        )
        assert registered["registered_model"]["latest_versions"]
    best = suite.ask(
        "POST",
        "tracking",
        "/root/tracking/experiments",
        {
            "experiment_id": experiment,
            "request_information": "best_model",
            "filter": ["model_accuracy"],
        },
    )["data"]
    assert best["metrics"]["model_accuracy"] > 0.9
    kept["best"] = best


def test_a_search_that_is_killed_leaves_a_failed_run_and_no_ghost(
    suite: ComposeSuite, crash: Callable[[str], None]
) -> None:
    def runs() -> list[dict[str, Any]]:
        listed = suite.ask("GET", "tracking", "/root/tracking/experiments")["data"]
        found = [item for item in listed if item["name"] == ENDLESS_SEARCH["experiment_name"]]
        if not found:
            return []
        path = f"/root/tracking/runs?experiment_id={found[0]['experiment_id']}"
        # An experiment without runs is a 404.
        return list(suite.call("GET", "tracking", path).json().get("data", []))

    def states() -> set[str]:
        return {run["status"] for run in runs()}

    def search() -> requests.Response | None:
        try:
            path = suite.tracking_url + "/root/tracking/model_management"
            return requests.post(path, json=ENDLESS_SEARCH, timeout=300)
        except requests.ConnectionError:
            return None

    with ThreadPoolExecutor(1) as background:
        answer = background.submit(search)
        wait_until("the search's run is open", lambda: states() == {"RUNNING"}, timeout_s=60)
        crash("tracking")
        assert answer.result() is None

    wait_until("the open run is closed", lambda: "RUNNING" not in states(), timeout_s=60)
    assert states() == {"FAILED"}


def test_a_killed_database_keeps_what_was_acknowledged(
    suite: ComposeSuite, crash: Callable[[str], None], kept: dict[str, Any]
) -> None:
    setting = {"request_information": "setting", "run_id": kept["best"]["run_id"]}
    answer = suite.ask("POST", "tracking", "/root/tracking/model_management", setting)
    assert answer["message"] == "Model successfully uploaded"

    crash("postgres")

    assert suite.ask("GET", "ml_model", "/root/ml")["name"] == kept["best"]["model"]
    assert loaded_rows(suite) == {"training": 106, "testing": 36, "production": 36}
    experiments = suite.ask("GET", "tracking", "/root/tracking/experiments")["data"]
    assert "wine_test" in {item["name"] for item in experiments}


def test_a_killed_ml_service_keeps_the_trained_model(
    suite: ComposeSuite, crash: Callable[[str], None], kept: dict[str, Any]
) -> None:
    suite.ask("POST", "ml_model", "/root/ml", {"dataset": "training"})
    tested = suite.ask("POST", "ml_model", "/root/ml", {"dataset": "testing"})
    versions = suite.sql("SELECT count(*) FROM model_versions")

    crash("ml_model")

    assert suite.ask("POST", "ml_model", "/root/ml", {"dataset": "testing"}) == tested
    assert suite.sql("SELECT count(*) FROM model_versions") == versions
    produced = suite.ask("POST", "ml_model", "/root/ml", {"dataset": "production"})
    rows_lost = round(36 * (tested["score"] - produced["score"]))
    assert rows_lost >= 3
    kept["scores"] = {"testing": tested["score"], "production": produced["score"]}


def test_a_killed_monitoring_keeps_its_verdicts(
    suite: ComposeSuite,
    crash: Callable[[str], None],
    kept: dict[str, Any],
    note_figure: Callable[[str], None],
) -> None:
    began = time.monotonic()
    verdict = suite.ask("POST", "monitoring", "/root/monitoring", {"metric": "summary"})
    note_figure(f"first monitoring summary: {time.monotonic() - began:.1f} s")
    assert verdict["retraining_needed"] is True
    assert verdict["failed_tests"] > 0

    crash("monitoring")

    assert suite.ask("POST", "monitoring", "/root/monitoring", {"metric": "summary"}) == verdict
    assert suite.sql("SELECT count(*) FROM monitoring_results") == "1"
    kept["verdict"] = verdict


def test_everything_is_there_after_the_containers_were_removed_and_made_anew(
    suite: ComposeSuite, kept: dict[str, Any]
) -> None:
    suite.compose("down")
    suite.up()

    for name in ("testing", "production"):
        answer = suite.ask("POST", "ml_model", "/root/ml", {"dataset": name})
        assert answer["score"] == kept["scores"][name]
    answer = suite.ask("POST", "monitoring", "/root/monitoring", {"metric": "summary"})
    assert answer == kept["verdict"]
    run_id = kept["best"]["run_id"]
    found = suite.ask("GET", "mlflow", f"/api/2.0/mlflow/runs/get?run_id={run_id}")
    assert found["run"]["info"]["status"] == "FINISHED"


@pytest.fixture
def stopped(suite: ComposeSuite) -> Iterator[Callable[[str], None]]:
    """Return a function that stops a container, which is started again at the end."""
    names: list[str] = []

    def stop(service: str) -> None:
        names.append(service)
        suite.compose("stop", service)

    yield stop
    for service in names:
        suite.compose("start", service)
        suite.wait_healthy(service)


def test_without_the_database_services_say_so_and_recover_without_a_restart(
    suite: ComposeSuite, stopped: Callable[[str], None]
) -> None:
    before = suite.started_at()
    stopped("postgres")

    requests_of = {
        "simulator": ("POST", "/root/simulator", {"set_name": "training"}),
        "ml_model": ("POST", "/root/ml", {"dataset": "testing"}),
        "tracking": ("GET", "/root/tracking/experiments", None),
        "monitoring": ("POST", "/root/monitoring", {"metric": "summary"}),
    }
    for service, (method, path, body) in requests_of.items():
        answer = suite.ask(method, service, path, body, status=503)
        assert {"error", "message"} <= set(answer)
        assert suite.ask("GET", service, "/health")["status"] == "healthy"
        assert "database" in suite.ask("GET", service, "/ready", status=503)["message"]
    for service in SERVICES:
        wait_until(
            f"{service} unhealthy",
            lambda name=service: suite.health(name) == "unhealthy",  # type: ignore[misc]
            timeout_s=60,
        )

    suite.compose("start", "postgres")
    for service in SERVICES:
        suite.wait_healthy(service)
    for service, (method, path, body) in requests_of.items():
        suite.ask(method, service, path, body)
    after = suite.started_at()
    assert {name for name in before if before[name] != after[name]} == {"postgres"}


def test_without_its_peer_a_service_says_so_and_recovers_without_a_restart(
    suite: ComposeSuite, stopped: Callable[[str], None], kept: dict[str, Any]
) -> None:
    setting = {"request_information": "setting", "run_id": kept["best"]["run_id"]}
    stopped("ml_model")
    answer = suite.ask("POST", "tracking", "/root/tracking/model_management", setting, status=503)
    assert {"error", "message"} <= set(answer)

    suite.compose("start", "ml_model")
    suite.wait_healthy("ml_model")
    suite.ask("POST", "tracking", "/root/tracking/model_management", setting)
    suite.wait_healthy("tracking")
