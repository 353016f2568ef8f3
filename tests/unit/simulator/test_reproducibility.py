"""Seed 42 gives the same rows on every machine: the values themselves, written down."""

import pytest

from simulator.builtin_datasets import read_builtin
from simulator.content_hash import content_hash_of
from simulator.service.scenarios import foul
from tests.support.cut_sets import split

SOURCE = read_builtin("wine")
FEATURES = [column.name for column in SOURCE.features]

HASHES = {
    "training": "de09f0fa828ff0ebfc9d6e9593ca6492618481b6a302f6d1d702b40cd20f184b",
    "testing": "0f3a5a6ed1830bdbc38ac5284ba1af818e5ad8ad356fefb81c4f8ed0a2ed42c0",
    "production": "b750a7efe62757ca1f82eb285cb39a8222a0a1dc43cc623fb326c1aa3694d396",
}
# The first production row's first three features: 12.85, 1.6, 2.52 before the fouling.
FIRST_CELLS = {
    "shift": [12.710089990125375, 1.5502472230995188, 2.247558455711065],
    "classic": [12.67570380694672, 1.4257038069467203, 2.3457038069467204],
    "clean": [12.85, 1.6, 2.52],
}


@pytest.mark.parametrize("set_name", HASHES)
def test_the_rows_of_a_set_are_these(set_name: str) -> None:
    sets = {str(name): rows for name, rows in split(SOURCE.rows, "target", 42).items()}
    assert content_hash_of(sets[set_name]) == HASHES[set_name]


@pytest.mark.parametrize("scenario", FIRST_CELLS)
def test_the_fouled_cells_are_these(scenario: str) -> None:
    features = split(SOURCE.rows, "target", 42)["production"][FEATURES].to_numpy()
    deviations = SOURCE.rows[FEATURES].to_numpy().std(axis=0)
    found = foul(features, deviations, scenario, 42)[0, :3]
    assert found.tolist() == pytest.approx(FIRST_CELLS[scenario], rel=1e-12)


def test_the_hash_tells_names_order_and_values_apart() -> None:
    rows = SOURCE.rows
    changed = rows.copy()
    changed.iloc[100, 5] += 1e-12
    others = [
        changed,
        rows.iloc[::-1],
        rows.rename(columns={"alcohol": "Alcohol"}),
        rows.head(177),
        rows[rows.columns[::-1]],
    ]
    hashes = {content_hash_of(one) for one in (rows, *others)}
    assert len(hashes) == 1 + len(others)
    assert content_hash_of(rows.copy()) in hashes
