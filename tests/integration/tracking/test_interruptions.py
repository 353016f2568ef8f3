"""Killed searches and peers that are away: no ghost, no half, recovery without a restart."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.integration.tracking.conftest import Lab, new_name
from tests.support.running_suite import ROOT, Program, free_ports

LONG = {
    "models": ["DecisionTree", "RandomForest"],
    "hyperparameters": {"RandomForest": {"n_estimators": [1999, 2000], "max_depth": [None, 50]}},
    "cv": 20,
}
DEADLINE_S = 120


def wait_for(what: Callable[[], Any]) -> Any:
    """Return the first true value; fail when time is over."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def tracking_process(lab: Lab, folder: Path) -> tuple[Program, str]:
    """Return the service as a program of its own, on the lab's databases."""
    port = free_ports(1)[0]
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CELLAR_")}
    environment = kept | {
        "PYTHONPATH": str(ROOT / "services"),
        "CELLAR_PORT": str(port),
        "CELLAR_WORKERS": "1",
        "CELLAR_DATABASE_HOST": lab.settings.database_host,
        "CELLAR_DATABASE_PORT": str(lab.settings.database_port),
        "CELLAR_DATABASE_NAME": lab.settings.database_name,
        "CELLAR_DATABASE_USER": lab.settings.database_user,
        "CELLAR_DATABASE_PASSWORD": lab.settings.database_password.get_secret_value(),
        "CELLAR_MLFLOW_URL": lab.settings.mlflow_url,
        "CELLAR_MLFLOW_DATABASE_NAME": lab.settings.mlflow_database_name,
    }
    command = [sys.executable, "-m", "servicekit.serve", "tracking"]
    return Program(command, environment, folder / "tracking.log"), f"http://127.0.0.1:{port}"


def test_a_killed_search_leaves_failed_runs_and_its_name_free(lab: Lab, tmp_path: Path) -> None:
    program, url = tracking_process(lab, tmp_path)
    program.start()
    try:
        wait_for(lambda: answers(f"{url}/health"))
        name = new_name("killed")
        thread = threading.Thread(
            target=send_and_forget, args=(url, lab.optimization(name, **LONG))
        )
        thread.start()

        def open_runs() -> list[Any]:
            experiment = lab.client.get_experiment_by_name(name)
            if experiment is None:
                return []
            runs = lab.ask("GET", f"/runs?experiment_id={experiment.experiment_id}")["data"]
            return runs if len(runs) == 2 else []

        # While it runs, lists show it as running, and neither it nor its experiment can go.
        runs = wait_for(open_runs)
        assert {run["status"] for run in runs} == {"RUNNING"}
        experiment_id = str(lab.client.get_experiment_by_name(name).experiment_id)
        counts = lab.describe(experiment_id, "general")["experiment_runs"]
        assert counts["active_runs"] == 2
        lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}", status=409)
        path = f"/runs?experiment_id={experiment_id}&run_id={runs[0]['run_id']}"
        lab.ask("DELETE", path, status=409)
    finally:
        program.kill()
    thread.join()
    wait_for(
        lambda: (
            {
                run["status"]
                for run in lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
            }
            == {"FAILED"}
        )
    )
    for run in runs:
        found = lab.client.get_run(run["run_id"])
        assert "interrupted" in found.data.tags["cellar.failure_reason"]
        assert found.info.end_time is not None
    rows = lab.database.rows(
        "SELECT state, reason FROM searches WHERE experiment_id = %s", [experiment_id]
    )
    assert [state for state, _ in rows] == ["failed"] and "interrupted" in rows[0][1]
    assert lab.optimize(name)["experiment_id"] == experiment_id
    lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}")


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def send_and_forget(url: str, body: Any) -> None:
    try:
        requests.post(f"{url}/root/tracking/model_management", json=body, timeout=DEADLINE_S)
    except requests.RequestException:
        return


def test_while_mlflow_is_away_nothing_begins_but_lists_are_read(lab: Lab) -> None:
    data = lab.optimize()
    experiment_id, run_id = data["experiment_id"], data["run_ids"]["DecisionTree"]
    with lab.mlflow_gate.outage():
        before = lab.all_runs()
        answer = lab.ask("POST", "/model_management", lab.optimization(), 503)
        assert answer["error"] == "MLflow unavailable"
        lab.ask("DELETE", f"/runs?experiment_id={experiment_id}&run_id={run_id}", status=503)
        assert lab.all_runs() == before
        assert lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
        lab.describe(experiment_id, "statistics")
        ready = lab.app.test_client().get("/ready")
        assert ready.status_code == 503 and "mlflow" in ready.get_json()["message"]
    lab.optimize()
    lab.ask("DELETE", f"/runs?experiment_id={experiment_id}&run_id={run_id}")


def test_while_postgres_is_away_everything_is_503_and_comes_back(lab: Lab) -> None:
    experiment_id = lab.optimize()["experiment_id"]
    with lab.database_gate.outage():
        lab.ask("GET", "/experiments", status=503)
        lab.ask("GET", f"/runs?experiment_id={experiment_id}", status=503)
        lab.ask("POST", "/model_management", lab.optimization(), 503)
        lab.ask("DELETE", f"/experiments?experiment_id={experiment_id}", status=503)
        assert lab.app.test_client().get("/health").status_code == 200
    assert lab.ask("GET", f"/runs?experiment_id={experiment_id}")["data"]
    lab.optimize()


def test_mlflow_lost_during_a_search_leaves_no_open_run(lab: Lab) -> None:
    name = new_name("lost")
    slow = {
        "models": ["RandomForest"],
        "hyperparameters": {"RandomForest": {"n_estimators": [300]}},
    }
    answer: list[tuple[int, Any]] = []
    thread = threading.Thread(
        target=lambda: answer.append(
            lab.send("POST", "/model_management", lab.optimization(name, **slow))
        )
    )
    thread.start()
    experiment = wait_for(lambda: lab.client.get_experiment_by_name(name))
    path = f"/runs?experiment_id={experiment.experiment_id}"
    wait_for(lambda: lab.ask("GET", path)["data"])
    with lab.mlflow_gate.outage():
        thread.join()
        # MLflow could not be told: the run is still open there, and the list says so.
        assert answer[0][0] == 503
        assert [run["status"] for run in lab.ask("GET", path)["data"]] == ["RUNNING"]
    assert [run["status"] for run in lab.ask("GET", path)["data"]] == ["FAILED"]


def test_without_the_ml_service_setting_is_503(lab: Lab) -> None:
    from tracking.app import create_app

    run_id = lab.optimize()["run_ids"]["DecisionTree"]
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    app = create_app(lab.settings.model_copy(update={"ml_model_url": nobody}))
    answer = app.test_client().post(
        "/root/tracking/model_management",
        json={"request_information": "setting", "run_id": run_id},
    )
    assert answer.status_code == 503 and "ML" in answer.get_json()["message"]
