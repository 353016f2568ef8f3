"""Metrics of an evaluation, by hand and against scikit-learn."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    median_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from ml_model.evaluation_metrics import classification_metrics, regression_metrics

CLASSES = ["10", "9", "8"]
"""Not in the order of their texts."""


def test_without_probabilities_there_are_the_four() -> None:
    metrics, notes = classification_metrics(["a", "a", "b"], ["a", "b", "b"], None, ["a", "b"])
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["recall"] == pytest.approx(2 / 3)
    # a: 1 of 1 and 1 of 2, b: 1 of 2 and 1 of 1; weighted by 2 and 1 rows.
    assert metrics["precision"] == pytest.approx((2 * 1 + 1 * 0.5) / 3)
    assert set(metrics) == {"accuracy", "f1_score", "precision", "recall"}
    assert "no probabilities" in notes[0]


def drawn(seed: int) -> tuple[list[str], Any]:
    draw = np.random.default_rng(seed)
    truth = [CLASSES[place] for place in [0, 1, 2, *draw.integers(0, 3, 40)]]
    return truth, draw.dirichlet([1, 1, 1], size=len(truth))


@pytest.mark.parametrize("seed", range(3))
def test_loss_and_area_are_scikit_learns(seed: int) -> None:
    truth, shares = drawn(seed)
    found = [CLASSES[place] for place in shares.argmax(axis=1)]
    metrics, notes = classification_metrics(truth, found, shares, CLASSES)
    numbers = [CLASSES.index(label) for label in truth]
    assert notes == []
    assert metrics["log_loss"] == pytest.approx(log_loss(numbers, shares))
    assert metrics["roc_auc"] == pytest.approx(
        roc_auc_score(numbers, shares, multi_class="ovr", average="weighted")
    )


def test_two_classes_have_one_curve() -> None:
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    metrics, _ = classification_metrics(["a", "b", "a", "b"], ["a", "b", "b", "b"], shares, "ab")
    assert metrics["roc_auc"] == pytest.approx(0.75)


def test_a_certain_mistake_is_a_finite_loss() -> None:
    metrics, _ = classification_metrics(["a", "b"], ["a", "a"], np.array([[1.0, 0], [1, 0]]), "ab")
    assert 10 < metrics["log_loss"] < 20


def test_what_cannot_be_computed_is_left_out_and_said() -> None:
    shares = np.array([[0.5, 0.5], [0.6, 0.4]])
    metrics, notes = classification_metrics(["a", "a"], ["a", "a"], shares, ["a", "b"])
    assert "log_loss" in metrics and "roc_auc" not in metrics
    assert notes == ["Not every class occurs, hence no roc_auc."]
    metrics, notes = classification_metrics(["a", "z"], ["a", "a"], shares, ["a", "b"])
    assert metrics["accuracy"] == 0.5 and "log_loss" not in metrics
    assert "does not know z" in notes[0]


def test_regression() -> None:
    metrics, notes = regression_metrics([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    assert metrics["mae"] == pytest.approx(1.0)
    assert metrics["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert metrics["r2"] == pytest.approx(1 - 5 / (14 / 3))
    # The absolute errors are 0, 1, 2, their shares of the truth 0, 1/2, 1/2.
    assert metrics["median_absolute_error"] == pytest.approx(1.0)
    assert metrics["mape"] == pytest.approx(1 / 3)
    assert notes == []


def test_regression_as_scikit_learn_measures_it() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(3.0, 2.0, 500)
    found = truth + random.normal(0.0, 0.7, 500)
    metrics, _ = regression_metrics(truth.tolist(), found.tolist())
    assert metrics == pytest.approx(
        {
            "mae": mean_absolute_error(truth, found),
            "rmse": root_mean_squared_error(truth, found),
            "median_absolute_error": median_absolute_error(truth, found),
            "mape": mean_absolute_percentage_error(truth, found),
            "r2": r2_score(truth, found),
        },
        rel=1e-12,
    )


def test_what_a_regression_cannot_say_is_left_out_and_said() -> None:
    metrics, notes = regression_metrics([1.0], [2.0])
    assert metrics == {"mae": 1.0, "rmse": 1.0, "median_absolute_error": 1.0, "mape": 1.0}
    assert notes == ["One row alone has no r2."]
    metrics, notes = regression_metrics([0.0, 2.0], [1.0, 2.0])
    assert "mape" not in metrics and notes == ["The target is 0 in some row, hence no mape."]
    assert regression_metrics([2.0, 2.0], [2.0, 3.0])[0]["r2"] == 0.0
    metrics, notes = regression_metrics([1e300, -1e300], [-1e300, 1e300])
    assert metrics["mae"] == pytest.approx(2e300) and "rmse" not in metrics
    assert notes[0].startswith("Too large for a number: rmse")
