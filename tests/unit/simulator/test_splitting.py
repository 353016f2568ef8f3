"""The three sets: their sizes, their shares of each class, and that no row is in two."""

import pandas as pd
import pytest

from simulator.builtin_datasets import DATASET_NAMES, read_builtin
from simulator.service.splitting import split

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


@pytest.mark.parametrize("name", DATASET_NAMES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_in_one_set(name: str, seed: int) -> None:
    rows = read_builtin(name).rows
    places = pd.concat(list(split(rows, "target", seed).values())).index
    assert sorted(places) == list(range(len(rows)))


@pytest.mark.parametrize("name", DATASET_NAMES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_set_has_the_classes_in_their_shares(name: str, seed: int) -> None:
    rows = read_builtin(name).rows
    whole = rows["target"].value_counts()
    for found in split(rows, "target", seed).values():
        expected = whole * len(found) / len(rows)
        # Rounding, twice: of the first cut and of the half of what is left.
        assert (found["target"].value_counts() - expected).abs().max() < 2


def test_another_seed_gives_other_rows() -> None:
    rows = read_builtin("wine").rows
    first, second = (set(split(rows, "target", seed)["training"].index) for seed in (1, 2))
    assert first != second


def test_splitting_leaves_the_shared_source_alone() -> None:
    rows = read_builtin("wine").rows
    before = rows.copy(deep=True)
    split(rows, "target", 42)
    pd.testing.assert_frame_equal(rows, before)
