"""From what MLflow keeps of a model to the form it is served in: the part that needs scikit-learn.

A function of its arguments alone, without MLflow, SQL or HTTP.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from ml_model.domain import reason
from ml_model.errors import ModelRefused
from ml_model.held_out import HeldOut
from ml_model.mlmodel_file import Description, Example
from modelkit import storage
from modelkit.drawn_rows import draw_rows
from modelkit.input_rows import InputColumn, InputRows, InvalidRows
from modelkit.parity import make_serving_form
from modelkit.pipeline_columns import input_columns
from modelkit.servable import Rows, ServableModel, ServingForm

EXAMPLE_SOURCE = "input example and rows drawn around it"
DRAWN_SOURCE = "rows drawn at random (the model has no input example)"


@dataclass(frozen=True)
class MadeForm:
    """The form, and the name of the estimator in it."""

    form: ServingForm
    model_name: str


def make_form(
    content: bytes,
    description: Description,
    example: Example | None,
    held_out: HeldOut | None,
    *,
    allow_pickled: bool,
) -> MadeForm:
    """Return the form of a stored model that loads, and predicts its own input example.

    Compared on `held_out`, where these rows have the model's columns, else on rows drawn around
    the example.

    Raises
    ------
    ModelRefused
        It does not load, is no classifier or regression of one target, or fails its example.
    """
    pipeline = _load(content, description, allow_pickled=allow_pickled)
    if not (is_classifier(pipeline) or is_regressor(pipeline)):
        raise ModelRefused("It is neither a classifier nor a regression.")
    if is_classifier(pipeline) and np.ndim(pipeline.classes_) != 1:
        raise ModelRefused("It predicts several targets at once.")
    columns = input_columns(pipeline, description.columns)
    if not columns:
        raise ModelRefused("Neither its signature nor the model itself says what columns it takes.")
    checked = _checked(columns, example)
    if held_out is not None and _as_compared(held_out.columns) == _as_compared(columns):
        rows, source = held_out.values, held_out.source
    else:
        rows, source = _drawn(columns, checked), EXAMPLE_SOURCE if checked else DRAWN_SOURCE
    names = _class_names(pipeline, description, held_out)
    try:
        form = make_serving_form(pipeline, columns, rows, names, source)
        _try(ServableModel(form), _formed(columns, checked) if checked else rows)
    except storage.ModelNotTrusted as error:
        raise ModelRefused(error.message) from error
    except ModelRefused:
        raise
    # Whatever the model's own code raises.
    except Exception as error:
        raise ModelRefused(f"It does not predict its own input example: {reason(error)}") from error
    return MadeForm(form, type(_last_step(pipeline)).__name__)


def _load(content: bytes, description: Description, *, allow_pickled: bool) -> Any:
    if description.serialization_format == storage.SERIALIZATION_FORMAT:
        try:
            return storage.loads(content)
        except storage.ModelNotTrusted as error:
            raise ModelRefused(error.message, error=error.error) from error
    if not allow_pickled:
        raise ModelRefused(
            f"It is stored as {description.serialization_format}, and loading that runs whatever"
            " code the file holds. Log it with serialization_format='skops', or set"
            " CELLAR_ALLOW_PICKLED_MODELS=true if you trust everybody who can write to MLflow.",
            error="Model not trusted",
        )
    try:
        return pickle.loads(content)  # noqa: S301 - the operator allowed it
    except Exception as error:
        raise ModelRefused(f"It does not load: {reason(error)}") from error


def _checked(columns: Sequence[InputColumn], example: Example | None) -> list[list[Any]]:
    """Return the example's rows as lists in the order of the columns."""
    if example is None:
        return []
    inputs = InputRows(columns)
    try:
        if not example.by_name:
            inputs.from_lists(example.rows, path="input_example")
            return [list(row) for row in example.rows]
        inputs.from_records(example.rows, path="input_example")
    except InvalidRows as error:
        raise ModelRefused(
            f"Its own input example does not fit its signature: {error.message}",
            details=error.details,
        ) from error
    return [[row.get(column.name) for column in columns] for row in example.rows]


def _as_compared(columns: Sequence[InputColumn]) -> list[tuple[str, str]]:
    """Return names and what is text or a time: rows of the one are then rows of the other."""
    kinds = ("string", "datetime")
    return [(column.name, column.type if column.type in kinds else "number") for column in columns]


def _drawn(columns: Sequence[InputColumn], example: list[list[Any]]) -> Rows:
    return _formed(columns, draw_rows(columns, example))


def _formed(columns: Sequence[InputColumn], rows: list[list[Any]]) -> Rows:
    return InputRows(columns).from_lists(rows)


def _try(model: ServableModel, rows: Rows) -> None:
    """Let the form predict; what it says must be numbers that JSON has."""
    predicted = model.predict(rows)
    values = predicted.probabilities if model.task == "classification" else predicted.labels
    if values is not None and not np.isfinite(values).all():
        raise ModelRefused("It predicts NaN or infinity for its own input example.")


def _class_names(
    pipeline: Any, description: Description, held_out: HeldOut | None
) -> list[str] | None:
    """Return names parallel to the pipeline's classes, or None where nobody gave any."""
    if not is_classifier(pipeline):
        return None
    classes = [str(label) for label in np.asarray(pipeline.classes_).tolist()]
    if description.class_names is not None and len(description.class_names) == len(classes):
        return list(description.class_names)
    known = held_out.class_names if held_out is not None else {}
    return [known.get(label, label) for label in classes]


def _last_step(pipeline: Any) -> Any:
    while isinstance(pipeline, Pipeline):
        pipeline = pipeline.steps[-1][1]
    return pipeline
