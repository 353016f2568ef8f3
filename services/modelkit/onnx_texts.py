"""ONNX nodes for text: imputed, encoded (one-hot, ordinal), missing, rare and unknown.

skl2onnx's own nodes stop at a value that the encoder does not know, where scikit-learn counts it
as a rare one or as none, and they know no missing text. They stay in use for all other encoders.
"""

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from skl2onnx.operator_converters.one_hot_encoder import convert_sklearn_one_hot_encoder
from skl2onnx.operator_converters.ordinal_encoder import convert_sklearn_ordinal_encoder
from skl2onnx.shape_calculators.one_hot_encoder import (
    calculate_sklearn_one_hot_encoder_output_shapes,
)
from skl2onnx.shape_calculators.ordinal_encoder import (
    calculate_sklearn_ordinal_encoder_output_shapes,
)
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from modelkit.onnx_nodes import Nodes, number_imputer, number_imputer_shapes
from modelkit.servable import MISSING_TEXT


def register() -> None:
    """Make skl2onnx use the nodes of this module, in this process."""
    update_registered_converter(SimpleImputer, "CellarImputer", _imputer_shapes, _imputer)
    update_registered_converter(OneHotEncoder, "CellarOneHotEncoder", _shapes, _encoder)
    update_registered_converter(
        OrdinalEncoder, "CellarOrdinalEncoder", _ordinal_shapes, _ordinal_encoder
    )


def _shapes(operator: Any) -> None:
    if not _is_of_texts(operator):
        calculate_sklearn_one_hot_encoder_output_shapes(operator)
        return
    width = sum(columns for _, columns, _ in _places(operator.raw_operator))
    count = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = DoubleTensorType([count, width])


def _encoder(scope: Any, operator: Any, container: Any) -> None:
    if not _is_of_texts(operator):
        convert_sklearn_one_hot_encoder(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container, texts=True)
    blocks = []
    for text, (place_of, columns, unknown) in zip(
        _columns(nodes, operator), _places(nodes.estimator), strict=True
    ):
        place = _place(nodes, text, place_of, unknown)
        # One row per place, and one without a 1 for what is in no column.
        rows = nodes.constant(np.eye(columns + 1)[:, :columns])
        flat = nodes("Reshape", place, nodes.constant([-1]))
        blocks.append(nodes("Gather", rows, flat, axis=0))
    nodes("Concat", *blocks, axis=1, output=nodes.outputs[0])


def _ordinal_shapes(operator: Any) -> None:
    if not _is_of_texts(operator):
        calculate_sklearn_ordinal_encoder_output_shapes(operator)
        return
    count = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = DoubleTensorType([count, _width(operator)])


def _ordinal_encoder(scope: Any, operator: Any, container: Any) -> None:
    if not _is_of_texts(operator):
        convert_sklearn_ordinal_encoder(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container, texts=True)
    unknown = int(nodes.estimator.unknown_value)
    numbers = [
        nodes("Cast", _place(nodes, text, place_of, unknown), to=TensorProto.DOUBLE)
        for text, (place_of, _, _) in zip(
            _columns(nodes, operator), _places(nodes.estimator), strict=True
        )
    ]
    nodes("Concat", *numbers, axis=1, output=nodes.outputs[0])


def _place(nodes: Nodes, text: str, place_of: dict[str, int], unknown: int) -> str:
    """Add the node that gives each text (n, 1) its place, and return the name of its output."""
    return nodes(
        "LabelEncoder",
        text,
        op_domain="ai.onnx.ml",
        op_version=2,
        keys_strings=list(place_of),
        values_int64s=list(place_of.values()),
        default_int64=unknown,
    )


def _imputer_shapes(operator: Any) -> None:
    if not isinstance(operator.inputs[0].type, StringTensorType):
        number_imputer_shapes(operator)
        return
    count = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = StringTensorType([count, _width(operator)])


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    if not isinstance(operator.inputs[0].type, StringTensorType):
        number_imputer(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container, texts=True)
    if nodes.estimator.missing_values is not None:
        raise NotImplementedError("Text that is missing in another way than as None.")
    columns = []
    for text, value in zip(_columns(nodes, operator), nodes.estimator.statistics_, strict=True):
        is_missing = nodes("Cast", _place(nodes, text, {MISSING_TEXT: 1}, 0), to=TensorProto.BOOL)
        columns.append(nodes("Where", is_missing, nodes.constant([[str(value)]]), text))
    nodes("Concat", *columns, axis=1, output=nodes.outputs[0])


def _width(operator: Any) -> int:
    """Return how many columns of text come in, each by itself or several in one input."""
    return sum(item.type.shape[1] for item in operator.inputs)


def _columns(nodes: Nodes, operator: Any) -> list[str]:
    """Return the name of each column of text (n, 1)."""
    columns = []
    for name, item in zip(nodes.inputs, operator.inputs, strict=True):
        width = item.type.shape[1]
        alone = width == 1
        columns += [
            name if alone else nodes("Gather", name, nodes.constant([place]), axis=1)
            for place in range(width)
        ]
    return columns


def _is_of_texts(operator: Any) -> bool:
    """Tell whether an encoder takes columns of text and lets unknown ones pass."""
    encoder = operator.raw_operator
    if isinstance(encoder, OrdinalEncoder):
        lets_pass = encoder.handle_unknown == "use_encoded_value" and not (
            np.isnan(encoder.unknown_value)
        )
    else:
        lets_pass = encoder.drop is None and (
            encoder.handle_unknown in ("ignore", "infrequent_if_exist")
        )
    return (
        lets_pass
        and all(isinstance(item.type, StringTensorType) for item in operator.inputs)
        and _width(operator) == len(encoder.categories_)
        and all(
            value is None or isinstance(value, str)
            for categories in encoder.categories_
            for value in categories
        )
    )


def _places(encoder: Any) -> list[tuple[dict[str, int], int, int]]:
    """Return for each column the place of its texts, how many there are, and that of unknown ones.

    What is in no column has the place behind the last. Rare texts share the last column.
    """
    found = []
    rare_ones = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    for categories, rare in zip(encoder.categories_, rare_ones, strict=True):
        rare_here = set() if rare is None else set(rare)
        own = [value for value in categories if value not in rare_here]
        columns = len(own) + bool(rare_here)
        shared = encoder.handle_unknown == "infrequent_if_exist" and rare_here
        place_of = {_text(value): place for place, value in enumerate(own)}
        place_of |= {_text(value): len(own) for value in rare_here}
        found.append((place_of, columns, len(own) if shared else columns))
    return found


def _text(value: str | None) -> str:
    return MISSING_TEXT if value is None else value
