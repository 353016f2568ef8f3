"""The tree-structured Parzen estimator: candidates near those that did well. Knows Optuna."""

import math
import warnings
from typing import Any

import optuna

from tracking.domain import SearchPlan
from tracking.service.search_space import Distribution, Values
from tracking.service.strategies import Round, Rounds

AT_ONCE = 4
"""Candidates per round. The same on every machine: the candidates depend on it."""

DRAWN_FIRST = 10
"""Candidates that are drawn at random before the estimator has enough to go by."""


def tpe_rounds(plan: SearchPlan, count: int) -> Rounds:
    """Yield `count` candidates in rounds, each chosen by the scores of all rounds before."""
    with warnings.catch_warnings():
        # It counts candidates of the same round, which have no score yet, as bad ones.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=plan.seed, n_startup_trials=DRAWN_FIRST, constant_liar=True
        )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    asked = 0
    while asked < count:
        trials = [study.ask() for _ in range(min(AT_ONCE, count - asked))]
        asked += len(trials)
        scores = yield Round([_values(trial, plan) for trial in trials])
        for trial, score in zip(trials, scores, strict=True):
            if not math.isfinite(score):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, score)


def _values(trial: optuna.Trial, plan: SearchPlan) -> Values:
    # In the order of names, as candidates of the other strategies.
    return {name: _value(trial, name, choices) for name, choices in sorted(plan.grid.items())}


def _value(trial: optuna.Trial, name: str, choices: Any) -> Any:
    if not isinstance(choices, dict):
        # Places: Optuna's choices cannot be lists or objects.
        return choices[trial.suggest_categorical(name, range(len(choices)))]
    given = Distribution.from_json(choices)
    if given.whole:
        return trial.suggest_int(
            name, *map(int, given.ends), log=given.log, step=int(given.step or 1)
        )
    return trial.suggest_float(name, given.low, given.high, log=given.log, step=given.step)
