"""Metrics counted part by part are those of all rows at once."""

from typing import Any

import numpy as np
import pytest

from ml_model.evaluation_metrics import classification_metrics, regression_metrics
from ml_model.evaluation_tally import ClassMeasures, NumberMeasures

N_ROWS = 3_000
EXACT = ("accuracy", "f1_score", "precision", "recall")


def in_parts(measures: Any, truth: list[Any], predicted: list[Any], shares: Any = None) -> Any:
    """Add the rows in parts of several lengths, an empty one among them."""
    for start, stop in ((0, 0), (0, 1), (1, 1_700), (1_700, len(truth))):
        part = None if shares is None else shares[start:stop]
        measures.add(truth[start:stop], predicted[start:stop], part)
    return measures.metrics()


def classified(classes: list[str], sharpness: float) -> tuple[list[str], list[str], Any]:
    """Return truth, predictions and probabilities of a model that is often right."""
    random = np.random.default_rng(7)
    codes = random.integers(0, len(classes), N_ROWS)
    scores = random.normal(size=(N_ROWS, len(classes)))
    scores[np.arange(N_ROWS), codes] += 1
    shares = np.exp(sharpness * scores)
    shares /= shares.sum(axis=1, keepdims=True)
    truth = [classes[code] for code in codes]
    return truth, [classes[code] for code in shares.argmax(axis=1)], shares


@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"]])
@pytest.mark.parametrize("sharpness", [0.01, 1.0, 30.0])
def test_classes(classes: list[str], sharpness: float) -> None:
    truth, predicted, shares = classified(classes, sharpness)
    expected, _ = classification_metrics(truth, predicted, shares, classes)
    found, notes = in_parts(ClassMeasures(classes), truth, predicted, shares)
    assert set(found) == set(expected)
    assert {name: found[name] for name in EXACT} == {name: expected[name] for name in EXACT}
    assert found["log_loss"] == pytest.approx(expected["log_loss"], rel=1e-12)
    # As wrong as the note says at most.
    most = float(notes[0].split("off by ")[1].split(" ")[0])
    assert most < 0.05
    assert abs(found["roc_auc"] - expected["roc_auc"]) <= most * 1.05 + 1e-12


def test_certain_probabilities_and_equal_ones() -> None:
    truth = ["no", "yes", "yes", "no"] * 500
    for shares in (np.eye(2)[[0, 1, 0, 0] * 500], np.full((2_000, 2), 0.5)):
        expected, _ = classification_metrics(truth, truth, shares, ["no", "yes"])
        found, _ = in_parts(ClassMeasures(["no", "yes"]), truth, truth, shares)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("truth", "classes", "with_shares"),
    [
        (["a", "b"] * 50, ["a", "b"], False),
        (["a", "new"] * 50, ["a", "b"], True),
        (["a"] * 100, ["a", "b"], True),
    ],
)
def test_what_cannot_be_computed_is_said_as_of_short_sets(
    truth: list[str], classes: list[str], with_shares: bool
) -> None:
    shares = np.tile([0.75, 0.25], (100, 1)) if with_shares else None
    expected, why = classification_metrics(truth, ["a"] * 100, shares, classes)
    found, notes = in_parts(ClassMeasures(classes), truth, ["a"] * 100, shares)
    assert notes == why and found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("with_zero", [False, True])
def test_numbers(scale: float, with_zero: bool) -> None:
    random = np.random.default_rng(3)
    truth = scale * random.normal(5, size=N_ROWS)
    predicted = truth + scale * random.normal(size=N_ROWS)
    if with_zero:
        truth[10] = 0.0
    expected, why = regression_metrics(truth.tolist(), predicted.tolist())
    found, notes = in_parts(NumberMeasures(), truth.tolist(), predicted.tolist())
    assert set(found) == set(expected) and notes[:-1] == why
    for name, value in expected.items():
        exactness = 2**-14 if name == "median_absolute_error" else 1e-9
        assert found[name] == pytest.approx(value, rel=exactness)


def test_no_error_at_all() -> None:
    truth = [1.0, 2.0, 4.0]
    found, _ = in_parts(NumberMeasures(), truth, truth)
    assert found == {"mae": 0, "rmse": 0, "mape": 0, "r2": 1, "median_absolute_error": 0}


def test_numbers_beyond_any_are_named() -> None:
    truth, predicted = [1e308, 1.0], [-1e308, 1.0]
    expected, why = regression_metrics(truth, predicted)
    found, notes = in_parts(NumberMeasures(), truth, predicted)
    assert set(found) == set(expected)
    assert set(why[0].removesuffix(".").split(": ")[1].split(", ")) == set(
        notes[0].removesuffix(".").split(": ")[1].split(", ")
    )
