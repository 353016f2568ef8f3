"""Score a set of any length part by part, on all cores, going on where an earlier try stopped."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from contracts.vocabulary import SetName
from ml_model.domain import ModelVersion, Score
from ml_model.errors import ScoringFailed
from ml_model.fitting import NO_LABEL, features_of, labelled_rows, predict_rows
from ml_model.repository.model_store import MlflowModelStore
from ml_model.repository.scorings import ScoringTurn, SqlScorings, scoring_key
from ml_model.repository.sets import SqlSets
from ml_model.scoring_tally import TALLIES, ClassTally, NumberTally
from schema.sets import SetChanged, SetLoad
from servicekit.database import Database

ATTEMPTS = 2
PAUSE_S = 0.5

MOST_THREADS = 8
"""Each has a part in memory and a connection to PostgreSQL, which is the limit long before."""

Report = Callable[[float, str], None]
"""Takes how far the scoring is, 0 to 1, and where it is in words; may raise to end it."""

Tallies = dict[range, ClassTally | NumberTally]


@dataclass(frozen=True)
class BulkScore:
    """A score, with the confusion of classes where there is one; see `ClassTally.confusion`."""

    score: Score
    confusion: Mapping[str, Any] | None


Conclude = Callable[[BulkScore, Callable[[], None]], None]
"""Takes the outcome and what makes it visible, and does both in one transaction."""


class BulkScoring:
    """Reads, predicts and stores one part after the other, in several threads.

    A part is committed with its tally, so a scoring that ends in the middle loses the parts it was
    at, and nothing of it is visible. Memory grows with the threads, not with the set. Threads are
    enough: numpy, scikit-learn's predictions and the driver let each other run.
    """

    def __init__(
        self,
        database: Database,
        sets: SqlSets,
        scorings: SqlScorings,
        store: MlflowModelStore,
        threads: int | None = None,
    ) -> None:
        self._database = database
        self._sets = sets
        self._scorings = scorings
        self._store = store
        self._threads = threads or min(joblib.cpu_count(), MOST_THREADS)

    def score(
        self, version: ModelVersion, set_name: SetName, report: Report, conclude: Conclude
    ) -> None:
        """Score what is loaded as that set of the version's dataset.

        Raises
        ------
        SetNotLoaded, DatasetNotFound
        SetChanged
            The set was loaded anew again and again meanwhile.
        ScoringFailed
            As `fitting.predict`; what was stored stays unseen.
        ModelGone, ModelStoreUnavailable
        """
        pipeline = _in_one_thread(self._store.load(version))
        for _ in range(ATTEMPTS):
            with self._database.transaction():
                load = self._sets.get_load(
                    set_name, str(version.dataset_name), version.dataset_version
                )
            try:
                with self._turn(version, load, report):
                    self._score(version, load, pipeline, report, conclude)
                return
            except SetChanged:
                continue
        raise SetChanged()

    @contextmanager
    def _turn(self, version: ModelVersion, load: SetLoad, report: Report) -> Any:
        turn = ScoringTurn(self._database.connect, scoring_key(version.id, load))
        try:
            while not turn.take():
                report(0.0, "waits for another scoring of this set")
                time.sleep(PAUSE_S)
            yield
        finally:
            turn.end()

    def _score(
        self,
        version: ModelVersion,
        load: SetLoad,
        pipeline: Pipeline,
        report: Report,
        conclude: Conclude,
    ) -> None:
        with self._database.transaction():
            parts = self._sets.parts(load)
            stored = self._scorings.begin(version.id, load, parts)
        kind = TALLIES[load.dataset.task]
        tallies: Tallies = {ids: kind.of_json(tally) for ids, tally in stored.items()}
        self._score_parts(version, load, pipeline, parts, tallies, report)
        outcome = self._outcome(version, load, [tallies[ids] for ids in parts])

        def make_visible() -> None:
            if not self._sets.holds(load):
                raise SetChanged()
            self._scorings.complete(version.id, load, outcome.score.score, load.row_count)

        conclude(outcome, make_visible)

    def _score_parts(
        self,
        version: ModelVersion,
        load: SetLoad,
        pipeline: Pipeline,
        parts: list[range],
        tallies: Tallies,
        report: Report,
    ) -> None:
        """Score the parts that have no tally yet, and add theirs."""

        def tell() -> None:
            report(
                0.98 * len(tallies) / max(1, len(parts)),
                f"has scored {len(tallies)} of {len(parts)} parts of {load.row_count} rows",
            )

        # The BLAS's threads are the process's, OpenMP's those of each thread.
        with (
            threadpool_limits(1),
            ThreadPoolExecutor(self._threads, initializer=_limit_openmp) as pool,
        ):
            futures = {
                pool.submit(self._score_part, version, load, pipeline, ids): ids
                for ids in parts
                if ids not in tallies
            }
            try:
                tell()
                for future in as_completed(futures):
                    tallies[futures[future]] = future.result()
                    tell()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _score_part(
        self, version: ModelVersion, load: SetLoad, pipeline: Pipeline, ids: range
    ) -> ClassTally | NumberTally:
        dataset = load.dataset
        target = dataset.target.name
        with self._database.scope():
            with self._database.transaction():
                rows = self._sets.read_part(load, ids)
            predicted, probabilities = np.empty(0), None
            if len(rows):
                predicted, probabilities = predict_rows(
                    pipeline, features_of(rows, target), dataset.classes
                )
            labelled = labelled_rows(rows, target)
            tally = TALLIES[dataset.task].of(
                rows[target][labelled].to_list(), predicted[labelled].tolist()
            )
            with self._database.transaction():
                if not self._sets.holds(load):
                    raise SetChanged()
                self._scorings.store_part(
                    version.id,
                    load,
                    ids,
                    rows.index.to_numpy(dtype=np.int64),
                    predicted,
                    probabilities,
                    tally.as_json(),
                )
        return tally

    def _outcome(self, version: ModelVersion, load: SetLoad, tallies: list[Any]) -> BulkScore:
        dataset = load.dataset
        whole = TALLIES[dataset.task].together(tallies)
        if whole.labelled_rows == 0:
            raise ScoringFailed(NO_LABEL)
        metrics = whole.metrics()
        name = "r2" if dataset.task == "regression" else "accuracy"
        if name not in metrics:
            raise ScoringFailed("One row alone has a label, or the errors exceed all numbers.")
        if "mae" in metrics:
            with self._database.transaction():
                metrics["median_absolute_error"] = self._scorings.median_error(version.id, load)
        score = Score.of_set(load, version, metrics[name], metrics)
        return BulkScore(score, whole.confusion())


def _in_one_thread(pipeline: Pipeline) -> Pipeline:
    """Have no step start threads of its own, in place: the parts keep all cores busy."""
    own = {
        name: 1 for name in pipeline.get_params() if name == "n_jobs" or name.endswith("__n_jobs")
    }
    return pipeline.set_params(**own)


def _limit_openmp() -> None:
    threadpool_limits(1, user_api="openmp")
