"""The program that runs the jobs, in the container of the ML service."""

import time
from typing import Any

import pytest

from tests.support.compose_suite import ComposeSuite

pytestmark = pytest.mark.containers

DEADLINE_S = 120.0
SUPERVISOR = ("supervisorctl", "--configuration", "/opt/cellar/ml_model/supervisord.conf")


def pid_of(suite: ComposeSuite, program: str) -> int:
    """Return the process of a program, 0 while there is none."""
    answer = suite.inside("ml_model", *SUPERVISOR, "pid", f"programs:{program}").strip()
    return int(answer) if answer.isdigit() else 0


def test_it_comes_back_and_works_while_the_service_goes_on(suite: ComposeSuite) -> None:
    service, jobs = pid_of(suite, "ml_model"), pid_of(suite, "jobs")
    assert service and jobs
    suite.inside("ml_model", "python", "-c", f"import os; os.kill({jobs}, 9)")
    deadline = time.monotonic() + DEADLINE_S
    while pid_of(suite, "jobs") in {0, jobs}:
        assert time.monotonic() < deadline
        time.sleep(0.2)

    body: dict[str, Any] = {
        "dataset_name": "iris",
        "model_name": "LogisticRegression",
        "registered_model_name": "iris-in-a-container",
    }
    trained = suite.ask("POST", "ml_model", "/train", body)
    assert trained["status"] == "success"
    assert pid_of(suite, "ml_model") == service
