"""A fitted scikit-learn pipeline as an ONNX graph.

skl2onnx walks the pipeline; the nodes of some estimators are our own (`modelkit.onnx_nodes`).
For the process that prepares a version, never for one that serves.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from skl2onnx import convert_sklearn
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import _converter_pool
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.pipeline import Pipeline

from modelkit import onnx_nodes, onnx_texts, onnx_times
from modelkit.input_rows import ColumnType, InputColumn
from modelkit.servable import MATRIX_INPUT

onnx_nodes.register()
onnx_texts.register()
onnx_times.register()


class NotConvertible(Exception):
    """This pipeline has no ONNX graph; the text says why."""


def to_onnx(pipeline: Any, columns: Sequence[InputColumn], *, double: bool) -> bytes:
    """Return the graph of a fitted pipeline or estimator.

    `double`: float64 throughout, which not every converter of skl2onnx can; else float32. Columns
    that are all numbers become one input (n, k), otherwise each becomes an input (n, 1) of its
    type (truth values and whole numbers that may be missing: numbers). Outputs are the labels and,
    where the model has them, the probabilities.

    Raises
    ------
    NotConvertible
        A part of the pipeline has no converter, or its converter refuses.
    """
    try:
        with warnings.catch_warnings():
            # It reads attributes that scikit-learn is about to rename.
            warnings.simplefilter("ignore")
            graph = convert_sklearn(
                pipeline,
                initial_types=_initial_types(columns, double),
                options=_options(pipeline),
            )
    # skl2onnx has no exception of its own for all that it cannot do.
    except Exception as error:
        raise NotConvertible(str(error) or type(error).__name__) from error
    if not hasattr(pipeline, "predict_proba"):
        # What is left are scores, which nobody asks for.
        del graph.graph.output[1:]
    content: bytes = graph.SerializeToString()
    return content


def _initial_types(columns: Sequence[InputColumn], double: bool) -> list[tuple[str, Any]]:
    number = DoubleTensorType if double else FloatTensorType
    if all(column.type != "string" for column in columns):
        return [(MATRIX_INPUT, number([None, len(columns)]))]
    kinds = {
        "double": number,
        "integer": Int64TensorType,
        "boolean": BooleanTensorType,
        "string": StringTensorType,
        # Days since 1970.
        "datetime": number,
    }
    return [
        # Of ONNX's types only its floats have a value for what is missing.
        (column.name, kinds[_type(column)]([None, 1]))
        for column in columns
    ]


def _type(column: InputColumn) -> ColumnType:
    may_be_missing = column.type in ("integer", "boolean") and not column.required
    return "double" if may_be_missing else column.type


def _options(pipeline: Any) -> dict[int, dict[str, bool]] | None:
    """Ask for probabilities as an array, not as a list of dictionaries."""
    last = pipeline.steps[-1][1] if isinstance(pipeline, Pipeline) else pipeline
    alias = sklearn_operator_name_map.get(type(last))
    allowed = _converter_pool[alias].get_allowed_options() if alias else None
    return {id(last): {"zipmap": False}} if allowed and "zipmap" in allowed else None
