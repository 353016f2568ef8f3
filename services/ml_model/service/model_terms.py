"""A dataset's columns and labels in the terms of a model: its columns, its classes, its numbers."""

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

from ml_model.service.batch_prediction import class_name_of
from modelkit.servable import ServableModel
from schema.sets import Dataset

_GENERATED = re.compile(r"x\d+")


def columns_for(model: ServableModel, features: Sequence[str]) -> list[str] | None:
    """Return the features in the order of the model's columns; None where they are others.

    A model whose columns have no names (x0, x1, ...) takes as many features in their own order.
    """
    names = [column.name for column in model.columns]
    if set(names) == set(features):
        return names
    if len(names) == len(features) and all(map(_GENERATED.fullmatch, names)):
        return list(features)
    return None


def as_number(label: Any) -> float | None:
    """Return a JSON value as the finite number that it is; None for any other, also true."""
    if isinstance(label, bool) or not isinstance(label, int | float):
        return None
    try:
        number = float(label)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def class_text(model: ServableModel, label: Any, dataset: Dataset | None = None) -> str:
    """Return a label as the text of the class that it means.

    A label may be the class, a number equal to it, what people call it, or a class of the dataset
    whose name is one of these. Any other label is returned as it is, as text.
    """
    known = {str(known) for known in model.classes}
    class_of = {name: label for label, name in class_name_of(model).items()}
    text = as_written(label, known)
    names = [text]
    if dataset is not None and dataset.class_names is not None and label in dataset.classes:
        names.append(dataset.class_names[dataset.classes.index(label)])
    for name in names:
        if name in known:
            return name
        if name in class_of:
            return class_of[name]
    return text


def as_written(label: Any, known: Collection[str]) -> str:
    """Return a class as text; 1 and 1.0 are the same class."""
    text = str(label)
    if isinstance(label, str) and set(known) == {"True", "False"} and text in ("true", "false"):
        # As JSON and our own exports have it.
        return text.capitalize()
    if text in known or isinstance(label, str | bool):
        return text
    other = str(int(label)) if isinstance(label, float) and label == int(label) else None
    if isinstance(label, int):
        other = str(float(label))
    return other if other is not None and other in known else text
