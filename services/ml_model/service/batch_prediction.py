"""Predict checked rows with a chosen version."""

from collections.abc import Sequence
from typing import Any

from ml_model.domain import reason
from ml_model.errors import PredictionFailed
from modelkit.servable import Predicted, ServableModel


def checked_rows(model: ServableModel, rows: Sequence[Any]) -> Any:
    """Return rows given as lists or records as the model takes them; raises `InvalidRows`."""
    if rows and isinstance(rows[0], dict):
        return model.rows_from_records(rows, path="data")
    return model.rows_from_lists(rows, path="data")


def predict(model: ServableModel, rows: Any) -> Predicted:
    """Predict.

    Raises
    ------
    PredictionFailed
        The model refuses; its reason is passed on.
    """
    try:
        return model.predict(rows)
    # Whatever a model of anyone's raises: the errors of onnxruntime have no common ancestor.
    except Exception as error:
        raise PredictionFailed(reason(error)) from error


def json_rows(model: ServableModel, rows: Any) -> list[list[Any]]:
    """Return checked rows as JSON values, None where a value is missing."""
    listed = model.json_rows(rows)
    return [[None if value != value else value for value in row] for row in listed]


def class_name_of(model: ServableModel) -> dict[str, str]:
    """Return what people call each class, by the class as text."""
    return {str(label): name for label, name in zip(model.classes, model.class_names, strict=True)}
