"""What MLflow writes beside a model, and what of it is refused."""

import json
from typing import Any

import pytest
import yaml

from ml_model.errors import ModelRefused
from ml_model.mlmodel_file import Example, parse_description, parse_example
from modelkit.input_rows import InputColumn


def described(inputs: Any = None, flavors: Any = None, **more: Any) -> bytes:
    sklearn = {"pickled_model": "model.skops", "serialization_format": "skops"}
    content: dict[str, Any] = {"flavors": flavors or {"sklearn": sklearn}, **more}
    if inputs is not None:
        content["signature"] = {"inputs": json.dumps(inputs)}
    return yaml.safe_dump(content).encode()


def column(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": "a", **more}


@pytest.mark.parametrize(
    "specification, expected",
    [
        (column("double"), InputColumn("a", "double")),
        (column("float", required=True), InputColumn("a", "double")),
        (column("long", required=False), InputColumn("a", "integer", required=False)),
        (column("integer"), InputColumn("a", "integer")),
        (column("boolean"), InputColumn("a", "boolean")),
        (column("string"), InputColumn("a", "string")),
        (
            column("tensor", **{"tensor-spec": {"dtype": "uint8", "shape": [-1]}}),
            InputColumn("a", "integer"),
        ),
        (
            column("tensor", **{"tensor-spec": {"dtype": "str", "shape": [-1, 1]}}),
            InputColumn("a", "string"),
        ),
    ],
)
def test_columns_of_a_signature(specification: Any, expected: InputColumn) -> None:
    assert parse_description(described([specification])).columns == (expected,)


@pytest.mark.parametrize(
    "dtype, kind",
    [("float64", "double"), ("float32", "double"), ("int64", "integer"), ("bool", "boolean")],
)
def test_an_array_is_as_many_nameless_columns_as_it_is_wide(dtype: str, kind: Any) -> None:
    array = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, 3]}}
    assert parse_description(described([array])).columns == (InputColumn("", kind),) * 3


def test_what_a_model_without_signature_and_example_says() -> None:
    found = parse_description(described())
    assert (found.model_file, found.serialization_format) == ("model.skops", "skops")
    assert found.columns is found.example_file is found.class_names is None


def test_example_class_names_and_the_format_of_old_models() -> None:
    found = parse_description(
        described(
            flavors={"sklearn": {"pickled_model": "model.pkl"}, "python_function": {}},
            saved_input_example_info={"artifact_path": "input_example.json", "type": "dataframe"},
            metadata={"class_names": ["no", "yes"]},
        )
    )
    assert found.serialization_format == "pickle"
    assert found.example_file == "input_example.json"
    assert found.class_names == ("no", "yes")


@pytest.mark.parametrize(
    "text, word",
    [
        (b"", "MLmodel"),
        (b"[1]", "MLmodel"),
        (b"flavors: {", "MLmodel"),
        (b"flavors: {sklearn: null}", "MLmodel"),
        (b"!!python/object/apply:os.system [id]", "MLmodel"),
        (described(flavors={"pytorch": {}, "python_function": {}}), "python_function, pytorch"),
        (described([column("binary")]), "binary"),
        (described([{"type": "array", "name": "a", "items": {}}]), "array"),
        (
            described([{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 8, 8]}}]),
            "two dimensions",
        ),
        (described(flavors={"sklearn": {"pickled_model": "../model.skops"}}), "outside"),
        (described(flavors={"sklearn": {"pickled_model": ".."}}), "outside"),
        (described(saved_input_example_info={"artifact_path": "a/b.json"}), "outside"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(text: bytes, word: str) -> None:
    with pytest.raises(ModelRefused, match=word):
        parse_description(text)


@pytest.mark.parametrize(
    "content, expected",
    [
        (
            {"columns": ["a", "b"], "data": [[1, None], [2, "x"]]},
            Example([{"a": 1, "b": None}, {"a": 2, "b": "x"}], by_name=True),
        ),
        ({"data": [[1, 2]]}, Example([[1, 2]], by_name=False)),
        ([[1, 2], [3, 4]], Example([[1, 2], [3, 4]], by_name=False)),
        ([1, 2], Example([[1, 2]], by_name=False)),
        ({"inputs": [[1, 2]]}, Example([[1, 2]], by_name=False)),
        ({"a": [1, 2], "b": [3, 4]}, Example([{"a": 1, "b": 3}, {"a": 2, "b": 4}], by_name=True)),
        ([{"a": 1}], Example([{"a": 1}], by_name=True)),
        ({"a": 1, "b": 2}, Example([{"a": 1, "b": 2}], by_name=True)),
    ],
)
def test_input_examples_of_every_shape(content: Any, expected: Example) -> None:
    assert parse_example(json.dumps(content).encode()) == expected


def test_nan_in_an_example_is_a_missing_value() -> None:
    assert parse_example(b'{"columns": ["a"], "data": [[NaN]]}').rows == [{"a": None}]


@pytest.mark.parametrize("text", [b"", b"x", b"5", b"[]", b'"text"'])
def test_an_example_that_is_no_table_is_refused(text: bytes) -> None:
    with pytest.raises(ModelRefused, match="input example"):
        parse_example(text)
