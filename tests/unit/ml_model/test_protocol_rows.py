"""Rows of foreign protocols become rows of the model, or an error that says where."""

from typing import Any

import numpy as np
import pytest

from contracts.predictions import InvocationsRequest, V2InferRequest
from ml_model.service.protocol_rows import rows_of_invocation, rows_of_v2
from modelkit.input_rows import InputColumn, InputRows, InvalidRows

ROWS = [[1.0, 2.0], [3.0, 4.0]]


class Model:
    """The part of a servable model that reads rows."""

    def __init__(self) -> None:
        rows = InputRows([InputColumn("a b", "double"), InputColumn("größe", "double")])
        self.rows_from_lists, self.rows_from_records = rows.from_lists, rows.from_records


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"data": ROWS}},
        {"dataframe_split": {"columns": ["a b", "größe"], "index": [0, 1], "data": ROWS}},
        {"dataframe_split": {"columns": ["größe", "a b"], "data": [[2.0, 1.0], [4.0, 3.0]]}},
        {"dataframe_records": [{"größe": 2.0, "a b": 1.0}, {"a b": 3.0, "größe": 4.0}]},
        {"instances": ROWS},
        {"instances": [{"a b": 1.0, "größe": 2.0}, {"a b": 3.0, "größe": 4.0}]},
        {"inputs": ROWS, "params": {}},
        {"inputs": {"a b": [1.0, 3.0], "größe": [2.0, 4.0]}},
        {"inputs": {"a b": [[1.0], [3.0]], "größe": [[2.0], [4.0]]}},
    ],
)
def test_every_form_of_mlflow(body: dict[str, Any]) -> None:
    read = rows_of_invocation(InvocationsRequest.model_validate(body))
    assert np.array_equal(read(Model()), ROWS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "inputs",
    [
        [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}],
        [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": ROWS}],
        [
            {"name": "größe", "shape": [2], "datatype": "FP64", "data": [2, 4]},
            {"name": "a b", "shape": [2, 1], "datatype": "INT64", "data": [1, 3]},
        ],
    ],
)
def test_every_form_of_v2(inputs: list[dict[str, Any]]) -> None:
    read = rows_of_v2(V2InferRequest.model_validate({"inputs": inputs}))
    assert np.array_equal(read(Model()), ROWS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"dataframe_split": {"columns": ["a", "a"], "data": ROWS}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["a"], "data": ROWS}}, "dataframe_split.data.0"),
        ({"inputs": {"a b": [1.0], "größe": [2.0, 4.0]}}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"instances": [[1.0], [3.0, 4.0]]}, "instances.0"),
        ({"dataframe_records": [{"a b": 1.0}]}, "dataframe_records.0.größe"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRows) as refused:
        rows_of_invocation(InvocationsRequest.model_validate(body))(Model())  # type: ignore[arg-type]
    assert refused.value.details[0].path == path


@pytest.mark.parametrize(
    ("tensor", "path"),
    [
        ({"shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3]}, "inputs.0.data"),
        ({"shape": [0, 2], "datatype": "FP64", "data": []}, "inputs.0.data"),
        ({"shape": [-1, -2], "datatype": "FP64", "data": [1, 2]}, "inputs.0.data"),
        ({"shape": [1, 2], "datatype": "float", "data": [1, 2]}, "inputs.0.datatype"),
        ({"shape": [1, 2], "datatype": "FP64", "data": [1, "x"]}, "inputs.0.data.0.größe"),
    ],
)
def test_v2_says_what_is_wrong(tensor: dict[str, Any], path: str) -> None:
    body = V2InferRequest.model_validate({"inputs": [{"name": "x", **tensor}]})
    with pytest.raises(InvalidRows) as refused:
        rows_of_v2(body)(Model())  # type: ignore[arg-type]
    assert refused.value.details[0].path == path


def test_a_name_twice_is_refused() -> None:
    tensor = {"name": "a b", "shape": [1], "datatype": "FP64", "data": [1]}
    with pytest.raises(InvalidRows, match="name twice"):
        rows_of_v2(V2InferRequest.model_validate({"inputs": [tensor, tensor]}))
