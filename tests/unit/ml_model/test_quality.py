"""Figures that are added up over windows are those of the whole."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score

from ml_model.quality import Quality
from ml_model.version_total import VersionTotal

Pairs = Sequence[tuple[float, float]]

numbers = st.integers(-1_000, 1_000).map(lambda value: value / 8)
windows = st.lists(st.lists(st.tuples(numbers, numbers), max_size=8), max_size=6)


def regression(pairs: Pairs) -> Quality:
    """Return what the database says of (predicted, true) values."""
    if not pairs:
        return Quality(predictions=1)
    predicted, truth = np.array(pairs).T
    return Quality(
        predictions=len(pairs) + 1,
        numbers=len(pairs),
        errors=float(np.abs(predicted - truth).sum()),
        squared_errors=float(((predicted - truth) ** 2).sum()),
        mean_truth=float(truth.mean()),
        variance=float(truth.var()),
    )


@given(windows)
def test_a_regression_over_windows_is_that_of_all_rows(parts: list[Pairs]) -> None:
    whole = sum((regression(part) for part in parts), Quality())
    pairs = [pair for part in parts for pair in part]
    assert whole.predictions == len(pairs) + len(parts)
    assert whole.labelled == len(pairs)
    if not pairs:
        assert whole.mean_absolute_error is None and whole.r2 is None
        return
    predicted, truth = np.array(pairs).T
    assert whole.mean_absolute_error == pytest.approx(mean_absolute_error(truth, predicted))
    assert whole.accuracy is None
    assert whole.variance == pytest.approx(truth.var(), abs=1e-9)
    if truth.var() > 1e-6:
        assert whole.r2 == pytest.approx(r2_score(truth, predicted), rel=1e-6, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=5))
def test_a_classification_over_windows(parts: list[tuple[int, int]]) -> None:
    whole = sum(
        (Quality(right + wrong + 2, classes=right + wrong, right=right) for right, wrong in parts),
        Quality(),
    )
    labels = sum(right + wrong for right, wrong in parts)
    assert whole.labelled == labels
    assert whole.accuracy == (sum(right for right, _ in parts) / labels if labels else None)
    assert whole.mean_absolute_error is None and whole.r2 is None


def test_use_is_added_up() -> None:
    one = VersionTotal(10, 1, 18, 2, 5, 40.0)
    assert one + VersionTotal() == one
    assert one + one == VersionTotal(20, 2, 36, 4, 10, 80.0)
    assert one.answers == 8 and one.average_latency_ms == 5
    assert VersionTotal(requests=2, errors=2).average_latency_ms is None
