"""Labelled rows as a model is measured on them: columns in its order, labels in its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_model.errors import InvalidTarget
from ml_model.service.model_terms import as_number, class_text, columns_for
from modelkit.input_rows import InvalidRows
from modelkit.servable import ServableModel
from schema.sets import Dataset
from servicekit.errors import Detail

KEPT_ROWS = 10_000
"""Rows that a run keeps at most, with what was predicted; of more a sample."""

MOST_NAMED = 20
"""Classes that are named to who sent none of them."""

SEED = 42


@dataclass(frozen=True)
class Labelled:
    """Rows as lists in the model's order or as records, their labels, and where they are from."""

    rows: Sequence[Any]
    target: Sequence[Any]
    dataset: Dataset | None = None


def columns_of_model(model: ServableModel, dataset: Dataset) -> list[str]:
    """Return the dataset's features in the order of the model's columns, or say what is amiss."""
    features = dataset.feature_names
    columns = columns_for(model, features)
    if columns is not None:
        return columns
    names = [column.name for column in model.columns]
    missing = [name for name in names if name not in features]
    raise InvalidRows(
        f"{dataset.name} does not have the columns that the model takes.",
        details=[Detail(f"dataset_name.{name}", "is no column of the dataset") for name in missing]
        or [Detail("dataset_name", f"has {len(features)} columns, the model takes {len(names)}")],
    )


def truth_of(
    model: ServableModel, labels: Sequence[tuple[int, Any]], dataset: Dataset | None
) -> list[Any]:
    """Return labels as the model writes them: classes as text, or numbers for a regression."""
    if model.task == "regression":
        numbers = [as_number(label) for _, label in labels]
        for (row, _), number in zip(labels, numbers, strict=True):
            if number is None:
                raise InvalidTarget(
                    f"Row {row} of target must be a number.",
                    details=[Detail(f"target.{row}", "must be a number")],
                )
        return numbers
    for number, label in labels:
        if not isinstance(label, bool | int | float | str):
            raise InvalidTarget(
                f"Row {number} of target must be a class.",
                details=[Detail(f"target.{number}", "must be a class: text or a number")],
            )
    texts = [class_text(model, label, dataset) for _, label in labels]
    if dataset is None and not {str(known) for known in model.classes}.intersection(texts):
        known = ", ".join(map(str, model.classes[:MOST_NAMED]))
        raise InvalidTarget(
            f"None of the labels is a class of the model: {known}.",
            details=[Detail("target", f"holds none of the model's classes: {known}")],
        )
    return texts


def chosen_rows(rows: Any, numbers: Sequence[int]) -> Any:
    if len(numbers) == len(rows):
        return rows
    if isinstance(rows, np.ndarray):
        return rows[list(numbers)]
    return [rows[number] for number in numbers]


def kept_numbers(row_count: int) -> list[int]:
    """Return which of so many rows a run keeps, in order: always the same ones."""
    if row_count <= KEPT_ROWS:
        return list(range(row_count))
    drawn = np.random.default_rng(SEED).choice(row_count, KEPT_ROWS, replace=False)
    return [int(number) for number in np.sort(drawn)]


def kept_note(row_count: int) -> str:
    """Return the sentence that says so where these are not all."""
    return f"evaluation.json keeps {KEPT_ROWS} of the {row_count} rows, drawn with the seed {SEED}."


def labelled_of(rows: Any, model: ServableModel, dataset: Dataset) -> tuple[list[Any], list[Any]]:
    """Return a stored set's rows as lists in the model's order, and their labels.

    `rows` are as `schema.samples.read_rows` gives them. Raises `InvalidRows` where the dataset has
    other columns than the model.
    """
    # pandas is imported by what reads a frame only.
    from modelkit.features import json_values

    values = [json_values(rows[name]) for name in columns_of_model(model, dataset)]
    return [list(row) for row in zip(*values, strict=True)], json_values(rows[dataset.target.name])
