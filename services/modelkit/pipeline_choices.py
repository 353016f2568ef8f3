"""What can be chosen about a pipeline beside its estimator's own hyperparameters.

The choices stand among the hyperparameters, under names that no estimator has. So they go wherever
these go (requests, tags, the database, fingerprints), and whoever trains from them gets the same
pipeline. What is not named takes the first value, which is what every pipeline has by default.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PREPROCESSING = "preprocessing."
IMPUTATION = f"{PREPROCESSING}numeric_imputation"
SCALING = f"{PREPROCESSING}scaling"
TEXT_IMPUTATION = f"{PREPROCESSING}category_imputation"
ENCODING = f"{PREPROCESSING}category_encoding"
CALIBRATION = "calibration"

CHOICES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        IMPUTATION: ("median", "mean", "most_frequent"),
        SCALING: ("standard", "minmax", "robust", "none"),
        TEXT_IMPUTATION: ("constant", "most_frequent"),
        ENCODING: ("one_hot", "ordinal"),
        CALIBRATION: (None, "sigmoid", "isotonic"),
    }
)
"""The values of each choice, its default first."""


def split_choices(hyperparameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the estimator's own hyperparameters, and every choice with its value."""
    own = {name: value for name, value in hyperparameters.items() if name not in CHOICES}
    chosen = {name: hyperparameters.get(name, values[0]) for name, values in CHOICES.items()}
    return own, chosen


def choice_problem(name: str, value: Any, task: str) -> str | None:
    """Say what is wrong with the value of a choice for a model of this task, or None."""
    values = CHOICES[name]
    if not (value is None or isinstance(value, str)) or value not in values:
        listed = ", ".join("null" if item is None else repr(item) for item in values)
        return f"{name} must be one of {listed}. Got {value!r} instead."
    if name == CALIBRATION and value is not None and task == "regression":
        return "calibration is of probabilities, which a regression has none of."
    return None
