"""Jobs through kills, stops, outages and cancels: finished in the end, or gone without a trace."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from sklearn.datasets import load_iris

from tests.support.databases import TestDatabase
from tests.support.gate import Gate
from tests.support.jobs_lab import JobsLab, jobs_lab
from tests.support.mlflow_fixture import MlflowServer
from tests.support.running_suite import Program

IRIS = load_iris()


@pytest.fixture
def mlflow_gate(mlflow_server: MlflowServer) -> Iterator[Gate]:
    """The way to MLflow."""
    url = urlsplit(mlflow_server.url)
    assert url.hostname is not None and url.port is not None
    gate = Gate(url.hostname, url.port)
    yield gate
    gate.shut()


@pytest.fixture
def lab(
    cellar_database: TestDatabase,
    mlflow_server: MlflowServer,
    database_gate: Gate,
    mlflow_gate: Gate,
    tmp_path: Path,
) -> Iterator[JobsLab]:
    """Everything on a fresh database, which can be taken away, as can MLflow from the jobs."""
    mlflow_url = f"http://127.0.0.1:{mlflow_gate.port}"
    over = {"train_wait_s": 0.0, "database_port": database_gate.port}
    with jobs_lab(cellar_database, mlflow_url, tmp_path, **over) as lab:
        lab.mlflow_url = mlflow_server.url
        yield lab


def begin(lab: JobsLab, name: str) -> int:
    """Hand a training in."""
    body = {
        "data": IRIS.data.tolist(),
        "target": IRIS.target.tolist(),
        "model_name": "RandomForest",
        "registered_model_name": name,
    }
    return int(lab.ask("POST", "/train", body)["job_id"])


def held_child(lab: JobsLab, job_id: int) -> psutil.Process:
    """Return the process that works on the job, brought to a standstill in the middle of it."""
    lab.wait(job_id, lambda job: "run_id" in (job["result"] or {}))
    [child] = lab.children()
    child.suspend()
    assert lab.job(job_id)["state"] == "running"
    return child


def versions(lab: JobsLab, name: str) -> list[str]:
    """Return the numbers of MLflow's versions of a registered model."""
    answer = requests.get(
        f"{lab.mlflow_url}/api/2.0/mlflow/model-versions/search",
        params={"filter": f"name = '{name}'"},
        timeout=30,
    )
    return [version["version"] for version in answer.json().get("model_versions", [])]


def runs(lab: JobsLab, name: str, job_id: int) -> list[str]:
    """Return the states of the runs that the job has opened for this test's model."""
    url = f"{lab.mlflow_url}/api/2.0/mlflow"
    found = requests.get(
        f"{url}/experiments/get-by-name", params={"experiment_name": "training"}, timeout=30
    ).json()["experiment"]["experiment_id"]
    request_id = lab.job(job_id)["request_id"]
    body = {"experiment_ids": [found], "filter": f"tags.`cellar.request_id` = '{request_id}'"}
    answer = requests.post(f"{url}/runs/search", json=body, timeout=30).json()
    return sorted(run["info"]["status"] for run in answer.get("runs", []))


def queued(lab: JobsLab) -> list[Any]:
    """Return what stands in Procrastinate's queue."""
    return lab.database.rows("SELECT args, status FROM jobs_queue.procrastinate_jobs")


