"""What is said of a search in the background: how far it is, how long it takes, what is best."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, cast

import pytest

from jobkit.job import Job
from servicekit.database import DatabaseUnavailable
from tracking.domain import Candidate
from tracking.repository.candidate_runs import CandidateRuns
from tracking.repository.jobs import KeptCandidate
from tracking.service import job_watcher
from tracking.service.job_watcher import JobWatcher, standing
from tracking.service.search_leftovers import _ranked
from tracking.service.search_progress import SearchProgress

JOB = Job(
    id=1,
    kind="search",
    state="running",
    dataset_name="wine",
    request={},
    result=None,
    progress=0.0,
    message="",
    reason=None,
    cancel_requested=False,
    attempts=1,
    request_id="r",
    created_at=datetime.now(UTC),
    started_at=None,
    finished_at=None,
)


class Store:
    """Stands for Postgres: keeps what it is told, fails or says that the job is not wanted."""

    def __init__(self) -> None:
        self.kept: list[KeptCandidate] = []
        self.reports: list[tuple[float, str, Mapping[str, Any]]] = []
        self.wanted = True
        self.errors: list[Exception] = []
        self.told = threading.Event()

    def write(
        self,
        job: Job,
        candidates: Sequence[KeptCandidate],
        progress: float,
        message: str,
        result: Mapping[str, Any],
    ) -> bool:
        """Take a batch."""
        if self.errors:
            raise self.errors.pop()
        self.kept += candidates
        self.reports.append((progress, message, result))
        self.told.set()
        return self.wanted


class Runs:
    """Stands for MLflow."""

    def __init__(self) -> None:
        self.logged: list[str] = []

    def add(self, model_name: str, key: str, candidate: Candidate) -> None:
        """Note a candidate."""
        self.logged.append(key)


def tried(score: float | None, **more: Any) -> Candidate:
    """Return a candidate with a mean score."""
    return Candidate({"C": score}, score, 0.0, 0.1, **more)


def watching(
    store: Store,
    runs: Runs,
    kept: Sequence[KeptCandidate] = (),
    models: Sequence[str] = ("A", "B"),
    job: Job = JOB,
) -> JobWatcher:
    """Return a watcher of two models' search."""
    return JobWatcher(
        job, models, kept, cast(SearchProgress, store), cast(CandidateRuns, runs), nullcontext
    )


def test_candidates_are_kept_counted_and_logged() -> None:
    store, runs = Store(), Runs()
    watcher = watching(store, runs)
    watcher.begun("A", 2)
    for key, score in (("a1", 0.5), ("a2", 0.9)):
        assert watcher.known("A", key) is None
        watcher.done("A", key, tried(score), {"s": score})
    watcher.begun("B", 4)
    watcher.done("B", "b1", tried(None), {})
    watcher.close("logs")

    assert [item.key for item in store.kept] == ["a1", "a2", "b1"] == runs.logged
    progress, message, result = store.reports[-1]
    assert (progress, message) == (job_watcher.SEARCHED, "logs")
    assert all(model.pop("spent_s") >= 0 for model in result["models"].values())
    assert result["models"] == {
        "A": {
            "done": 2,
            "planned": 2,
            "best_score": 0.9,
            "best": {"C": 0.9},
            "scores": [0.5, 0.9],
            "best_scores": [0.5, 0.9],
        },
        "B": {
            "done": 1,
            "planned": 4,
            "best_score": None,
            "best": None,
            "scores": [None],
            "best_scores": [None],
        },
    }
    assert result["time_left_s"] == 0.0
    assert not watcher.stopping()


def test_scores_are_told_in_the_order_they_came_with_the_best_by_then() -> None:
    store, runs = Store(), Runs()
    watcher = watching(store, runs, models=["A"])
    watcher.begun("A", 5)
    watcher.done("A", "a1", tried(0.987654321, training_rows=50), {})
    watcher.done("A", "a2", tried(None, training_rows=50), {})
    watcher.done("A", "a3", tried(0.99, outer_fold=1), {})
    # On more rows: it counts for more, though its score is lower.
    watcher.done("A", "a4", tried(0.9), {})
    watcher.done("A", "a5", tried(0.8), {})
    watcher.close("logs")
    model = store.reports[-1][2]["models"]["A"]
    assert model["scores"] == [0.987654, None, 0.9, 0.8]
    assert model["best_scores"] == [0.987654, 0.987654, 0.9, 0.9]
    assert (model["best_score"], model["done"]) == (0.9, 5)


