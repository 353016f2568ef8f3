"""What can be seen wrong with a search before it begins."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelkit.registry import get_entry
from modelkit.validation import WHAT_IT_PREDICTS, check_grid
from servicekit.errors import Detail
from tracking.domain import TrainingSet
from tracking.errors import InvalidSearch
from tracking.service.search_space import candidate_count

LONGEST_CANDIDATE = 7_000
"""Characters of JSON that the best candidate may have: it is kept in an MLflow tag (8000)."""


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
        elif (count := candidate_count(grid) or 0) > max_candidates:
            problems.append(Detail(path, f"has {count} candidates; {max_candidates} are allowed"))
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


def _longest(grid: Mapping[str, Sequence[Any]]) -> str:
    return json.dumps(
        {
            name: max(values, key=lambda value: len(json.dumps(value)))
            for name, values in grid.items()
        }
    )
