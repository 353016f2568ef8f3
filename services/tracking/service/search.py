"""One model's search with cross-validation: every strategy, one loop.

Knows scikit-learn; knows neither MLflow nor the database.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from modelkit.features import columns_of
from modelkit.pipeline import build_pipeline, forget_rare_texts
from tracking.domain import (
    NESTED_MEAN,
    NESTED_STD,
    Candidate,
    SearchOutcome,
    SearchPlan,
    SearchWatcher,
    TrainingSet,
    Unwatched,
)
from tracking.errors import NothingFinished, SearchFailed
from tracking.service.fold_fits import Folds, FoldScores, shortened
from tracking.service.fold_workers import FoldWorkers, Task
from tracking.service.folds import folds_of, scored_labels
from tracking.service.scoring import ErrorScorer, FoldScorer, error_metrics, weighted_metrics
from tracking.service.search_space import Values
from tracking.service.strategies import Round, rounds_of

OUT_OF_TIME = "time budget"
CANCELLED = "cancelled"


def search(
    plan: SearchPlan,
    training_set: TrainingSet,
    jobs: int | None = 1,
    watcher: SearchWatcher | None = None,
    dask_address: str = "",
) -> SearchOutcome:
    """Try the candidates of a plan and fit the best on all rows.

    The same input gives the same outcome, unless time runs out or the watcher stops it: then it is
    that of the candidates that have finished. `jobs`, `dask_address`: see `FoldWorkers`.

    Raises
    ------
    SearchFailed
        Every candidate fails; the message is the estimator's (or the scorer's) own reason.
    NothingFinished
        It was stopped before a candidate had finished.
    ClusterUnavailable
        The Dask cluster does not answer.
    """
    watcher = watcher or Unwatched()
    ends_at = None
    if plan.time_budget_s is not None:
        ends_at = time.monotonic() + plan.time_budget_s - watcher.spent_s(plan.model_name)

    def begun(rows: TrainingSet, by: SearchWatcher) -> _Course:
        return _Course(plan, rows, jobs, by, ends_at, dask_address)

    course = begun(training_set, watcher)
    course.run()
    outcome = course.outcome()
    if plan.nested_folds is None or outcome.stopped:
        return outcome
    return _with_honest_score(outcome, training_set, watcher, begun)


def _with_honest_score(
    outcome: SearchOutcome,
    training_set: TrainingSet,
    watcher: SearchWatcher,
    begun: Callable[[TrainingSet, SearchWatcher], "_Course"],
) -> SearchOutcome:
    """Add how what such a search finds scores on rows that it has not seen.

    The best candidate's own score is too good, since it was chosen for it. In each outer fold the
    whole search is made again on the other rows. Without the scores if it is stopped meanwhile.
    """
    plan = outcome.plan
    scorer = scorer_of(plan, training_set)
    scores, processor_s = [], outcome.workers_processor_s
    outer_folds = folds_of(training_set, plan.nested_folds or 0)
    for number, (searched_on, scored_on) in enumerate(outer_folds, 1):
        course = begun(training_set.part(searched_on), _OuterFold(watcher, number))
        course.run()
        try:
            found = course.outcome()
        except NothingFinished:
            return replace(outcome, stopped=course.stopped)
        if found.stopped:
            return replace(outcome, stopped=found.stopped)
        held_out = training_set.rows.iloc[scored_on]
        try:
            score = scorer(found.pipeline, held_out, training_set.labels[scored_on])["score"]
        except Exception as error:
            raise SearchFailed(
                f"{plan.model_name}: outer fold {number}: {shortened(error)}"
            ) from error
        scores.append(score)
        processor_s += found.workers_processor_s
    honest = {NESTED_MEAN: float(np.mean(scores)), NESTED_STD: float(np.std(scores))}
    metrics = {name: value for name, value in honest.items() if math.isfinite(value)}
    return replace(
        outcome,
        metrics={**outcome.metrics, **metrics},
        workers_processor_s=processor_s,
        ended_ms=time.time_ns() // 1_000_000,
    )


class _OuterFold:
    """Who watches the search within an outer fold: keeps its candidates apart from the others'."""

    def __init__(self, watcher: SearchWatcher, number: int) -> None:
        self._watcher = watcher
        self._number = number

    def begun(self, model_name: str, candidates: int | None) -> None:
        """Say nothing: the whole search has told how many there are."""

    def known(self, model_name: str, key: str) -> Mapping[str, Any] | None:
        return self._watcher.known(model_name, self._own(key))

    def done(
        self, model_name: str, key: str, candidate: Candidate, scores: Mapping[str, Any]
    ) -> None:
        mine = replace(candidate, outer_fold=self._number)
        self._watcher.done(model_name, self._own(key), mine, scores)

    def stopping(self) -> bool:
        return self._watcher.stopping()

    def spent_s(self, model_name: str) -> float:
        return self._watcher.spent_s(model_name)

    def _own(self, key: str) -> str:
        return json.dumps({**json.loads(key), "outer_fold": self._number}, sort_keys=True)