def test_progress_is_the_mean_share_of_the_models_and_time_left_follows_from_it() -> None:
    store, runs = Store(), Runs()
    watcher = watching(store, runs)
    watcher.begun("A", 2)
    watcher.done("A", "a1", tried(0.5), {})
    progress, message, result = watcher._report()
    assert (progress, message) == (pytest.approx(job_watcher.SEARCHED / 4), "searches A")
    # A quarter is done: three times as long is left, of a time that is next to nothing here.
    assert result["time_left_s"] >= 0
    watcher.give_up()


def test_what_was_kept_is_given_back_and_counts_as_done_but_not_as_time() -> None:
    store, runs = Store(), Runs()
    kept = [KeptCandidate("A", "a1", tried(0.7), {"s": 1})]
    watcher = watching(store, runs, kept, ["A"])
    watcher.begun("A", 2)
    assert watcher.known("A", "a1") == {"s": 1}
    progress, _, result = watcher._report()
    assert progress == pytest.approx(job_watcher.SEARCHED / 2)
    assert result["time_left_s"] is None
    assert result["models"]["A"]["best_score"] == 0.7
    watcher.done("A", "a1", tried(0.7), {"s": 1})
    watcher.done("A", "a2", tried(0.6), {})
    watcher.close("logs")
    assert ([item.key for item in store.kept], runs.logged) == (["a2"], ["a2"])


def test_the_time_of_all_attempts_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(job_watcher.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(job_watcher, "HEARTBEAT_S", 0.01)
    store = Store()
    earlier = {"models": {"A": {"done": 3, "spent_s": 7.5}}, "run_ids": {}}
    watcher = watching(store, Runs(), job=replace(JOB, result=earlier))

    def told(seconds: float) -> Any:
        """Return what is written without anybody saying a word, once it is so much in all."""
        deadline_s = perf_counter() + 60
        while perf_counter() < deadline_s:
            models = store.reports[-1][2]["models"] if store.reports else {}
            if sum(model["spent_s"] for model in models.values()) == seconds:
                return {name: model["spent_s"] for name, model in models.items()}
        raise AssertionError(store.reports[-1:])

    assert (watcher.spent_s("A"), watcher.spent_s("B")) == (7.5, 0.0)
    watcher.begun("A", 9)
    now_s[0] += 3
    assert told(10.5) == {"A": 10.5, "B": 0.0}
    watcher.over("A")
    now_s[0] += 50
    watcher.begun("B", 2)
    now_s[0] += 1
    assert told(11.5) == {"A": 10.5, "B": 1.0}
    watcher.close("logs")
    now_s[0] += 9
    assert told(11.5) and store.reports[-1][1] == "logs"


def test_it_says_stop_when_the_attempt_is_not_wanted() -> None:
    store = Store()
    store.wanted = False
    watcher = watching(store, Runs())
    watcher.begun("A", 2)
    assert store.told.wait(60)
    watcher.close("logs")
    assert watcher.stopping()


def test_an_outage_is_waited_for_and_a_fault_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    store.errors = [DatabaseUnavailable()]
    watcher = watching(store, Runs())
    watcher.begun("A", 1)
    watcher.done("A", "a1", tried(0.5), {})
    watcher.close("logs")
    assert [item.key for item in store.kept] == ["a1"]

    store.errors = [ValueError("a fault")]
    watcher = watching(store, Runs())
    watcher.begun("A", 1)
    with pytest.raises(ValueError, match="a fault"):
        watcher.close("logs")
    assert watcher.stopping()

    monkeypatch.setattr(job_watcher, "PATIENCE_S", 0.01)
    store.errors = [DatabaseUnavailable() for _ in range(100)]
    watcher = watching(store, Runs())
    watcher.begun("A", 1)
    with pytest.raises(DatabaseUnavailable):
        watcher.close("logs")


def test_more_rows_stand_before_higher_scores_and_failures_last() -> None:
    few, all_rows = tried(0.9, training_rows=10), tried(0.8)
    failed, outer = tried(None), tried(1.0, outer_fold=1)
    assert standing(all_rows) > standing(few) > standing(failed)
    ranked = _ranked([failed, few, outer, all_rows, tried(0.8)])
    assert [(item.mean_score, item.rank) for item in ranked] == [
        (0.8, 1),
        (0.8, 1),
        (0.9, 3),
        (None, 4),
    ]
