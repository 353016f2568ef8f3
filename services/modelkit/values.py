"""Hyperparameters between JSON and Python.

null, true/false, whole numbers, floats, strings and lists are themselves. Only an object's keys
change: JSON has string keys, while classes may be numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def from_json(hyperparameters: Mapping[str, Any], classes: Sequence[Any] = ()) -> dict[str, Any]:
    """Return hyperparameters as the estimator takes them.

    Keys of objects (`class_weight`) become the class whose text they are. Without `classes`, a
    key that is a whole number becomes an int.
    """
    return {name: value_from_json(value, classes) for name, value in hyperparameters.items()}


def value_from_json(value: Any, classes: Sequence[Any] = ()) -> Any:
    """Return one hyperparameter as the estimator takes it; see `from_json`."""
    if isinstance(value, Mapping):
        by_text = {str(label): label for label in classes}
        return {_key(key, by_text): value_from_json(item, classes) for key, item in value.items()}
    if isinstance(value, list):
        return [value_from_json(item, classes) for item in value]
    return value


def _key(key: str, by_text: Mapping[str, Any]) -> Any:
    if key in by_text:
        return by_text[key]
    digits = key.removeprefix("-")
    return int(key) if digits.isascii() and digits.isdigit() and len(digits) < 19 else key
