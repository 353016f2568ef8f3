"""What can be seen wrong with a search before it begins."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contracts.tracking import OptimizationRequest
from modelkit.pipeline import CALIBRATION_FOLDS
from modelkit.pipeline_choices import CALIBRATION
from modelkit.registry import get_entry
from modelkit.validation import WHAT_IT_PREDICTS, check_grid
from servicekit.errors import Detail
from tracking.domain import SearchPlan, TrainingSet
from tracking.errors import InvalidSearch
from tracking.service.folds import folds_of, folds_problem
from tracking.service.search_plans import plan_of
from tracking.service.search_space import distributions, ends
from tracking.service.strategies import planned_candidates

LONGEST_CANDIDATE = 7_000
"""Characters of JSON that the best candidate may have: it is kept in an MLflow tag (8000)."""


def check_request(request: OptimizationRequest, max_candidates: int) -> None:
    """Refuse what can be seen wrong before there is any data.

    Raises
    ------
    ModelNotFound, InvalidSearch
        An unknown model, one named twice, models of different tasks, a grid without its model, too
        many candidates, or what the strategy or the task has no use for.
    HyperparametersRefused
        A model has no such hyperparameter or refuses a value.
    """
    models = request.models
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
    problems += [
        Detail(f"hyperparameters.{model}", "has a grid but is not among the models")
        for model in request.hyperparameters
        if model not in models
    ]
    if request.strategy == "grid" and request.n_candidates is not None:
        problems.append(
            Detail("n_candidates", "has no use in a grid, which tries all; choose another strategy")
        )
    if request.calibration and tasks[0] == "regression":
        problems.append(
            Detail("calibration", "is of probabilities, which a regression has none of")
        )
    plans = [plan_of(request, model) for model in dict.fromkeys(models)]
    for plan in plans:
        problems += _plan_problems(plan, max_candidates)
    if problems:
        raise InvalidSearch(
            "; ".join(f"{item.path}: {item.problem}" for item in problems[:3]),
            details=problems[:20],
        )
    for plan in plans:
        check_grid(plan.model_name, ends(plan.grid))


def _plan_problems(plan: SearchPlan, max_candidates: int) -> list[Detail]:
    path = f"hyperparameters.{plan.model_name}"
    drawn = distributions(plan.grid)
    if plan.strategy == "grid" and drawn:
        problem = "is a distribution; give a list of values, or another strategy than grid"
        return [Detail(f"{path}.{name}", problem) for name in drawn]
    count = planned_candidates(plan)
    if count > max_candidates:
        return [Detail(path, f"has {count} candidates; {max_candidates} are allowed")]
    if len(_longest(ends(plan.grid))) > LONGEST_CANDIDATE:
        return [Detail(path, f"values are longer than {LONGEST_CANDIDATE} characters")]
    return []


def check_rows(request: OptimizationRequest, training_set: TrainingSet) -> None:
    """Raise `InvalidSearch` unless every fold can hold a row of every class.

    Of a regression each fold must hold two rows: one alone has no r2. The same goes for the folds
    within the outer ones of a nested cross-validation, and within those a calibration learns from.
    Where folds follow something else than the classes, those are looked at that there will be.
    """
    regression = training_set.task == "regression"
    if not regression and len(np.unique(training_set.labels)) < 2:
        raise InvalidSearch(
            f"The training set of {training_set.dataset_name} has one class; at least two are"
            " needed. Load it with other rows."
        )
    if training_set.fold_kind != training_set.plain_fold_kind:
        _check_folds(request, training_set)
        return
    rows = len(training_set.labels) // 2 if regression else training_set.smallest_class
    if rows < 2:
        raise InvalidSearch(
            "The training set has too few rows to be cut into folds: bring more rows."
            if regression
            else "The rarest class has one row in the training set, and every fold needs one: bring"
            " more rows of it, or a table without it."
        )
    what = "so that every fold has two rows" if regression else "the rows of the rarest class"
    outer = request.nested_cv
    if outer is not None:
        if outer > rows:
            raise _refused("nested_cv", f"must be at most {rows}, {what}")
        rows = _rows_left(rows, outer)
        what = f"{what} beside an outer fold"
    if request.cv > rows:
        raise _refused("cv", f"must be at most {rows}, {what}")
    calibrated = any(
        any(plan_of(request, model).grid.get(CALIBRATION, ())) for model in request.models
    )
    if calibrated and _rows_left(rows, request.cv) < CALIBRATION_FOLDS:
        raise _refused(
            CALIBRATION,
            f"needs {CALIBRATION_FOLDS} rows of each class beside a fold; the rarest class has too"
            f" few for cv {request.cv}",
        )


def _check_folds(request: OptimizationRequest, training_set: TrainingSet) -> None:
    plans = [plan_of(request, model) for model in request.models]
    outer = request.nested_cv
    parts = [training_set]
    if outer is not None:
        problem = folds_problem(training_set, outer, plans)
        if problem:
            raise _refused("nested_cv", f"{problem} ({training_set.fold_kind} folds)")
        parts += [training_set.part(rows) for rows, _ in folds_of(training_set, outer)]
    for number, part in enumerate(parts):
        problem = folds_problem(part, request.cv, plans)
        if problem:
            where = f" beside outer fold {number} of {outer}" if number else ""
            raise _refused(
                "cv",
                f"{problem}{where} ({training_set.fold_kind} folds); take fewer, or others by"
                " 'folds'",
            )


def _rows_left(rows: int, folds: int) -> int:
    """Return how many of `rows` are left beside the largest of so many folds."""
    return rows - math.ceil(rows / folds)


def _refused(path: str, problem: str) -> InvalidSearch:
    return InvalidSearch(f"{path}: {problem}.", details=[Detail(path, problem)])


def _longest(grid: Mapping[str, Sequence[Any]]) -> str:
    return json.dumps(
        {
            name: max(values, key=lambda value: len(json.dumps(value)))
            for name, values in grid.items()
        }
    )
