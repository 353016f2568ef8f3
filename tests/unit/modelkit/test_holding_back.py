"""Which rows are held back: the same share of every class, the same every time."""

from collections import Counter

import numpy as np
import pytest

from modelkit.holding_back import evenly_chosen, held_back_rows, strata_of


def held_labels(labels: list[object], **over: float) -> Counter[object]:
    """Return how many rows of each class are held back."""
    mask = held_back_rows(labels, **over)  # type: ignore[arg-type]
    assert mask.shape == (len(labels),)
    return Counter(label for label, held in zip(labels, mask, strict=True) if held)


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        ([0] * 50 + [1] * 50 + [2] * 50, {0: 10, 1: 10, 2: 10}),
        ([0] * 90 + [1] * 10, {0: 18, 1: 2}),
        (["a"] * 4 + ["b"], {"a": 1}),
        ([0, 0, 1], {0: 1}),
        ([0, 1], {}),
        ([0], {}),
        ([], {}),
        ([True, True, False, False] * 5, {True: 2, False: 2}),
    ],
)
def test_the_share_of_each_class(labels: list[object], held: dict[object, int]) -> None:
    assert held_labels(labels) == held


def test_rows_of_a_regression_are_held_back_at_random() -> None:
    numbers = [row / 7 for row in range(100)]
    assert strata_of(numbers, "classification") is numbers
    held = held_back_rows(strata_of(numbers, "regression"))
    assert held.sum() == 20
    assert not np.array_equal(np.flatnonzero(held), np.arange(20))
    np.testing.assert_array_equal(held, held_back_rows(strata_of(numbers, "regression")))
    assert held_back_rows(strata_of([1.5, 2.5], "regression")).sum() == 1


def test_no_more_than_the_most() -> None:
    labels = [0] * 8_000 + [1] * 12_000
    assert held_labels(labels) == {0: 800, 1: 1_200}
    assert held_labels(labels, most=10) == {0: 4, 1: 6}


def test_every_class_keeps_a_row() -> None:
    labels = [0] * 3 + list(range(1, 40))
    assert held_labels(labels, share=0.9) == {0: 2}


def test_the_seed_decides() -> None:
    labels = [0, 1] * 200
    first = held_back_rows(labels)
    assert np.array_equal(first, held_back_rows(labels))
    assert not np.array_equal(first, held_back_rows(labels, seed=7))


def test_a_choice_of_rows_is_all_of_few() -> None:
    assert evenly_chosen([0, 1, 1]).tolist() == [True] * 3
    assert evenly_chosen([0, 1] * 100, most=50).sum() == 50
