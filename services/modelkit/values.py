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
        by_text = {text: label for label in classes for text in _texts(label)}
        return {_key(key, by_text): value_from_json(item, classes) for key, item in value.items()}
    if isinstance(value, list):
        return [value_from_json(item, classes) for item in value]
    return value


def _texts(label: Any) -> set[str]:
    """Return how a class may be written as a key: as Python and as JSON write it, 2.0 also as 2."""
    texts = {str(label)}
    if isinstance(label, bool):
        texts.add(str(label).lower())
    elif isinstance(label, float) and label.is_integer():
        texts.add(str(int(label)))
    return texts


def _key(key: str, by_text: Mapping[str, Any]) -> Any:
    if key in by_text:
        return by_text[key]
    digits = key.removeprefix("-")
    return int(key) if digits.isascii() and digits.isdigit() and len(digits) < 19 else key
