"""Every program is killed once: what was acknowledged is there when it is back."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.lifecycle_client import EXPERIMENTS, MANAGEMENT, Client, search
from tests.support.running_suite import SERVICES, OwnSuite

LONG_SEARCH = {
    "RandomForest": {
        "n_estimators": list(range(300, 340)),
        "max_depth": [None, 3, 4, 5, 6],
    }
}


@pytest.fixture(scope="module")
def experiment_id(client: Client) -> str:
    """A lifecycle gone through up to a trained model; the experiment its run is in."""
    client.load_all()
    data = client.search(
        f"restart {uuid.uuid4().hex[:8]}", {"LogisticRegression": {"C": [0.5], "solver": ["lbfgs"]}}
    )
    client.deploy(data["run_ids"]["LogisticRegression"])
    client.score("training")
    return str(data["experiment_id"])


@pytest.fixture(scope="module")
def kept(client: Client, experiment_id: str) -> dict[str, Any]:
    """All that was answered before anything was killed."""
    return everything(client, experiment_id)


def everything(client: Client, experiment_id: str) -> dict[str, Any]:
    """Ask everything that must survive."""
    return {
        "name": client.suite.ask("GET", "ml_model", "/root/ml")["name"],
        # Testing first: it needs the model that was trained before.
        "scores": {name: client.score(name) for name in ("testing", "production", "training")},
        "summary": client.monitor("summary"),
        "runs": client.runs(experiment_id),
        "general": client.experiment(experiment_id, "general"),
    }


@pytest.mark.parametrize("name", [*SERVICES, "mlflow", "postgres"])
def test_killed_program_comes_back_with_everything(
    own_suite: OwnSuite, client: Client, experiment_id: str, kept: dict[str, Any], name: str
) -> None:
    before = own_suite.state()
    own_suite.kill(name)
    own_suite.start(name)
    for service in own_suite.programs:
        own_suite.wait_ready(service)
    assert own_suite.state() == before
    assert everything(client, experiment_id) == kept


def test_services_stop_cleanly(own_suite: OwnSuite, kept: dict[str, Any]) -> None:
    programs = [own_suite.programs[name] for name in SERVICES]
    for program in programs:
        assert program.process is not None
        # All at once: each lets its running requests end.
        program.process.send_signal(program.stop_signal)
    for name, program in zip(SERVICES, programs, strict=True):
        assert program.process is not None
        # A second signal could strike while the interpreter winds up, and end it by force.
        assert program.process.wait(60) == 0, name
        with pytest.raises(requests.ConnectionError):
            own_suite.call("GET", name, "/health")
    for name in SERVICES:
        own_suite.start(name, wait=False)
    for name in SERVICES:
        own_suite.wait_ready(name)


def workers_of(own_suite: OwnSuite, name: str) -> list[int]:
    """Return the worker processes of a service."""
    process = own_suite.programs[name].process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(word) for word in children.split()]


@pytest.mark.parametrize("name", SERVICES)
def test_killed_worker_is_replaced(
    own_suite: OwnSuite, client: Client, kept: dict[str, Any], name: str
) -> None:
    workers = workers_of(own_suite, name)
    assert len(workers) >= 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(
        lambda: len(set(workers_of(own_suite, name)) - {workers[0]}) == len(workers),
        "a new worker",
    )
    for _ in range(10):
        assert own_suite.call("GET", name, "/ready").status_code == 200
    assert client.score("testing") == kept["scores"]["testing"]


def wait_until(true: Callable[[], bool], what: str, deadline_s: float = 60) -> None:
    deadline = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def test_killed_search_is_failed_and_not_running_for_ever(
    own_suite: OwnSuite, client: Client, kept: dict[str, Any]
) -> None:
    client.load("training")
    name = f"killed {uuid.uuid4().hex[:8]}"
    broken: list[BaseException] = []

    def run_search() -> None:
        body = search(name, LONG_SEARCH)
        try:
            own_suite.call("POST", "tracking", MANAGEMENT, json=body)
        except requests.RequestException as error:
            broken.append(error)

    def find_experiment() -> str | None:
        listed = own_suite.ask("GET", "tracking", EXPERIMENTS)["data"]
        return next((item["experiment_id"] for item in listed if item["name"] == name), None)

    caller = threading.Thread(target=run_search)
    caller.start()
    try:
        wait_until(lambda: find_experiment() is not None, "the experiment")
        id_ = find_experiment()
        assert id_ is not None
        wait_until(lambda: bool(client.runs(id_)), "the open run")
        (open_run,) = client.runs(id_)
        assert open_run["status"] == "RUNNING"
        assert open_run["end_time"] is None
        general = client.experiment(id_, "general")["experiment_runs"]
        assert (general["number_of_runs"], general["active_runs"]) == (1, 1)
        answer = own_suite.call(
            "POST",
            "tracking",
            EXPERIMENTS,
            json={"experiment_id": id_, "request_information": "statistics"},
        )
        assert answer.status_code in {200, 404}
    finally:
        own_suite.kill("tracking")
        caller.join(30)
    assert broken, "the search ended before it was killed"
    own_suite.start("tracking")
    wait_until(lambda: client.runs(id_)[0]["status"] != "RUNNING", "the verdict on the run")
    (run,) = client.runs(id_)
    assert run["status"] == "FAILED"
    assert run["end_time"] is not None
    general = client.experiment(id_, "general")["experiment_runs"]
    assert (general["active_runs"], general["failed_runs"]) == (0, 1)
    reasons = own_suite.rows(
        "SELECT value FROM tags WHERE run_uuid = %s AND key ILIKE '%%reason%%'",
        run["run_id"],
        database="mlflow",
    )
    assert reasons and all(value for (value,) in reasons)
    client.delete_experiment(id_)


def test_no_log_holds_a_password(own_suite: OwnSuite, kept: dict[str, Any]) -> None:
    for name in own_suite.programs:
        log = own_suite.log(name)
        assert log
        for password in own_suite.postgres.passwords.values():
            assert password not in log


def test_killed_program_of_searches_goes_on_where_it_was(
    own_suite: OwnSuite, client: Client, kept: dict[str, Any]
) -> None:
    client.load("training")
    grid = {"RandomForest": {"n_estimators": list(range(100, 130))}}
    body = search(f"in the background {uuid.uuid4().hex[:8]}", grid, wait=False)
    job = own_suite.ask("POST", "tracking", MANAGEMENT, body, status=202)

    def look() -> Any:
        return own_suite.ask("GET", "tracking", f"/root/tracking/jobs/{job['id']}")

    def tried() -> int:
        models = (look()["result"] or {}).get("models", {})
        return int(models.get("RandomForest", {"done": 0})["done"])

    wait_until(lambda: tried() >= 3, "three candidates", 120)
    own_suite.kill("searches")
    before = tried()
    own_suite.start("searches")
    wait_until(lambda: look()["state"] not in ("queued", "running"), "the search", 240)
    done = look()
    assert (done["state"], done["attempts"], tried()) == ("succeeded", 2, 30)
    assert before < 30
    assert client.runs(done["result"]["experiment_id"])[0]["status"] == "FINISHED"
