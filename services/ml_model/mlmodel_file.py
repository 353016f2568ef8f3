"""What MLflow writes beside a model, read without its library: `MLmodel` and the input example.

Values only: no HTTP, no scikit-learn.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ml_model.errors import ModelRefused
from modelkit.input_rows import ColumnType, InputColumn

DESCRIPTION_FILE = "MLmodel"

_COLUMN_TYPES: Mapping[str, ColumnType] = {
    "double": "double",
    "float": "double",
    "integer": "integer",
    "long": "integer",
    "boolean": "boolean",
    "string": "string",
    "datetime": "datetime",
}


@dataclass(frozen=True)
class Description:
    """What `MLmodel` says of a model of the scikit-learn flavor.

    `columns` are the signature's inputs; one without a name has none here either (an array's), and
    without a signature there are no columns at all (None). `class_names` come from the model's
    metadata, where whoever logged it put them.
    """

    model_file: str
    serialization_format: str
    columns: tuple[InputColumn, ...] | None
    example_file: str | None
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class Example:
    """The rows of an input example: objects by column name, or lists in the columns' order."""

    rows: list[Any]
    by_name: bool


def parse_description(text: bytes) -> Description:
    """Read `MLmodel`.

    Raises
    ------
    ModelRefused
        It is none, the model is not scikit-learn's, or takes what a request cannot carry.
    """
    try:
        # Safe: makes plain values only.
        found = yaml.safe_load(text)
        flavors = found["flavors"]
        if "sklearn" not in flavors:
            raise ModelRefused(
                f"Only scikit-learn models are served; this one is of {', '.join(flavors)}."
            )
        flavor = flavors["sklearn"]
        signature = found.get("signature") or {}
        inputs = signature.get("inputs")
        example = found.get("saved_input_example_info") or {}
        names = (found.get("metadata") or {}).get("class_names")
        return Description(
            model_file=_plain_name(flavor["pickled_model"]),
            serialization_format=str(flavor.get("serialization_format") or "pickle"),
            columns=_columns(json.loads(inputs)) if inputs else None,
            example_file=_plain_name(example["artifact_path"]) if example else None,
            class_names=tuple(map(str, names)) if names else None,
        )
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelRefused("Its MLmodel file cannot be read.") from error


def parse_example(text: bytes) -> Example:
    """Read an input example as MLflow saves it: rows with or without names.

    Raises
    ------
    ModelRefused
        It is no table.
    """
    try:
        found = _without_nan(json.loads(text))
    except ValueError as error:
        raise ModelRefused("Its input example cannot be read.") from error
    if isinstance(found, Mapping) and set(found) >= {"columns", "data"}:
        names = found["columns"]
        return Example([dict(zip(names, row, strict=False)) for row in found["data"]], True)
    if isinstance(found, Mapping) and set(found) == {"data"}:
        return Example(list(found["data"]), False)
    if isinstance(found, Mapping) and set(found) == {"inputs"}:
        found = found["inputs"]
    if isinstance(found, Mapping):
        if all(isinstance(values, list) for values in found.values()):
            columns = zip(*found.values(), strict=False)
            return Example([dict(zip(found, row, strict=True)) for row in columns], True)
        return Example([found], True)
    if isinstance(found, list) and found:
        if all(isinstance(row, Mapping) for row in found):
            return Example(found, True)
        return Example(found if isinstance(found[0], list) else [found], False)
    raise ModelRefused("Its input example is no table of rows.")


def _columns(specifications: Sequence[Mapping[str, Any]]) -> tuple[InputColumn, ...]:
    if len(specifications) == 1 and "name" not in specifications[0]:
        shape = (specifications[0].get("tensor-spec") or {}).get("shape") or [-1]
        if len(shape) > 2:
            raise ModelRefused("It takes arrays of more than two dimensions.")
        if len(shape) == 2:
            return tuple(_column(specifications[0]) for _ in range(shape[1]))
    return tuple(_column(specification) for specification in specifications)


def _column(specification: Mapping[str, Any]) -> InputColumn:
    name = str(specification.get("name", ""))
    kind = specification["type"]
    if kind == "tensor":
        kind = _type_of_array(str(specification["tensor-spec"]["dtype"]))
    if kind not in _COLUMN_TYPES:
        raise ModelRefused(f"Its column {name!r} is of the type {kind}, which is not served.")
    return InputColumn(name, _COLUMN_TYPES[kind], bool(specification.get("required", True)))


def _type_of_array(dtype: str) -> str:
    for start, kind in (
        ("float", "double"),
        ("int", "long"),
        ("uint", "long"),
        ("bool", "boolean"),
    ):
        if dtype.startswith(start):
            return kind
    return "string" if dtype in {"str", "object"} or dtype.startswith("<U") else dtype


def _plain_name(path: Any) -> str:
    """Return the name of a file directly in the model's folder."""
    name = str(path)
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ModelRefused("Its MLmodel file names a file outside of the model's folder.")
    return name


def _without_nan(value: Any) -> Any:
    """Return JSON with null for NaN, which is how MLflow writes a missing value."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