def test_a_killed_child_begins_again(lab: JobsLab) -> None:
    job_id = begin(lab, "killed_child")
    held_child(lab, job_id).kill()
    job = lab.wait(job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert versions(lab, "killed_child") == ["1"]
    assert runs(lab, "killed_child", job_id) == ["FAILED", "FINISHED"]
    lab.eventually(lambda: queued(lab), lambda rows: rows == [])


def test_a_child_that_is_killed_each_time_gives_the_job_up(lab: JobsLab) -> None:
    job_id = begin(lab, "killed_often")
    for attempt in (1, 2, 3):
        lab.wait(job_id, lambda job, n=attempt: job["attempts"] == n and job["state"] == "running")
        lab.eventually(lab.children, lambda found: len(found) == 1)
        [child] = lab.children()
        child.kill()
    job = lab.wait(job_id)
    assert (job["state"], job["result"]["error"]) == ("failed", "Job interrupted")
    assert "3 times" in job["reason"]
    assert versions(lab, "killed_often") == []


def test_a_killed_program_leaves_its_jobs_to_the_next(lab: JobsLab) -> None:
    job_id = begin(lab, "killed_program")
    child = held_child(lab, job_id)
    lab.kill_program()
    child.resume()
    # Its work has nobody to answer to any more.
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running()
    assert lab.job(job_id)["state"] == "running"
    lab.program.start()
    job = lab.wait(job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert versions(lab, "killed_program") == ["1"]
    assert runs(lab, "killed_program", job_id) == ["FAILED", "FINISHED"]


def test_a_program_takes_over_from_one_that_was_killed(lab: JobsLab) -> None:
    job_id = begin(lab, "taken_over")
    child = held_child(lab, job_id)
    second = Program(
        lab.program.command, lab.program.environment, lab.program.log_file.with_name("second.log")
    )
    lab.more_programs.append(second)
    second.start()
    lab.kill_program()
    with suppress(psutil.NoSuchProcess):
        child.kill()
    job = lab.wait(job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)


def test_a_stopped_program_puts_its_jobs_back(lab: JobsLab) -> None:
    job_id = begin(lab, "stopped")
    child = held_child(lab, job_id)
    lab.program.stop()
    assert lab.program.process is not None
    assert lab.program.process.returncode == 0, lab.program.log()
    assert not child.is_running()
    job = lab.job(job_id)
    assert (job["state"], job["attempts"]) == ("queued", 0)
    lab.program.start()
    job = lab.wait(job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert runs(lab, "stopped", job_id) == ["FAILED", "FINISHED"]


def test_a_cancelled_job_leaves_nothing(lab: JobsLab) -> None:
    job_id = begin(lab, "cancelled")
    child = held_child(lab, job_id)
    status, job = lab.send("POST", f"/jobs/{job_id}/cancel")
    assert (status, job["cancel_requested"]) == (202, True)
    job = lab.wait(job_id)
    assert (job["state"], job["attempts"]) == ("cancelled", 1)
    assert not child.is_running()
    assert versions(lab, "cancelled") == []
    assert runs(lab, "cancelled", job_id) == ["KILLED"]
    assert lab.database.rows("SELECT count(*) FROM model_versions") == [(0,)]
    lab.eventually(lambda: queued(lab), lambda rows: rows == [])
    # The next job has a process again.
    assert lab.wait(begin(lab, "after_cancel"))["state"] == "succeeded"


def test_what_a_cancelled_job_leaves_while_mlflow_is_away_is_removed_later(
    lab: JobsLab, mlflow_gate: Gate
) -> None:
    job_id = begin(lab, "cancelled_in_vain")
    held_child(lab, job_id)
    with mlflow_gate.outage():
        assert lab.send("POST", f"/jobs/{job_id}/cancel")[0] == 202
        assert lab.wait(job_id)["state"] == "cancelled"
        assert lab.database.rows("SELECT untidy FROM jobs WHERE id = %s", (job_id,)) == [
            ("KILLED",)
        ]
    assert runs(lab, "cancelled_in_vain", job_id) == ["RUNNING"]
    lab.eventually(
        lambda: runs(lab, "cancelled_in_vain", job_id), lambda states: states == ["KILLED"]
    )
    lab.eventually(
        lambda: lab.database.rows("SELECT untidy FROM jobs WHERE untidy IS NOT NULL"),
        lambda rows: rows == [],
    )
    assert versions(lab, "cancelled_in_vain") == []


def test_a_job_that_was_begun_is_taken_back_by_the_next_program(lab: JobsLab) -> None:
    job_id = begin(lab, "taken_back")
    held_child(lab, job_id)
    lab.program.stop()
    status, job = lab.send("POST", f"/jobs/{job_id}/cancel")
    assert (status, job["state"], job["cancel_requested"]) == (202, "queued", True)
    lab.program.start()
    assert lab.wait(job_id)["state"] == "cancelled"
    assert runs(lab, "taken_back", job_id) == ["KILLED"]


def test_a_finished_job_cannot_be_cancelled(lab: JobsLab) -> None:
    job_id = begin(lab, "finished")
    assert lab.wait(job_id)["state"] == "succeeded"
    status, answer = lab.send("POST", f"/jobs/{job_id}/cancel")
    assert (status, answer["error"]) == (409, "Job finished already")


def test_jobs_go_on_after_an_outage_of_postgres(lab: JobsLab, database_gate: Gate) -> None:
    first = begin(lab, "outage")
    child = held_child(lab, first)
    with database_gate.outage():
        child.resume()
        lab.eventually(lab.program.log, lambda log: "PostgreSQL is away" in log)
    job = lab.wait(first)
    assert job["state"] == "succeeded"
    assert versions(lab, "outage") == ["1"]
    assert lab.wait(begin(lab, "after_outage"))["state"] == "succeeded"
    assert lab.program.process is not None
    assert lab.program.process.poll() is None


def test_a_job_handed_in_before_the_program_ever_ran(
    cellar_database: TestDatabase, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    with jobs_lab(cellar_database, mlflow_server.url, tmp_path, train_wait_s=0.0) as lab:
        lab.program.stop()
        cellar_database.execute("DROP SCHEMA jobs_queue CASCADE; CREATE SCHEMA jobs_queue")
        cellar_database.execute("GRANT USAGE, CREATE ON SCHEMA jobs_queue TO cellar_ml_model")
        job_id = begin(lab, "early")
        assert lab.job(job_id)["state"] == "queued"
        lab.program.start()
        assert lab.wait(job_id)["state"] == "succeeded"


def test_the_program_needs_its_settings(lab: JobsLab) -> None:
    environment = {**lab.program.environment, "CELLAR_TRAINING_PROCESSES": "0"}
    broken = Program(lab.program.command, environment, lab.program.log_file.with_name("broken.log"))
    broken.start()
    assert broken.process is not None
    assert broken.process.wait(60) == 1
    assert "CELLAR_TRAINING_PROCESSES" in broken.log()
    assert "Traceback" not in broken.log()


def test_signals_to_the_group_do_not_reach_the_children(lab: JobsLab) -> None:
    job_id = begin(lab, "group")
    child = held_child(lab, job_id)
    assert lab.program.process is not None
    assert os.getpgid(child.pid) != os.getpgid(lab.program.process.pid)
    child.send_signal(signal.SIGCONT)
    assert lab.wait(job_id)["attempts"] == 1
