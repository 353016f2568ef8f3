"""What each scenario does to a table, told against hand-made tables and by its properties."""

import subprocess
import sys

import numpy as np
import pytest

from simulator.service.scenarios import (
    DEFAULT_SCENARIO,
    SCENARIOS,
    Features,
    blank,
    foul,
)

N_ROWS, N_FEATURES = 4000, 6
SCALES = np.array([1e-3, 0.5, 1.0, 20.0, 300.0, 0.0])


def table() -> tuple[Features, Features]:
    """Features of very different scales, one of them constant, and their deviations."""
    features = np.random.default_rng(7).normal(size=(N_ROWS, N_FEATURES)) * SCALES + 5.0
    return features, features.std(axis=0)


def test_the_contracts_scenarios_are_there() -> None:
    assert {"shift", "classic", "clean"} <= set(SCENARIOS)
    assert DEFAULT_SCENARIO == "shift"


def test_no_two_scenarios_share_their_random_numbers() -> None:
    streams = [scenario.stream for scenario in SCENARIOS.values()]
    assert len(set(streams)) == len(streams)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_cells_and_leaves_the_source_alone(name: str) -> None:
    features, deviations = table()
    before = features.copy()
    first = foul(features, deviations, name, 42)
    second = foul(features, deviations, name, 42)
    assert first.tobytes() == second.tobytes()
    assert first is not features and first.shape == features.shape
    assert features.tobytes() == before.tobytes()


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"clean"}))
def test_another_seed_gives_other_cells(name: str) -> None:
    features, deviations = table()
    first, second = (foul(features, deviations, name, seed) for seed in (1, 2))
    assert not np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_smallest_and_the_largest_seed_work(seed: int) -> None:
    features, deviations = table()
    for name in SCENARIOS:
        assert foul(features, deviations, name, seed).shape == features.shape


def test_another_process_with_another_hash_seed_gives_the_same_cells() -> None:
    program = (
        "import hashlib, numpy as np; from simulator.service.scenarios import SCENARIOS, foul;"
        "x = np.arange(60.0).reshape(12, 5);"
        "print([hashlib.sha256(foul(x, x.std(axis=0), n, 42).tobytes()).hexdigest()"
        " for n in sorted(SCENARIOS)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1 and "[" in printed.pop()


def test_clean_changes_nothing() -> None:
    features, deviations = table()
    assert foul(features, deviations, "clean", 42).tobytes() == features.tobytes()


def test_classic_adds_one_number_to_every_cell_and_blanks_three_percent_of_each_column() -> None:
    features, deviations = table()
    added = foul(features, deviations, "classic", 42) - features
    present = added[~np.isnan(added)]
    assert np.ptp(present) < 1e-9
    assert np.isnan(added).sum(axis=0).tolist() == [120] * N_FEATURES


def test_classics_number_is_drawn_from_a_normal_distribution_of_deviation_0_3() -> None:
    nothing = np.zeros((2, 1))
    draws = [np.nanmax(foul(nothing, np.ones(1), "classic", seed)) for seed in range(2000)]
    # Standard errors with 2000 draws: 0.3 / sqrt(2000) = 0.0067 and 0.3 / sqrt(4000) = 0.0047.
    assert abs(np.mean(draws)) < 4 * 0.0067
    assert abs(np.std(draws) - 0.3) < 4 * 0.0047


def test_shift_moves_each_feature_by_its_own_deviation_and_blurs_it() -> None:
    features, deviations = table()
    fouled = foul(features, deviations, "shift", 42)
    moved = (np.nanmean(fouled, axis=0) - features.mean(axis=0))[:-1] / deviations[:-1]
    np.testing.assert_allclose(np.abs(moved), 1.0, atol=0.1)
    # The blur is independent of the feature: their variances add up.
    np.testing.assert_allclose(
        np.nanstd(fouled, axis=0)[:-1] / deviations[:-1], np.sqrt(1.0 + 1.5**2), atol=0.08
    )
    assert np.isnan(fouled).sum(axis=0).tolist() == [200] * N_FEATURES


def test_shift_leaves_a_constant_feature_where_it_is() -> None:
    features, deviations = table()
    constant = foul(features, deviations, "shift", 42)[:, -1]
    assert set(constant[~np.isnan(constant)]) == {5.0}


def test_missing_blanks_a_quarter_and_keeps_the_rest() -> None:
    features, deviations = table()
    fouled = foul(features, deviations, "missing", 42)
    gone = np.isnan(fouled)
    assert gone.sum(axis=0).tolist() == [1000] * N_FEATURES
    np.testing.assert_array_equal(fouled[~gone], features[~gone])


def test_outliers_throw_a_tenth_of_the_cells_five_to_ten_deviations_off() -> None:
    features, deviations = table()
    fouled = foul(features, deviations, "outliers", 42)
    off = np.abs(fouled - features)[:, :-1] / deviations[:-1]
    hit = off > 1e-6
    assert 0.09 < hit.mean() < 0.11
    assert off[hit].min() >= 5.0 - 1e-6
    assert off[hit].max() <= 10.0 + 1e-6
    assert not np.isnan(fouled).any()


@pytest.mark.parametrize(
    ("n_rows", "share", "expected"), [(36, 0.03, 1), (36, 0.05, 2), (10, 0.001, 1), (3, 1.0, 3)]
)
def test_blank_takes_its_share_of_each_column(n_rows: int, share: float, expected: int) -> None:
    fouled = blank(np.ones((n_rows, 4)), share, np.random.default_rng(1))
    assert np.isnan(fouled).sum(axis=0).tolist() == [expected] * 4
