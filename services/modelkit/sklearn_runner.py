"""Predicts with the pipeline itself, for models that ONNX does not equal."""

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from modelkit import storage
from modelkit.servable import Predicted, Rows, ServingForm


class SklearnRunner:
    """Predicts by scikit-learn."""

    def __init__(self, form: ServingForm) -> None:
        self._columns = form.columns
        self._regression = form.task == "regression"
        self._pipeline = storage.loads(form.content)
        first = self._pipeline
        while isinstance(first, Pipeline):
            first = first.steps[0][1]
        self._by_name = hasattr(first, "feature_names_in_")
        if self._by_name and _takes_arrays(first) and _numeric(form):
            # Without the names it takes a plain array, with which they could only be compared.
            del first.feature_names_in_
            self._by_name = False

    def predict(self, rows: Rows) -> Predicted:
        """Predict rows that `InputRows` checked."""
        taken = self._frame(rows) if self._by_name else rows
        labels = np.asarray(self._pipeline.predict(taken)).tolist()
        if self._regression or not hasattr(self._pipeline, "predict_proba"):
            return Predicted(labels, None)
        return Predicted(labels, np.asarray(self._pipeline.predict_proba(taken), dtype=np.float64))

    def _frame(self, rows: Rows) -> Any:
        return frame_of(rows, self._columns)


def frame_of(rows: Rows, columns: Any) -> Any:
    """Return checked rows as a DataFrame with the columns' names and types."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=[column.name for column in columns])
    for column in columns:
        kind = _DTYPES[column.type]
        if frame[column.name].isna().any() and kind != "object":
            kind = "float64"
        frame[column.name] = frame[column.name].astype(kind)
    return frame


_DTYPES = {"double": "float64", "integer": "int64", "boolean": "bool", "string": "object"}


def _numeric(form: ServingForm) -> bool:
    return all(column.type != "string" for column in form.columns)


def _takes_arrays(first: Any) -> bool:
    """Tell whether the first step uses the columns' names for nothing but a comparison."""
    return not isinstance(first, ColumnTransformer | FeatureUnion)
