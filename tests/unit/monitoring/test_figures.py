"""Figures of parts, against those of all values at once."""

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.service.figures import Figures, combined


def figures(values: NDArray[np.float64]) -> Figures:
    """Return the figures of values as PostgreSQL has them."""
    if not len(values):
        return Figures(0)
    variance = values.var(ddof=1) if len(values) > 1 else None
    return Figures(len(values), values.min(), values.max(), values.mean(), variance)


@pytest.mark.parametrize("parts", [1, 2, 7, 100])
@pytest.mark.parametrize("middle", [0.0, 1e9])
def test_parts_say_together_what_the_whole_says(parts: int, middle: float) -> None:
    values = np.random.default_rng(0).normal(middle, 1.0, 100)
    # A column that moves: the means of the parts are far from each other.
    values += np.arange(100) * 10
    whole, found = figures(values), combined(list(map(figures, np.array_split(values, parts))))
    assert (found.present, found.minimum, found.maximum) == (
        whole.present,
        whole.minimum,
        whole.maximum,
    )
    assert found.mean == pytest.approx(whole.mean, rel=1e-14)
    assert found.variance == pytest.approx(whole.variance, rel=1e-9)


def test_parts_without_values_say_nothing() -> None:
    assert combined([]) == combined([Figures(0), Figures(0)]) == Figures(0)
    some = Figures(3, 1.0, 3.0, 2.0, 1.0)
    assert combined([Figures(0), some, Figures(0)]) == some


def test_one_value_has_no_variance() -> None:
    one, another = Figures(1, 1.0, 1.0, 1.0, None), Figures(1, 3.0, 3.0, 3.0, None)
    assert combined([one]) == one
    assert combined([one, another]) == Figures(2, 1.0, 3.0, 2.0, 2.0)
