"""Candidates as runs of MLflow, below the run of their model, logged while the search goes on.

Three calls of MLflow's REST API per candidate, in threads of their own: they wait for the server,
and the search does not wait for them.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mlflowrest.client import Mlflow
from mlflowrest.errors import MlflowNotFound, MlflowRefused
from mlflowrest.errors import MlflowUnavailable as ServerAway
from tracking.domain import CANDIDATE_TAG, MODEL_TAG, PARENT_TAG, SEARCH_TAG, Candidate
from tracking.errors import MlflowUnavailable
from tracking.repository.jobs import digest

log = logging.getLogger(__name__)

THREADS = 2
PAUSE_S = 1.0
LONGEST_NAME = 120


@dataclass(frozen=True)
class ParentRun:
    """The run of one model's search."""

    run_id: str
    experiment_id: str
    search_id: int
    model_name: str
    scoring: str


class CandidateRuns:
    """Logs candidates until it is closed."""

    def __init__(self, mlflow: Mlflow, patience_s: float) -> None:
        self._mlflow = mlflow
        self._patience_s = patience_s
        self._parents: dict[str, ParentRun] = {}
        self._waiting: queue.SimpleQueue[tuple[ParentRun, str, Candidate] | None] = (
            queue.SimpleQueue()
        )
        self._closing_at_s: float | None = None
        self._lost = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"candidate-runs-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, parent: ParentRun) -> None:
        """Name the run of a model before its first candidate."""
        self._parents[parent.model_name] = parent

    def add(self, model_name: str, key: str, candidate: Candidate) -> None:
        """Have a candidate logged; returns at once."""
        self._waiting.put((self._parents[model_name], key, candidate))

    def close(self) -> None:
        """Return when all are logged.

        Raises
        ------
        MlflowUnavailable
            The server has been away for too long.
        """
        self._end()
        for thread in self._threads:
            thread.join()
        if self._lost:
            raise MlflowUnavailable(f"{self._lost} candidates could not be logged.")

    def give_up(self) -> None:
        """Log no more; what waits is left out."""
        self._patience_s = 0.0
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._end()

    def _end(self) -> None:
        self._closing_at_s = time.monotonic()
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            while True:
                try:
                    self._log(*item)
                except ServerAway:
                    closing_at_s = self._closing_at_s
                    if closing_at_s and time.monotonic() - closing_at_s > self._patience_s:
                        self._lost += 1
                        break
                    time.sleep(PAUSE_S)
                except (MlflowRefused, MlflowNotFound) as error:
                    log.warning("A candidate of run %s is not logged: %s", item[0].run_id, error)
                    break
                else:
                    break

    def _log(self, parent: ParentRun, key: str, candidate: Candidate) -> None:
        now_ms = time.time_ns() // 1_000_000
        runs = self._mlflow.runs
        run = runs.create(
            parent.experiment_id,
            name_of(candidate),
            tags={
                PARENT_TAG: parent.run_id,
                CANDIDATE_TAG: digest(key),
                SEARCH_TAG: str(parent.search_id),
                MODEL_TAG: parent.model_name,
            },
            start_ms=now_ms - round(candidate.fit_s * 1000),
        )
        runs.log(run.id, params=params_of(candidate), metrics=metrics_of(candidate, parent.scoring))
        failed = candidate.mean_score is None
        runs.terminate(run.id, "FAILED" if failed else "FINISHED", end_ms=now_ms)


def name_of(candidate: Candidate) -> str:
    """Return a candidate's values in one line."""
    text = ", ".join(f"{name}={json.dumps(value)}" for name, value in candidate.values.items())
    return (text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…") or "defaults"


def params_of(candidate: Candidate) -> dict[str, str]:
    """Return the params of a candidate's run, as text in Python's notation."""
    more = {"training_rows": candidate.training_rows, "outer_fold": candidate.outer_fold}
    return {
        **{f"model_{name}": str(value) for name, value in candidate.values.items()},
        **{name: str(value) for name, value in more.items() if value is not None},
    }


def metrics_of(candidate: Candidate, scoring: str) -> Mapping[str, float]:
    """Return the metrics of a candidate's run: mean and spread over the folds, seconds per fit."""
    found = {
        f"mean_{scoring}": candidate.mean_score,
        f"std_{scoring}": candidate.std_score,
        "fit_s": candidate.fit_s,
    }
    return {name: value for name, value in found.items() if value is not None}
