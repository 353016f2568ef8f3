"""The watcher of a search that is a job: keeps, reports, logs and hears of a cancel.

The search itself is held up by none of that: what it says is written by a thread.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from jobkit.job import Job
from jobkit.program.scope import is_away
from servicekit.database import DatabaseUnavailable
from tracking.domain import Candidate
from tracking.repository.candidate_runs import CandidateRuns
from tracking.repository.jobs import KeptCandidate
from tracking.service.search_progress import SearchProgress

log = logging.getLogger(__name__)

PAUSE_S = 0.1
"""Between two transactions. A kill costs at most the candidates of that time."""

HEARTBEAT_S = 2.0
"""After which the time that was spent is written though no candidate has finished. A kill costs a
time budget at most so much."""

PATIENCE_S = 30.0
"""How long the end of a search waits for PostgreSQL."""

DIGITS = 6
"""Significant digits of the scores in the order they came: they are drawn, not compared."""

SEARCHED = 0.95
"""The share of the work that is the search; the rest is logging and registering."""


@dataclass
class ModelProgress:
    """How far one model's search is; `planned` is None where that is not known.

    `scores` has the mean score of each candidate in the order they finished, None where a fold
    failed, and `best_scores` what was best by then; both without those of outer folds.

    `spent_s` is the time of earlier attempts, until the search is over in this one, too.
    """

    planned: int | None = None
    done: int = 0
    replayed: int = 0
    best: Candidate | None = None
    scores: list[float | None] = field(default_factory=list)
    best_scores: list[float | None] = field(default_factory=list)
    over: bool = False
    spent_s: float = 0.0
    began_s: float | None = None

    def end(self) -> None:
        """Count its time, once."""
        self.spent_s, self.began_s, self.over = self.searched_s, None, True

    @property
    def searched_s(self) -> float:
        """Seconds for which it has been searched, in all attempts."""
        this_s = 0.0 if self.began_s is None else time.monotonic() - self.began_s
        return self.spent_s + this_s

    def share(self, count: int) -> float:
        """Return which share of it `count` candidates are."""
        if self.over and count == self.done:
            return 1.0
        return min(1.0, count / self.planned) if self.planned else 0.0


class JobWatcher:
    """Follows the search of one attempt at a job, from the first model to the last.

    `kept` is what earlier attempts have tried, `models` are searched in this order. To be closed,
    or given up, when the search has ended.
    """

    def __init__(
        self,
        job: Job,
        models: Sequence[str],
        kept: Sequence[KeptCandidate],
        progress: SearchProgress,
        runs: CandidateRuns,
        open_scope: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._job = job
        earlier = (job.result or {}).get("models", {})
        self._models = {
            model: ModelProgress(spent_s=earlier.get(model, {}).get("spent_s", 0.0))
            for model in models
        }
        self._kept = {(item.model_name, item.key): item for item in kept}
        self._progress = progress
        self._runs = runs
        self._open_scope = open_scope
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._message = "begins"
        self._told: queue.SimpleQueue[KeptCandidate | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._unwanted = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._write, name="search-progress", daemon=True)
        self._thread.start()

    def begun(self, model_name: str, candidates: int | None) -> None:
        """Hear how many candidates of a model are planned."""
        with self._lock:
            for name, model in self._models.items():
                if name == model_name:
                    break
                model.end()
            self._models[model_name].planned = candidates
            self._models[model_name].began_s = time.monotonic()
            self._message = f"searches {model_name}"
        self._told.put(None)

    def over(self, model_name: str) -> None:
        """Hear that a model's search has ended."""
        with self._lock:
            self._models[model_name].end()
        self._told.put(None)

    def spent_s(self, model_name: str) -> float:
        """Return for how many seconds earlier attempts have searched a model."""
        with self._lock:
            return self._models[model_name].spent_s

    def known(self, model_name: str, key: str) -> Mapping[str, Any] | None:
        """Return the scores that an earlier attempt has kept, or None."""
        item = self._kept.get((model_name, key))
        if item is None:
            return None
        with self._lock:
            self._count(item, replayed=1)
        return item.scores

    def done(
        self, model_name: str, key: str, candidate: Candidate, scores: Mapping[str, Any]
    ) -> None:
        """Keep a candidate that has finished, and have it logged."""
        item = KeptCandidate(model_name, key, candidate, scores)
        with self._lock:
            if (model_name, key) in self._kept:
                return
            self._count(item, replayed=0)
        self._told.put(item)
        self._runs.add(model_name, key, candidate)

    def stopping(self) -> bool:
        """Say whether the attempt is not wanted any more."""
        return self._unwanted.is_set()

    def close(self, message: str) -> None:
        """Return when everything is written; `message` says what comes next.

        Raises
        ------
        DatabaseUnavailable
            PostgreSQL is away.
        """
        with self._lock:
            self._message = message
            for model in self._models.values():
                model.end()
        self._closing.set()
        self._told.put(None)
        self._thread.join(PATIENCE_S)
        if self._fault is not None:
            raise self._fault
        if self._thread.is_alive():
            self._given_up.set()
            raise DatabaseUnavailable()

    def give_up(self) -> None:
        """Write no more."""
        self._given_up.set()
        self._closing.set()
        self._told.put(None)

    def _count(self, item: KeptCandidate, replayed: int) -> None:
        model = self._models[item.model_name]
        model.done += 1
        model.replayed += replayed
        found, best = item.candidate, model.best
        if found.outer_fold is not None:
            return
        scored = found.mean_score is not None
        if scored and (best is None or standing(found) > standing(best)):
            model.best = found
        model.scores.append(_rounded(found))
        model.best_scores.append(_rounded(model.best))

    def _write(self) -> None:
        while not self._given_up.is_set():
            closing = self._closing.is_set()
            batch = [] if closing else [self._next()]
            while not self._told.empty():
                batch.append(self._told.get())
            if not self._flush([item for item in batch if item is not None]) or closing:
                return
            self._closing.wait(PAUSE_S)

    def _next(self) -> KeptCandidate | None:
        try:
            return self._told.get(timeout=HEARTBEAT_S)
        except queue.Empty:
            return None

    def _flush(self, batch: Sequence[KeptCandidate]) -> bool:
        """Write a batch through an outage; False where there is nothing more to write."""
        while not self._given_up.is_set():
            try:
                with self._open_scope():
                    wanted = self._progress.write(self._job, batch, *self._report())
            except Exception as error:  # noqa: BLE001 - raised in `close`
                if not is_away(error) and not isinstance(error, DatabaseUnavailable):
                    self._fault = error
                    self._unwanted.set()
                    return False
                log.info("Job %d: PostgreSQL is away; trying again", self._job.id)
                self._given_up.wait(1.0)
            else:
                if not wanted:
                    self._unwanted.set()
                return wanted
        return False

    def _report(self) -> tuple[float, str, dict[str, Any]]:
        with self._lock:
            models = self._models
            share = sum(model.share(model.done) for model in models.values()) / len(models)
            replayed = sum(model.share(model.replayed) for model in models.values()) / len(models)
            elapsed_s = time.monotonic() - self._began_s
            left_s = elapsed_s * (1 - share) / (share - replayed) if share > replayed else None
            found = {
                name: {
                    "done": model.done,
                    "planned": model.planned,
                    "best_score": model.best.mean_score if model.best else None,
                    "best": dict(model.best.values) if model.best else None,
                    "scores": list(model.scores),
                    "best_scores": list(model.best_scores),
                    "spent_s": round(model.searched_s, 1),
                }
                for name, model in models.items()
            }
            result = {
                "models": found,
                "time_left_s": None if left_s is None else round(left_s, 1),
            }
            return SEARCHED * share, self._message, result


def standing(candidate: Candidate) -> tuple[bool, float, float]:
    """Return what candidates are compared by: more rows first, then the mean score."""
    score = candidate.mean_score
    rows = math.inf if candidate.training_rows is None else float(candidate.training_rows)
    return score is not None, rows, score or 0.0


def _rounded(candidate: Candidate | None) -> float | None:
    if candidate is None or candidate.mean_score is None:
        return None
    return float(f"{candidate.mean_score:.{DIGITS}g}")