def scorer_of(plan: SearchPlan, training_set: TrainingSet) -> Any:
    """Return what scores a plan's candidates, see `tracking.service.scoring`."""
    if training_set.task == "regression":
        return ErrorScorer(plan.scoring)
    return FoldScorer(plan.scoring, training_set.labels)


@dataclass(frozen=True)
class _Trial:
    """A candidate that was tried on so many rows; None: all."""

    values: Values
    key: str
    rows: int | None


class _Course:
    """One search under way."""

    def __init__(
        self,
        plan: SearchPlan,
        training_set: TrainingSet,
        jobs: int | None,
        watcher: SearchWatcher,
        ends_at: float | None,
        dask_address: str,
    ) -> None:
        self._plan = plan
        self._training_set = training_set
        self._watcher = watcher
        self._of_numbers = training_set.task == "regression"
        self._workers = FoldWorkers(
            scorer_of(plan, training_set),
            training_set.rows,
            training_set.labels,
            jobs,
            dask_address,
        )
        self._columns = columns_of(training_set.rows)
        self._ends_at = ends_at
        self._begun = 0
        self.stopped: str | None = None
        self._trials: list[_Trial] = []
        self._found: dict[str, FoldScores] = {}
        #: The labels that were predicted, by how many rows there were.
        self._labels: dict[int | None, NDArray[Any]] = {}

    def run(self) -> None:
        """Try the candidates, round by round."""
        with closing(self._workers):
            self._run()

    def _run(self) -> None:
        rounds, left = rounds_of(self._plan, self._training_set)
        searches = 1 + (self._plan.nested_folds or 0)
        self._watcher.begun(self._plan.model_name, left * searches)
        round_ = next(rounds, None)
        while round_ is not None:
            trials = self._try(round_, left)
            left -= len(round_.candidates)
            if self.stopped:
                return
            try:
                round_ = rounds.send([self._found[trial.key].mean for trial in trials])
            except StopIteration:
                return

    def _try(self, round_: Round, left: int) -> list[_Trial]:
        rows = None if round_.rows is None else len(round_.rows)
        trials = [_Trial(values, _key(values, rows), rows) for values in round_.candidates]
        folds = self._folds(round_.rows)
        self._trials += trials
        tasks: list[Task] = []
        for trial in {trial.key: trial for trial in trials}.values():
            if trial.key in self._found:
                continue
            kept = self._watcher.known(self._plan.model_name, trial.key)
            if kept is not None:
                self._found[trial.key] = FoldScores.from_json(kept)
                continue
            tasks.append((trial.key, self._pipeline(trial.values), folds))
        by_key = {trial.key: trial for trial in trials}
        for key, scores in self._workers.run(tasks, go_on=self._go_on, left=left):
            self._found[key] = scores
            self._watcher.done(
                self._plan.model_name, key, _candidate(by_key[key], scores), scores.to_json()
            )
        return trials

    def _go_on(self) -> bool:
        if self._watcher.stopping():
            self.stopped = CANCELLED
        # The first candidate is begun in any case: without one there is no outcome.
        elif (self._begun or self._found) and self._is_late():
            self.stopped = OUT_OF_TIME
        self._begun += 1
        return self.stopped is None

    def _is_late(self) -> bool:
        return self._ends_at is not None and time.monotonic() > self._ends_at

    def _folds(self, rows: NDArray[np.int64] | None) -> Folds:
        """Return row numbers of the training set, among `rows` only."""
        folds = folds_of(self._training_set, self._plan.folds, rows)
        count = None if rows is None else len(rows)
        self._labels[count] = scored_labels(self._training_set, folds)
        return folds

    def _pipeline(self, values: Mapping[str, Any]) -> Any:
        return build_pipeline(
            self._plan.model_name, values, self._columns, self._training_set.classes
        )

    def outcome(self) -> SearchOutcome:
        """Fit the best on all rows and say how all did."""
        tried = [trial for trial in self._trials if trial.key in self._found]
        if self._plan.strategy != "grid":
            # What was tried again, or on more rows, counts once: as it did last.
            last = {_key(trial.values): trial for trial in tried}
            tried = list(last.values())
        if not tried:
            raise NothingFinished(
                f"{self._plan.model_name}: the search was stopped before a candidate finished."
            )
        means = np.array([self._found[trial.key].mean for trial in tried])
        if np.isnan(means).all():
            reasons = [self._found[trial.key].reason for trial in tried]
            why = next((reason for reason in reasons if reason), None)
            raise self._failed(why or "no candidate has a score in every fold")
        ranks = _ranks(means, [trial.rows or math.inf for trial in tried])
        best = tried[int(np.argmin(ranks))]
        scores = self._found[best.key]
        try:
            pipeline = self._pipeline(best.values).fit(
                self._training_set.rows, self._training_set.labels
            )
        except Exception as error:
            raise self._failed(shortened(error)) from error
        forget_rare_texts(pipeline)
        return SearchOutcome(
            plan=self._plan,
            pipeline=pipeline,
            best=best.values,
            best_score=scores.mean,
            metrics=self._metrics(best, scores),
            candidates=[
                replace(_candidate(trial, self._found[trial.key]), rank=int(rank))
                for trial, rank in zip(tried, ranks, strict=True)
            ],
            ended_ms=time.time_ns() // 1_000_000,
            stopped=self.stopped,
            workers_processor_s=self._workers.workers_processor_s,
        )

    def _metrics(self, best: _Trial, scores: FoldScores) -> dict[str, float]:
        folds = [fold for fold in scores.folds if fold is not None]
        if not self._of_numbers:
            return _out_of_fold_metrics(folds)
        return _out_of_fold_errors(folds, self._labels[best.rows])

    def _failed(self, reason: str) -> SearchFailed:
        return SearchFailed(f"{self._plan.model_name}: {reason}", error="Every candidate failed")


