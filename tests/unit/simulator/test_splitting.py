"""The three sets: their sizes, their shares of each class, and that no row is in two."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.vocabulary import BUILTIN_DATASETS, SET_NAMES
from simulator.builtin_datasets import read_builtin
from simulator.service import set_cut
from simulator.service.set_cut import sizes_of_groups
from simulator.service.splitting import (
    can_be_stratified,
    counted_numbers,
    drawn_numbers,
    numbers_of_places,
    places_in_order,
    sets_of_groups,
    shares_of_classes,
    split_places,
)
from tests.support.cut_sets import split

CLASSIFICATIONS = [name for name in BUILTIN_DATASETS if read_builtin(name).classes]
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
    assert can_be_stratified(np.array(sizes))
    assert not can_be_stratified(np.array([*sizes, 4]))
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


def test_a_set_is_told_by_the_number_of_each_row() -> None:
    assert numbers_of_places(np.array([4, 0]), 6).tolist() == [1, -1, -1, -1, 0, -1]


def test_the_oldest_rows_train_and_the_newest_are_production() -> None:
    assert list(map(len, places_in_order(178).values())) == [106, 36, 36]
    found = places_in_order(12)
    assert found == {"training": range(7), "testing": range(7, 9), "production": range(9, 12)}


def drawn(strata: NDArray[np.int64], at_once: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the numbers of each set, cut so many rows at a time."""
    sizes = np.bincount(strata)
    chunks = [strata[first : first + at_once] for first in range(0, len(strata), at_once)]
    return {
        name: np.concatenate(list(drawn_numbers(chunks, sizes, name, seed))) for name in SET_NAMES
    }


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    sizes=st.lists(st.integers(5, 400), min_size=1, max_size=8),
    at_once=st.integers(30, 700),
    seed=st.integers(0, 2**32 - 1),
)
def test_long_tables_are_cut_chunk_by_chunk(sizes: list[int], at_once: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(sum(sizes))
    strata = np.repeat(np.arange(len(sizes)), sizes)[order]
    found = drawn(strata, at_once, seed)

    in_sets = np.stack([found[name] >= 0 for name in SET_NAMES])
    assert (in_sets.sum(axis=0) == 1).all()
    whole = split_places(len(strata), None, seed)
    for name in SET_NAMES:
        inside = found[name] >= 0
        assert sorted(found[name][inside]) == list(range(len(whole[name])))
        shares = np.array(sizes) * (0.6 if name == "training" else 0.2)
        counts = np.bincount(strata[inside], minlength=len(sizes))
        assert (np.abs(counts - shares) < 2).all() and (counts > 0).all()
    # Where the table is cut into chunks makes no difference.
    for name, numbers in drawn(strata, len(strata), seed).items():
        assert numbers.tolist() == found[name].tolist()


def test_the_shares_of_classes_add_up() -> None:
    shares = shares_of_classes(np.array([59, 71, 48]))
    assert shares.sum(axis=1).tolist() == [106, 36, 36]
    assert shares.sum(axis=0).tolist() == [59, 71, 48]
    assert (shares_of_classes(np.full(1000, 5)) == [[3], [1], [1]]).all()


def test_what_is_drawn_stands_in_no_order_of_the_table() -> None:
    strata = np.sort(np.random.default_rng(0).integers(0, 3, 30_000))
    first, again, other = drawn(strata, 7_000, 1), drawn(strata, 9_000, 1), drawn(strata, 7_000, 2)
    for name in SET_NAMES:
        assert first[name].tolist() == again[name].tolist() != other[name].tolist()
        inside = first[name] >= 0
        numbers, rows = first[name][inside], np.flatnonzero(inside)
        assert abs(np.corrcoef(numbers, rows)[0, 1]) < 0.03
        # Each tenth of the set has the classes in their shares.
        tenths = pd.crosstab(numbers // (len(numbers) // 10 + 1), strata[inside], normalize="index")
        assert np.abs(tenths.to_numpy() - 1 / 3).max() < 0.08
    # A row's set under one seed says nothing of its set under another.
    both = np.mean((first["training"] >= 0) & (other["training"] >= 0))
    assert both == pytest.approx(0.36, abs=0.01)


def by_group(groups: NDArray[np.uint64], seed: int) -> dict[str, NDArray[np.int64]]:
    """Return which rows are in which set, in its order."""
    known, sizes = sizes_of_groups([groups[:50], groups[50:]])
    sets = sets_of_groups(sizes, seed)[np.searchsorted(known, groups)]
    return {name: np.flatnonzero(sets == place) for place, name in enumerate(SET_NAMES)}


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    groups=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=60, unique=True).flatmap(
        lambda known: st.lists(st.sampled_from(known), max_size=200).map(lambda more: known + more)
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_group_is_in_two_sets(groups: list[int], seed: int) -> None:
    numbers = np.array(groups, dtype=np.uint64)
    found = by_group(numbers, seed)
    together = np.concatenate(list(found.values()))
    assert sorted(together.tolist()) == list(range(len(groups)))
    members = [set(numbers[places].tolist()) for places in found.values()]
    assert all(members)
    assert not (members[0] & members[1] or members[0] & members[2] or members[1] & members[2])
    again = by_group(numbers, seed)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_many_groups_come_near_to_the_shares() -> None:
    groups = np.random.default_rng(1).integers(0, 500, 10_000).astype(np.uint64)
    first, other = by_group(groups, 42), by_group(groups, 43)
    sizes = [len(first[name]) / 10_000 for name in ("training", "testing", "production")]
    assert sizes == pytest.approx([0.6, 0.2, 0.2], abs=0.005)
    assert set(first["training"]) != set(other["training"])


def test_three_groups_are_one_for_each_set() -> None:
    groups = np.array([7] * 90 + [8, 9], dtype=np.uint64)
    assert all(len(places) for places in by_group(groups, 0).values())
    with pytest.raises(ValueError, match="three groups"):
        by_group(groups[:91], 0)


def test_groups_are_counted_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_cut, "GROUPS_AT_ONCE", 100)
    draw = np.random.default_rng(5).integers(0, 2**64, 3_000, dtype=np.uint64)
    rows = np.concatenate([draw, draw[:1_000], draw[:10], np.array([0, 0, 2**64 - 1], np.uint64)])
    chunks = [rows[first : first + 70] for first in range(0, len(rows), 70)]
    groups, sizes = sizes_of_groups(chunks)
    expected, counts = np.unique(rows, return_counts=True)
    assert groups.tolist() == expected.tolist() and sizes.tolist() == counts.tolist()


def test_a_split_column_says_it() -> None:
    chunks = [np.array(part, dtype=np.int8) for part in ([2, 0], [1, 0, 0])]
    found = {
        name: np.concatenate(list(counted_numbers(chunks, name))).tolist() for name in SET_NAMES
    }
    assert found == {
        "training": [-1, 0, -1, 1, 2],
        "testing": [-1, -1, 0, -1, -1],
        "production": [0, -1, -1, -1, -1],
    }
