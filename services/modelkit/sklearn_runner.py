"""Predicts with the pipeline itself: the measure of ONNX, and what serves in its place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from modelkit import storage
from modelkit.input_rows import InputColumn
from modelkit.servable import Predicted, Rows, ServingForm
from schema.day_numbers import times_of_days

_DTYPES = {"double": "float64", "integer": "int64", "boolean": "bool", "string": "object"}


class SklearnRunner:
    """Predicts by scikit-learn, with a DataFrame where the pipeline was fitted on one."""

    def __init__(self, pipeline: Any, columns: Sequence[InputColumn], task: str) -> None:
        self._pipeline = pipeline
        self._columns = columns
        self._text = any(column.type == "string" for column in columns)
        self._framed = hasattr(first_step(pipeline), "feature_names_in_")
        self._probabilities = task == "classification" and hasattr(pipeline, "predict_proba")

    def predict(self, rows: Rows) -> Predicted:
        """Predict rows that `InputRows` checked."""
        taken = self._taken(rows)
        labels = np.asarray(self._pipeline.predict(taken)).tolist()
        if not self._probabilities:
            return Predicted(labels, None)
        return Predicted(labels, np.asarray(self._pipeline.predict_proba(taken), dtype=np.float64))

    def _taken(self, rows: Rows) -> Any:
        if self._framed:
            return frame_of(rows, self._columns)
        return np.array(rows, dtype=object) if self._text else rows


def runner_of(form: ServingForm) -> SklearnRunner:
    """Return what predicts with a stored form of the runtime sklearn.

    Raises
    ------
    modelkit.storage.ModelNotTrusted
        The pipeline holds types beyond our list.
    """
    pipeline = storage.loads(form.content)
    first = first_step(pipeline)
    numeric = all(column.type not in ("string", "datetime") for column in form.columns)
    if numeric and hasattr(first, "feature_names_in_") and not _selects(first):
        # Names that are only compared cost a DataFrame per prediction. The pipeline is our copy.
        del first.feature_names_in_
    return SklearnRunner(pipeline, form.columns, form.task)


def first_step(pipeline: Any) -> Any:
    """Return the estimator that sees the raw columns."""
    while isinstance(pipeline, Pipeline):
        pipeline = pipeline.steps[0][1]
    return pipeline


def frame_of(rows: Rows, columns: Sequence[InputColumn]) -> Any:
    """Return checked rows as a DataFrame of the columns' names and types."""
    # Here alone: processes that serve ONNX only do without it.
    import pandas as pd

    frame = pd.DataFrame(rows, columns=[column.name for column in columns])
    kinds = {
        column.name: "float64"
        if column.type in ("integer", "boolean") and frame[column.name].isna().any()
        else _DTYPES[column.type]
        for column in columns
        if column.type != "datetime"
    }
    for column in columns:
        if column.type == "datetime":
            frame[column.name] = times_of_days(frame[column.name].to_numpy(np.float64))
    return frame.astype(kinds)


def _selects(first: Any) -> bool:
    """Tell whether a first step looks columns up by their names."""
    return isinstance(first, ColumnTransformer | FeatureUnion)
