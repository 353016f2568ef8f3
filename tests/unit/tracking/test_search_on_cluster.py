"""Searches on a Dask cluster of two worker processes."""

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster

from tracking.domain import Candidate, SearchPlan, TrainingSet, Unwatched
from tracking.errors import ClusterUnavailable
from tracking.service.search import search


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler and two workers that are started again when they die."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as started:
            yield started


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """90 rows of three overlapping classes."""
    random = np.random.default_rng(7)
    labels = np.repeat([0, 1, 2], 30)
    values = random.normal(size=(90, 3)) + labels[:, None] * 0.8
    return TrainingSet(
        "made_up", 1, "0" * 64, pd.DataFrame(values, columns=["a", "b", "c"]), labels, (0, 1, 2)
    )


def as_found(outcome: Any) -> tuple[Any, ...]:
    return (
        outcome.best,
        outcome.metrics,
        [(item.values, item.mean_score, item.rank) for item in outcome.candidates],
    )


@pytest.mark.parametrize("strategy", ["grid", "halving", "tpe"])
def test_a_cluster_finds_what_this_machine_finds(
    cluster: LocalCluster, rows: TrainingSet, strategy: Any
) -> None:
    count = None if strategy == "grid" else 8
    grid = {"max_depth": [1, 2, 3, 4], "min_samples_leaf": [1, 2, 3]}
    plan = SearchPlan("DecisionTree", grid, "accuracy", 2, strategy, count)
    there = search(plan, rows, dask_address=cluster.scheduler_address)
    assert as_found(there) == as_found(search(plan, rows))


def test_a_worker_that_is_killed_costs_no_result(cluster: LocalCluster, rows: TrainingSet) -> None:
    victims = [worker.process.pid for worker in cluster.workers.values()]
    killed = threading.Event()

    class Killer(Unwatched):
        def done(self, model_name: str, key: str, candidate: Candidate, scores: Any) -> None:
            if not killed.is_set():
                killed.set()
                os.kill(victims[0], signal.SIGKILL)

    plan = SearchPlan("RandomForest", {"n_estimators": list(range(5, 15))}, "accuracy", 2)
    there = search(plan, rows, watcher=Killer(), dask_address=cluster.scheduler_address)
    assert killed.is_set() and as_found(there) == as_found(search(plan, rows))


def test_a_cluster_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, rows: TrainingSet
) -> None:
    monkeypatch.setattr("tracking.service.fold_workers.ANSWER_S", 0.5)
    plan = SearchPlan("DecisionTree", {}, "accuracy", 3)
    with pytest.raises(ClusterUnavailable, match="CELLAR_DASK_ADDRESS"):
        search(plan, rows, dask_address="tcp://127.0.0.1:9")
