"""The three sets: their sizes, their shares of each class, and that no row is in two."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.builtin_datasets import DATASET_NAMES, read_builtin
from simulator.service.splitting import (
    can_be_stratified,
    split_by_group,
    split_by_set,
    split_by_time,
    split_places,
)
from tests.support.cut_sets import split

CLASSIFICATIONS = [name for name in DATASET_NAMES if read_builtin(name).classes]
SEEDS = [0, 1, 42, 2**32 - 1]


def test_wine_with_seed_42_is_cut_as_the_contract_says() -> None:
    source = read_builtin("wine")
    sets = split(source.rows, "target", 42)
    counts = {
        name: rows["target"].value_counts().sort_index().tolist() for name, rows in sets.items()
    }
    assert {name: len(rows) for name, rows in sets.items()} == {
        "training": 106,
        "testing": 36,
        "production": 36,
    }
    # Wine has 59, 71 and 48 rows of its classes: 35.1, 42.3 and 28.6 of 106; 12, 14.3, 9.7 of 36.
    assert counts == {"training": [35, 42, 29], "testing": [12, 14, 10], "production": [12, 15, 9]}


@pytest.mark.parametrize("name", CLASSIFICATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_in_one_set(name: str, seed: int) -> None:
    rows = read_builtin(name).rows
    places = pd.concat(list(split(rows, "target", seed).values())).index
    assert sorted(places) == list(range(len(rows)))


@pytest.mark.parametrize("name", CLASSIFICATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_set_has_the_classes_in_their_shares(name: str, seed: int) -> None:
    rows = read_builtin(name).rows
    whole = rows["target"].value_counts()
    for found in split(rows, "target", seed).values():
        expected = whole * len(found) / len(rows)
        # Rounding, twice: of the first cut and of the half of what is left.
        assert (found["target"].value_counts() - expected).abs().max() < 2


def test_a_regression_is_cut_at_random_into_the_same_sizes() -> None:
    sets = split_places(442, None, 42)
    assert {name: len(at) for name, at in sets.items()} == {
        "training": 265,
        "testing": 88,
        "production": 89,
    }
    assert sorted(np.concatenate(list(sets.values()))) == list(range(442))


@pytest.mark.parametrize("sizes", [(5, 5), (5, 1000), (7, 8, 9), (6, 300, 11)])
def test_five_rows_of_a_class_are_enough_for_every_set(sizes: tuple[int, ...]) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    assert can_be_stratified(strata)
    assert not can_be_stratified(np.append(strata, [len(sizes)] * 4))
    for seed in SEEDS:
        for places in split_places(len(strata), strata, seed).values():
            assert set(strata[places]) == set(range(len(sizes)))


def test_another_seed_gives_other_rows() -> None:
    rows = read_builtin("wine").rows
    first, second = (set(split(rows, "target", seed)["training"].index) for seed in (1, 2))
    assert first != second


def test_splitting_leaves_the_shared_source_alone() -> None:
    rows = read_builtin("wine").rows
    before = rows.copy(deep=True)
    split(rows, "target", 42)
    pd.testing.assert_frame_equal(rows, before)


def test_the_oldest_rows_train_and_the_newest_are_production() -> None:
    times = np.array(["2024-03-01", "2024-01-01", "2024-02-01"] * 4, "M8[us]")
    found = split_by_time(times)
    assert found["training"].tolist() == [1, 4, 7, 10, 2, 5, 8]
    assert found["testing"].tolist() == [11, 0]
    assert found["production"].tolist() == [3, 6, 9]
    sizes = [len(places) for places in split_by_time(np.arange(178)).values()]
    assert sizes == [106, 36, 36]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    groups=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=60, unique=True).flatmap(
        lambda known: st.lists(st.sampled_from(known), max_size=200).map(lambda more: known + more)
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_group_is_in_two_sets(groups: list[int], seed: int) -> None:
    numbers = np.array(groups, dtype=np.uint64)
    found = split_by_group(numbers, seed)
    together = np.concatenate(list(found.values()))
    assert sorted(together.tolist()) == list(range(len(groups)))
    members = [set(numbers[places].tolist()) for places in found.values()]
    assert all(members)
    assert not (members[0] & members[1] or members[0] & members[2] or members[1] & members[2])
    again = split_by_group(numbers, seed)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_many_groups_come_near_to_the_shares() -> None:
    groups = np.random.default_rng(1).integers(0, 500, 10_000).astype(np.uint64)
    first, other = split_by_group(groups, 42), split_by_group(groups, 43)
    sizes = [len(first[name]) / 10_000 for name in ("training", "testing", "production")]
    assert sizes == pytest.approx([0.6, 0.2, 0.2], abs=0.005)
    assert set(first["training"]) != set(other["training"])


def test_three_groups_are_one_for_each_set() -> None:
    groups = np.array([7] * 90 + [8, 9], dtype=np.uint64)
    assert all(len(places) for places in split_by_group(groups, 0).values())
    with pytest.raises(ValueError, match="three groups"):
        split_by_group(groups[:91], 0)


def test_a_split_column_says_it() -> None:
    found = split_by_set(np.array([2, 0, 1, 0], dtype=np.int8))
    assert {name: places.tolist() for name, places in found.items()} == {
        "training": [1, 3],
        "testing": [2],
        "production": [0],
    }