def _key(values: Mapping[str, Any], rows: int | None = None) -> str:
    """Return what a candidate is known by, on so many rows: the same text in every attempt."""
    item = {"values": values} if rows is None else {"values": values, "rows": rows}
    return json.dumps(item, sort_keys=True)


def _candidate(trial: _Trial, scores: FoldScores) -> Candidate:
    found = np.array([scores.scores])
    with np.errstate(invalid="ignore"):
        mean = np.average(found, axis=1)
        std = np.sqrt(np.average((found - mean[:, None]) ** 2, axis=1))
    return Candidate(
        values=trial.values,
        mean_score=_number(mean[0]),
        std_score=_number(std[0]),
        fit_s=scores.fit_s,
        training_rows=trial.rows,
    )


def _ranks(means: NDArray[np.float64], rows: Sequence[float]) -> NDArray[np.int64]:
    """Return ranks from 1 on: what was tried on more rows first, then by mean score.

    Equal ones share a rank; what failed comes last.
    """
    ranks = np.full(len(means), 1 + np.count_nonzero(~np.isnan(means)))
    before = 0
    for count in sorted(set(rows), reverse=True):
        here = (np.array(rows) == count) & ~np.isnan(means)
        ranks[here] = before + rankdata(-means[here], method="min")
        before += int(np.count_nonzero(here))
    return ranks


def _out_of_fold_errors(
    folds: Sequence[Mapping[str, float]], labels: NDArray[Any]
) -> dict[str, float]:
    absolute, squared, relative = (
        float(sum(fold[kind] for fold in folds)) for kind in ("absolute", "squared", "relative")
    )
    return error_metrics(labels, absolute, squared, relative)


def _out_of_fold_metrics(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    classes = sum(name.startswith("true_") for name in folds[0])
    counts = {
        kind: np.array([sum(fold[f"{kind}_{label}"] for fold in folds) for label in range(classes)])
        for kind in ("right", "said", "true")
    }
    return weighted_metrics(**counts)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
