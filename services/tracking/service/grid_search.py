"""One model's exhaustive search with cross-validation, and the checks before it.

Knows scikit-learn; knows neither MLflow nor the database.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid, StratifiedKFold

from modelkit.features import columns_of
from modelkit.pipeline import MODEL_STEP, build_pipeline, forget_rare_texts
from modelkit.registry import get_entry
from modelkit.validation import WHAT_IT_PREDICTS, check_grid
from modelkit.values import value_from_json
from servicekit.errors import Detail
from tracking.domain import Candidate, SearchOutcome, SearchPlan, TrainingSet
from tracking.errors import InvalidSearch, SearchFailed
from tracking.service.scoring import ErrorScorer, FoldScorer, error_metrics, weighted_metrics

SEED = 42
"""Seeds the shuffling of the folds; the estimators have their own in the registry."""

LONGEST_CANDIDATE = 7_000
"""Characters of JSON that the best candidate may have: it is kept in an MLflow tag (8000)."""

LONGEST_REASON = 1_000


def candidate_count(grid: Mapping[str, Sequence[Any]]) -> int:
    """Return how many candidates a grid has; an empty one has one, the defaults."""
    return math.prod(len(values) for values in grid.values())


def check_plans(
    models: Sequence[str], grids: Mapping[str, Mapping[str, Sequence[Any]]], max_candidates: int
) -> None:
    """Refuse what can be seen wrong before there is any data.

    Raises
    ------
    ModelNotFound, InvalidSearch
        An unknown model, one named twice, models of different tasks, a grid without its model, too
        many candidates.
    HyperparametersRefused
        A model has no such hyperparameter or refuses a value.
    """
    tasks = [get_entry(model).task for model in models]
    problems = [
        Detail("models", f"{model} is named more than once")
        for model in dict.fromkeys(models)
        if models.count(model) > 1
    ]
    problems += [
        Detail("models", f"{models[0]} predicts {WHAT_IT_PREDICTS[tasks[0]]}, {model} does not")
        for model, task in zip(models, tasks, strict=True)
        if task != tasks[0]
    ]
    for model, grid in grids.items():
        path = f"hyperparameters.{model}"
        if model not in models:
            problems.append(Detail(path, "has a grid but is not among the models"))
        elif candidate_count(grid) > max_candidates:
            problems.append(
                Detail(
                    path, f"has {candidate_count(grid)} candidates; {max_candidates} are allowed"
                )
            )
        elif len(_longest(grid)) > LONGEST_CANDIDATE:
            problems.append(Detail(path, f"values are longer than {LONGEST_CANDIDATE} characters"))
    if problems:
        raise InvalidSearch(
            "; ".join(f"{item.path}: {item.problem}" for item in problems[:3]),
            details=problems[:20],
        )
    for model, grid in grids.items():
        check_grid(model, grid)


def check_folds(folds: int, training_set: TrainingSet) -> None:
    """Raise `InvalidSearch` unless every fold can hold a row of every class.

    Of a regression each fold must hold two rows: one alone has no r2.
    """
    if training_set.task == "regression":
        most = len(training_set.labels) // 2
        if folds > most:
            problem = f"must be at most {most}, so that every fold has two rows"
            raise InvalidSearch(f"cv: {problem}.", details=[Detail("cv", problem)])
        return
    if folds > training_set.smallest_class:
        problem = f"must be at most {training_set.smallest_class}, the rows of the rarest class"
        raise InvalidSearch(f"cv: {problem}.", details=[Detail("cv", problem)])


def processors() -> int:
    """Return how many processors this process may use."""
    return int(joblib.cpu_count())


def search(plan: SearchPlan, training_set: TrainingSet, jobs: int) -> SearchOutcome:
    """Try every candidate and fit the best on all rows; the same input gives the same outcome.

    Fits run in `jobs` threads, one by default: fits of some hundred rows spend their time under
    Python's lock, and two threads take longer than one. Large sets leave the lock to the solvers;
    processes cost more to start and feed than small fits take (docs/adr/0006).

    Raises
    ------
    SearchFailed
        Every candidate fails; the message is the estimator's (or the scorer's) own reason.
    """
    pipeline = build_pipeline(
        plan.model_name, {}, columns_of(training_set.rows), training_set.classes
    )
    grid = {
        f"{MODEL_STEP}__{name}": [value_from_json(value, training_set.classes) for value in values]
        for name, values in plan.grid.items()
    }
    of_numbers = training_set.task == "regression"
    grid_search = GridSearchCV(
        pipeline,
        grid,
        scoring=ErrorScorer(plan.scoring)
        if of_numbers
        else FoldScorer(plan.scoring, training_set.labels),
        refit="score",
        cv=(KFold if of_numbers else StratifiedKFold)(plan.folds, shuffle=True, random_state=SEED),
        error_score=np.nan,
    )
    try:
        with joblib.parallel_config(backend="threading", n_jobs=jobs):
            grid_search.fit(training_set.rows, training_set.labels)
    except Exception as error:
        reason = _reason_of_failure(pipeline, grid, plan, training_set) or str(error)
        raise _failed(plan, reason) from error
    forget_rare_texts(grid_search.best_estimator_)
    results = grid_search.cv_results_
    if np.isnan(results["mean_test_score"]).all():
        why = _reason_of_failure(pipeline, grid, plan, training_set)
        raise _failed(plan, why or "no candidate has a score in every fold")
    values = _candidates(plan.grid)
    best = int(grid_search.best_index_)
    return SearchOutcome(
        plan=plan,
        pipeline=grid_search.best_estimator_,
        best=values[best],
        best_score=float(results["mean_test_score"][best]),
        metrics=(_out_of_fold_errors if of_numbers else _out_of_fold_metrics)(
            results, best, plan.folds, training_set.labels
        ),
        candidates=[
            Candidate(
                values=value,
                mean_score=_number(results["mean_test_score"][index]),
                std_score=_number(results["std_test_score"][index]),
                fit_s=float(results["mean_fit_time"][index]),
                rank=int(results["rank_test_score"][index]),
            )
            for index, value in enumerate(values)
        ],
        ended_ms=time.time_ns() // 1_000_000,
    )


def _out_of_fold_errors(
    results: Mapping[str, Any], best: int, folds: int, labels: Any
) -> dict[str, float]:
    absolute, squared, relative = (
        float(sum(results[f"split{fold}_test_{kind}"][best] for fold in range(folds)))
        for kind in ("absolute", "squared", "relative")
    )
    return error_metrics(labels, absolute, squared, relative)


def _out_of_fold_metrics(
    results: Mapping[str, Any], best: int, folds: int, _labels: Any
) -> dict[str, float]:
    classes = sum(name.startswith("mean_test_true_") for name in results)
    counts = {
        kind: np.array(
            [
                sum(results[f"split{fold}_test_{kind}_{label}"][best] for fold in range(folds))
                for label in range(classes)
            ]
        )
        for kind in ("right", "said", "true")
    }
    return weighted_metrics(**counts)


def _candidates(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the candidates in GridSearchCV's order, with the values as they came in the JSON."""
    places = ParameterGrid({name: list(range(len(values))) for name, values in grid.items()})
    return [{name: grid[name][place] for name, place in item.items()} for item in places]


def _reason_of_failure(
    pipeline: Any, grid: Mapping[str, Sequence[Any]], plan: SearchPlan, training_set: TrainingSet
) -> str | None:
    """Return why the first candidate fails, in the words of whoever refuses it."""
    candidate = clone(pipeline).set_params(**ParameterGrid(grid)[0])
    try:
        candidate.fit(training_set.rows, training_set.labels)
        get_scorer(plan.scoring)(candidate, training_set.rows, training_set.labels)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        return str(error) or type(error).__name__
    return None


def _failed(plan: SearchPlan, reason: str) -> SearchFailed:
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]}…"
    return SearchFailed(f"{plan.model_name}: {reason}", error="Every candidate failed")


def _longest(grid: Mapping[str, Sequence[Any]]) -> str:
    return json.dumps(
        {
            name: max(values, key=lambda value: len(json.dumps(value)))
            for name, values in grid.items()
        }
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
