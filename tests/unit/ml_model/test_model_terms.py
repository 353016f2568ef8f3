"""Columns and labels of a dataset, as a model has them."""

from types import SimpleNamespace
from typing import Any

import pytest

from ml_model.service.model_terms import class_text, columns_for


def model(columns: list[str] = (), classes: list[Any] = (), names: list[str] = ()) -> Any:  # type: ignore[assignment]
    return SimpleNamespace(
        columns=[SimpleNamespace(name=name) for name in columns],
        classes=classes,
        class_names=names or [str(label) for label in classes],
    )


@pytest.mark.parametrize(
    ("columns", "features", "found"),
    [
        (["a", "b"], ["b", "a"], ["a", "b"]),
        (["x0", "x1"], ["b", "a"], ["b", "a"]),
        (["x0", "x1"], ["x1", "x0"], ["x0", "x1"]),
        # As many columns, but others: their order says nothing.
        (["c", "d"], ["a", "b"], None),
        (["x0", "d"], ["a", "b"], None),
        (["x0", "x1"], ["a", "b", "c"], None),
        (["a", "b"], ["a", "c"], None),
    ],
)
def test_columns(columns: list[str], features: list[str], found: list[str] | None) -> None:
    assert columns_for(model(columns), features) == found


def test_a_class_of_a_dataset_by_its_name() -> None:
    dataset: Any = SimpleNamespace(classes=(0, 1), class_names=("setosa", "virginica"))
    assert class_text(model(classes=["setosa", "virginica"]), 1, dataset) == "virginica"
    named = model(classes=[10, 20], names=["setosa", "virginica"])
    assert class_text(named, 1, dataset) == "20"
    assert class_text(model(classes=[0, 1]), 1, dataset) == "1"
    assert class_text(model(classes=["rose"]), 1, dataset) == "1"


@pytest.mark.parametrize(
    ("classes", "names", "label", "text"),
    [
        ([0, 1], ["setosa", "virginica"], 1, "1"),
        ([0, 1], ["setosa", "virginica"], 1.0, "1"),
        ([0, 1], ["setosa", "virginica"], "1", "1"),
        ([0, 1], ["setosa", "virginica"], "virginica", "1"),
        ([0.0, 1.0], [], 1, "1.0"),
        ([False, True], [], True, "True"),
        ([False, True], [], "true", "True"),
        (["true", "True"], [], "true", "true"),
        (["setosa", "virginica"], [], "virginica", "virginica"),
        ([0, 1], ["setosa", "virginica"], 7, "7"),
        ([0, 1], ["setosa", "virginica"], 0.5, "0.5"),
    ],
)
def test_labels(classes: list[Any], names: list[str], label: Any, text: str) -> None:
    assert class_text(model(classes=classes, names=names), label) == text
