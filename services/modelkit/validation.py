"""Are these hyperparameters the estimator's own? Asked before anything is stored or fitted.

Names, types and ranges are scikit-learn's (`_parameter_constraints`), so the reason is the
estimator's own sentence; our bounds (`modelkit.registry.Limit`) come on top.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

from modelkit.errors import HyperparametersRefused, ModelOfAnotherTask
from modelkit.pipeline_choices import CHOICES, choice_problem
from modelkit.registry import ModelEntry, get_entry, models_of
from modelkit.values import value_from_json
from servicekit.errors import Detail

LONGEST_VALUE = 200
LONGEST_JSON = 4_000
"""MLflow keeps the JSON in a tag, which takes 8,000 characters."""


WHAT_IT_PREDICTS = {"classification": "classes", "regression": "numbers"}


def check_task(model_name: str, task: str, dataset_name: str) -> None:
    """Refuse a model that does not predict what a dataset's target is.

    Raises
    ------
    ModelNotFound
        The registry has no such model.
    ModelOfAnotherTask
        It is of another task than the dataset; the message names the models that fit.
    """
    own = get_entry(model_name).task
    if own != task:
        raise ModelOfAnotherTask(
            f"{dataset_name} is a {task}, and {model_name} predicts {WHAT_IT_PREDICTS[own]}. Please"
            f" Specify {models_of(task)}"
        )


def check_hyperparameters(model_name: str, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse what the pipeline cannot be made of (`modelkit.pipeline_choices` among it).

    Raises
    ------
    ModelNotFound
        The registry has no such model.
    HyperparametersRefused
        They are too long, a name is unknown, or a value is of the wrong type, out of range, beyond
        our bounds or impossible beside the others. The message passes the reason on; `details`
        names each.
    """
    entry = get_entry(model_name)
    if len(json.dumps(hyperparameters)) > LONGEST_JSON:
        raise HyperparametersRefused(f"They are longer than {LONGEST_JSON} characters of JSON.")
    parameters = entry.make({}).get_params(deep=False)
    problems = [
        Detail(f"hyperparameters.{name}", problem)
        for name, value in hyperparameters.items()
        if (problem := _problem(entry, parameters, name, value))
    ]
    if not problems:
        together = entry.combination_problem({**parameters, **hyperparameters})
        if together:
            problems = [Detail("hyperparameters", together)]
    _refuse(problems)


def check_grid(model_name: str, grid: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a search grid with a name or a value that no candidate could have.

    Each value is looked at by itself: which combinations an estimator refuses shows in the search.

    Raises
    ------
    ModelNotFound, HyperparametersRefused
        As `check_hyperparameters`.
    """
    entry = get_entry(model_name)
    parameters = entry.make({}).get_params(deep=False)
    _refuse(
        [
            Detail(f"hyperparameters.{model_name}.{name}", problem)
            for name, values in grid.items()
            for value in values
            if (problem := _problem(entry, parameters, name, value))
        ]
    )


def _refuse(problems: list[Detail]) -> None:
    if problems:
        reasons = "; ".join(dict.fromkeys(detail.problem for detail in problems[:5]))
        raise HyperparametersRefused(reasons, details=problems[:20])


def _problem(entry: ModelEntry, parameters: Mapping[str, Any], name: str, value: Any) -> str | None:
    """Return what is wrong with one value, in one sentence, or None."""
    if name in CHOICES:
        return choice_problem(name, value, entry.task)
    if name not in parameters:
        return f"{entry.name} has no hyperparameter {name!r}; it has {', '.join(parameters)}."
    estimator = type(entry.make({}))
    constraints: Mapping[str, Any] = getattr(estimator, "_parameter_constraints", {})
    allowed = constraints.get(name, "no_validation")
    if isinstance(value, bool) and allowed != "no_validation" and not _takes_booleans(allowed):
        # Python counts true as 1; JSON does not.
        return f"The {name!r} parameter of {entry.name} must not be true or false."
    try:
        validate_parameter_constraints(constraints, {name: value_from_json(value)}, entry.name)
    except InvalidParameterError as error:
        return _shortened(str(error))
    limit = entry.limits.get(name)
    if limit is not None and isinstance(value, int | float) and not isinstance(value, bool):
        problem = limit.problem(value)
        if problem:
            return f"The {name!r} parameter of {entry.name} {problem}. Got {value!r} instead."
    return None


def _takes_booleans(allowed: Sequence[Any]) -> bool:
    return any(
        constraint in ("boolean", "verbose") for constraint in allowed if _is_text(constraint)
    )


def _is_text(constraint: Any) -> bool:
    return isinstance(constraint, str)


def _shortened(reason: str) -> str:
    return reason if len(reason) <= 2 * LONGEST_VALUE else f"{reason[: 2 * LONGEST_VALUE]}…"
