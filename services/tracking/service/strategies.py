"""In which order candidates are tried, and on how many rows.

A strategy gives rounds of candidates and gets the mean score of each back. What it gives depends on
its plan and these scores alone, never on how many processors there are or which candidate
finishes first: the same search has the same outcome anywhere, and after an interruption.
See docs/adr/0018-search-strategies.md.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.domain import SearchPlan, TrainingSet
from tracking.service.folds import folds_problem
from tracking.service.search_space import (
    Values,
    all_candidates,
    candidate_count,
    drawn_candidates,
)

USUAL_CANDIDATES = 20
"""Candidates of a strategy that draws them, unless the request says how many."""

KEPT_SHARE = 3
"""Of so many candidates successive halving keeps one, and gives it so many times the rows."""

FEWEST_ROWS = 4
"""Rows per fold and class that the first round of successive halving has at least."""


@dataclass(frozen=True)
class Round:
    """Candidates that can be tried at the same time.

    `rows` are the numbers of the training rows that they are tried on; None: all.
    """

    candidates: Sequence[Values]
    rows: NDArray[np.int64] | None = None


Rounds = Generator[Round, list[float], None]
"""Gets the mean scores of each round's candidates, NaN where one failed."""


def planned_candidates(plan: SearchPlan) -> int:
    """Return how many different candidates a plan has at most."""
    total = candidate_count(plan.grid)
    if plan.strategy == "grid":
        if total is None:
            raise ValueError("A grid has no distributions.")
        return total
    if plan.n_candidates is None and plan.strategy == "halving" and total is not None:
        return total
    wanted = plan.n_candidates or USUAL_CANDIDATES
    return wanted if total is None else min(wanted, total)


def rounds_of(plan: SearchPlan, training_set: TrainingSet) -> tuple[Rounds, int]:
    """Return the rounds of a plan and how many times they try a candidate in all, at most."""
    count = planned_candidates(plan)
    if plan.strategy == "tpe":
        # Optuna is imported by those searches alone that ask it.
        from tracking.service.tpe import tpe_rounds

        return tpe_rounds(plan, count), count
    candidates = (
        all_candidates(plan.grid)
        if plan.strategy == "grid"
        else drawn_candidates(plan.grid, count, plan.seed)
    )
    if plan.strategy == "halving":
        halving = Halving(plan, training_set, candidates)
        return halving.rounds(), sum(halving.counts)
    return _at_once(candidates), len(candidates)


def _at_once(candidates: Sequence[Values]) -> Rounds:
    yield Round(candidates)


class Halving:
    """Successive halving: many candidates on few rows, the best of them on more, the last on all.

    The rows of a round are among those of the next, and hold each class in its share, though at
    least one row per fold.
    """

    def __init__(
        self, plan: SearchPlan, training_set: TrainingSet, candidates: Sequence[Values]
    ) -> None:
        self._candidates = list(candidates)
        self._plan = plan
        self._folds = plan.folds
        self._seed = plan.seed
        self._training_set = training_set
        count, rows = len(self._candidates), len(training_set.labels)
        groups = max(1, len(training_set.classes))
        most = min(_whole_log(count), _whole_log(rows // (FEWEST_ROWS * self._folds * groups)))
        halvings = 0
        while halvings < most and self._can_be_cut(KEPT_SHARE ** -(halvings + 1)):
            halvings += 1
        #: How many candidates each round has.
        self.counts = [math.ceil(count / KEPT_SHARE**place) for place in range(halvings + 1)]

    def rounds(self) -> Rounds:
        """Yield the rounds; a candidate that failed is not kept while others did not."""
        left = self._candidates
        last = len(self.counts) - 1
        for place, count in enumerate(self.counts):
            left = left[:count]
            share = KEPT_SHARE ** (place - last)
            scores = yield Round(left, None if place == last else self._rows(share))
            order = np.argsort(-np.nan_to_num(np.array(scores), nan=-math.inf), kind="stable")
            left = [left[index] for index in order]

    def _can_be_cut(self, share: float) -> bool:
        """Tell whether so small a share of the rows has folds; by class it always does."""
        training_set = self._training_set
        if training_set.fold_kind == training_set.plain_fold_kind:
            return True
        rows = self._rows(share)
        return folds_problem(training_set, self._plan.folds, [self._plan], rows) is None

    def _rows(self, share: float) -> NDArray[np.int64]:
        labels = self._training_set.labels
        random = np.random.default_rng(self._seed)
        if self._training_set.task == "regression":
            order = random.permutation(len(labels))
            return np.sort(order[: max(2 * self._folds, round(share * len(labels)))])
        parts = []
        for label in np.unique(labels):
            own = random.permutation(np.flatnonzero(labels == label))
            parts.append(own[: max(self._folds, round(share * len(own)))])
        return np.sort(np.concatenate(parts))


def _whole_log(number: int) -> int:
    """Return how often a whole number can be divided by `KEPT_SHARE` without falling below 1."""
    times = 0
    while number >= KEPT_SHARE:
        number //= KEPT_SHARE
        times += 1
    return times
