"""Searches on a real Dask cluster: a scheduler and workers as processes of their own."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from tests.support.running_suite import ROOT, free_ports
from tracking.domain import Candidate, FoldRule, SearchOutcome, SearchPlan, TrainingSet
from tracking.errors import ClusterUnavailable, SearchFailed
from tracking.service.search import search

PLAN = SearchPlan("RandomForest", {"n_estimators": [5, 10, 20, 40, 60, 80]}, "accuracy", 3)
HOST = "127.0.0.1"


@dataclass
class Cluster:
    """A scheduler and its workers."""

    port: int
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"tcp://{HOST}:{self.port}"

    def start_workers(self, count: int) -> None:
        """Start workers and wait until the scheduler has so many."""
        for _ in range(count):
            self.workers.append(
                program(
                    "worker",
                    *(self.address, "--nthreads", "1", "--no-nanny", "--memory-limit", "1GiB"),
                )
            )
        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def kill_worker(self) -> None:
        worker = self.workers.pop()
        worker.kill()
        worker.wait()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def program(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments, "--no-dashboard"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "services")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    port = free_ports(1)[0]
    scheduler = program("scheduler", "--host", HOST, "--port", str(port))
    found = Cluster(port, scheduler)
    with contextlib.closing(found):
        found.start_workers(2)
        yield found


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    random = np.random.default_rng(7)
    labels = np.repeat([0, 1, 2], 40)
    frame = pd.DataFrame(random.normal(size=(120, 3)) + labels[:, None] * 0.8, columns=list("abc"))
    frame.loc[5, "b"] = np.nan
    return TrainingSet("made_up", 1, "0" * 64, frame, labels, (0, 1, 2))


@dataclass
class Watcher:
    """Does something once the first candidate has finished."""

    act: Any
    done_: list[str] = field(default_factory=list)
    stop: bool = False

    def begun(self, model_name: str, candidates: int | None) -> None:
        """Nothing to do."""

    def known(self, model_name: str, key: str) -> Mapping[str, Any] | None:
        """Nothing is known."""
        return None

    def done(
        self, model_name: str, key: str, candidate: Candidate, scores: Mapping[str, Any]
    ) -> None:
        """Act on the first."""
        self.done_.append(key)
        if len(self.done_) == 1:
            self.act(self)

    def stopping(self) -> bool:
        """Whether told to stop."""
        return self.stop

    def spent_s(self, model_name: str) -> float:
        """There was no earlier attempt."""
        return 0.0


def figures(outcome: SearchOutcome) -> Any:
    """Return all of an outcome but times."""
    return (
        outcome.best,
        outcome.metrics,
        [replace(candidate, fit_s=0.0) for candidate in outcome.candidates],
        outcome.pipeline.get_params()["model"].n_estimators,
    )


def test_the_outcome_is_that_of_a_search_without_a_cluster(
    cluster: Cluster, rows: TrainingSet
) -> None:
    assert figures(search(PLAN, rows, dask_address=cluster.address)) == figures(search(PLAN, rows))


@pytest.mark.parametrize("strategy", ["random", "halving", "tpe"])
def test_every_strategy_has_its_outcome_there(
    cluster: Cluster, rows: TrainingSet, strategy: str
) -> None:
    plan = replace(PLAN, strategy=strategy, n_candidates=4)

    assert figures(search(plan, rows, dask_address=cluster.address)) == figures(search(plan, rows))


def test_folds_by_time_have_their_outcome_there(cluster: Cluster, rows: TrainingSet) -> None:
    days = np.random.default_rng(1).permutation(len(rows.labels))
    by_time = replace(rows, fold_rule=FoldRule("time", days))
    plan = replace(PLAN, nested_folds=2)

    found = search(plan, by_time, dask_address=cluster.address)

    assert figures(found) == figures(search(plan, by_time))
    assert found.metrics != search(plan, rows).metrics


def test_a_worker_that_is_killed_costs_no_result(cluster: Cluster, rows: TrainingSet) -> None:
    watcher = Watcher(lambda _: cluster.kill_worker())

    found = search(PLAN, rows, watcher=watcher, dask_address=cluster.address)

    assert figures(found) == figures(search(PLAN, rows))
    assert len(watcher.done_) == len(set(watcher.done_)) == 6
    cluster.start_workers(1)


def test_workers_that_come_after_all_were_killed_go_on(cluster: Cluster, rows: TrainingSet) -> None:
    def replace_all(_: Watcher) -> None:
        while cluster.workers:
            cluster.kill_worker()
        threading.Timer(1.0, cluster.start_workers, [2]).start()

    watcher = Watcher(replace_all)

    found = search(PLAN, rows, watcher=watcher, dask_address=cluster.address)

    assert figures(found) == figures(search(PLAN, rows))
    assert len(watcher.done_) == len(set(watcher.done_)) == 6


def test_a_search_that_is_stopped_keeps_what_has_finished(
    cluster: Cluster, rows: TrainingSet
) -> None:
    def stop(watcher: Watcher) -> None:
        watcher.stop = True

    plan = replace(PLAN, grid={"n_estimators": list(range(5, 65))})
    found = search(plan, rows, watcher=Watcher(stop), dask_address=cluster.address)

    assert 1 <= len(found.candidates) < 60
    assert found.stopped == "cancelled"


def test_what_fails_on_the_cluster_says_why(cluster: Cluster, rows: TrainingSet) -> None:
    plan = SearchPlan("SVC", {"kernel": ["precomputed"]}, "accuracy", 3)

    with pytest.raises(SearchFailed, match="square matrix"):
        search(plan, rows, dask_address=cluster.address)


def test_without_a_scheduler_or_workers_it_says_so(
    rows: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.service.fold_workers.ANSWER_S", 1.0)
    port = free_ports(1)[0]
    address = f"tcp://{HOST}:{port}"
    with pytest.raises(ClusterUnavailable, match="does not answer"):
        search(PLAN, rows, dask_address=address)

    scheduler = program("scheduler", "--host", HOST, "--port", str(port))
    try:
        Client(address, timeout=60, set_as_default=False).close()
        with pytest.raises(ClusterUnavailable, match="has no workers"):
            search(PLAN, rows, dask_address=address)
    finally:
        scheduler.kill()
        scheduler.wait()
