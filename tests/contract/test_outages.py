"""Something a service needs is down: 503 while it is, and recovery without a restart after."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.contract.conftest import Furnished, Refused, search
from tests.support.running_suite import SERVICES, OwnSuite

MANAGEMENT = "/root/tracking/model_management"
RECOVERY_DEADLINE_S = 20.0

Request = tuple[str, str, str, Any]

LOAD: Request = ("POST", "simulator", "/root/simulator", {"set_name": "testing"})
SCORE: Request = ("POST", "ml_model", "/root/ml", {"dataset": "testing"})
TRAIN: Request = ("POST", "ml_model", "/root/ml", {"dataset": "training"})
NAME: Request = ("GET", "ml_model", "/root/ml", None)
SET: Request = (
    "POST",
    "ml_model",
    "/root/ml/set_model",
    {"model_name": "DecisionTree", "hyperparameters": {"max_depth": 2}},
)
SUMMARY: Request = ("POST", "monitoring", "/root/monitoring", {"metric": "summary"})
SEARCH: Request = (
    "POST",
    "tracking",
    MANAGEMENT,
    search("during an outage", {"DecisionTree": {"max_depth": [2]}}),
)
SETTING: Request = (
    "POST",
    "tracking",
    MANAGEMENT,
    {"request_information": "setting", "run_id": "$run_id"},
)
EXPERIMENTS: Request = ("GET", "tracking", "/root/tracking/experiments", None)
GENERAL: Request = (
    "POST",
    "tracking",
    "/root/tracking/experiments",
    {"experiment_id": "$experiment_id", "request_information": "general"},
)
RUNS: Request = ("GET", "tracking", "/root/tracking/runs?experiment_id=$experiment_id", None)
DELETE_OTHER_RUN: Request = (
    "DELETE",
    "tracking",
    "/root/tracking/runs?experiment_id=$other_experiment_id&run_id=$other_run_id",
    None,
)

# What cannot be answered without the program that is away.
OUTAGES: dict[str, list[Request]] = {
    "postgres": [
        LOAD,
        SCORE,
        TRAIN,
        NAME,
        SET,
        SUMMARY,
        SEARCH,
        SETTING,
        EXPERIMENTS,
        GENERAL,
        RUNS,
    ],
    "mlflow": [SEARCH, DELETE_OTHER_RUN],
    "ml_model": [SETTING],
}
# What may be: from the database behind it, or from what a worker has in memory.
PERHAPS: dict[str, list[Request]] = {
    "postgres": [],
    "mlflow": [SETTING, EXPERIMENTS, GENERAL, RUNS, SCORE, SUMMARY, LOAD, NAME],
    "ml_model": [EXPERIMENTS, GENERAL, RUNS, SUMMARY, LOAD],
}
NOT_READY = {
    "postgres": set(SERVICES),
    "mlflow": {"ml_model", "tracking"},
    "ml_model": {"tracking"},
}


def send(furnished: Furnished, request: Request) -> requests.Response:
    method, service, path, body = furnished.fill_in(list(request))
    return furnished.suite.call(
        method, service, path, **({} if body is None else {"json": body}), timeout_s=60
    )


@pytest.fixture(params=sorted(OUTAGES))
def outage(request: pytest.FixtureRequest, furnished: Furnished) -> Iterator[str]:
    """One program of the suite is stopped; afterwards all is well again."""
    suite = furnished.suite
    suite.stop(request.param)
    try:
        yield request.param
    finally:
        program = suite.postgres.program if request.param == "postgres" else None
        program = program or suite.programs[request.param]
        if program.process is None or program.process.poll() is not None:
            suite.start(request.param)
        for name in suite.programs:
            suite.wait_ready(name)
        furnished.deploy()


def test_outage_is_503_and_passes_by_itself(
    furnished: Furnished, refused: Refused, outage: str
) -> None:
    suite = furnished.suite
    pids = {name: program.process and program.process.pid for name, program in programs(suite)}
    for request in OUTAGES[outage]:
        answer = send(furnished, request)
        refused(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0, request
    for request in PERHAPS[outage]:
        answer = send(furnished, request)
        if answer.status_code != 200:
            refused(answer, 503)
    for name in SERVICES:
        if name == outage:
            continue
        assert suite.call("GET", name, "/health").status_code == 200
        answer = suite.call("GET", name, "/ready", timeout_s=30)
        if name in NOT_READY[outage]:
            assert answer.status_code == 503, name
            assert set(answer.json()) >= {"error", "message"}
        elif answer.status_code == 503:
            # It may need the one that is away by way of another.
            assert answer.json()["checks"]
    suite.start(outage, wait=False)
    for name in suite.programs:
        suite.wait_ready(name)
    for request in (*OUTAGES[outage], *PERHAPS[outage]):
        # The first would take away what the next outage needs, the second sets another model.
        if request in (DELETE_OTHER_RUN, SET):
            continue
        eventually(lambda request=request: send(furnished, request))
    after = {name: program.process and program.process.pid for name, program in programs(suite)}
    assert {name for name in after if after[name] != pids.get(name)} <= {outage}


def programs(suite: OwnSuite) -> list[tuple[str, Any]]:
    return list(suite.programs.items())


def eventually(request: Callable[[], requests.Response]) -> None:
    deadline = time.monotonic() + RECOVERY_DEADLINE_S
    while (answer := request()).status_code not in {200, 201}:
        assert answer.status_code == 503, answer.text
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


def test_postgres_crash_in_the_middle_answers_everyone(furnished: Furnished) -> None:
    """Under load: each request is answered, by 200 or 503, and the work goes on afterwards."""
    suite = furnished.suite
    deadline = time.monotonic() + 4

    def work(request: Request) -> set[int]:
        statuses = set()
        while time.monotonic() < deadline:
            statuses.add(send(furnished, request).status_code)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work, request) for request in (NAME, LOAD, NAME, SCORE)]
        time.sleep(1)
        suite.kill("postgres")
        time.sleep(1)
        suite.start("postgres")
        seen = [future.result() for future in futures]
    assert all(statuses <= {200, 503} for statuses in seen), seen
    for name in suite.programs:
        suite.wait_ready(name)
    for request in (NAME, LOAD, SCORE):
        eventually(lambda request=request: send(furnished, request))
