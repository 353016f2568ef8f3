"""A scenario on a table of every type, in one block and in several."""

import itertools

import numpy as np
import pandas as pd
import pytest

from schema.samples import Column
from simulator.builtin_datasets import read_builtin
from simulator.service.fouled_rows import deviations_of, foul_rows
from simulator.service.scenarios import SCENARIOS, foul

COLUMNS = [
    Column("n", "number"),
    Column("i", "integer"),
    Column("b", "boolean"),
    Column("t", "text"),
]


def table(n_rows: int = 400) -> pd.DataFrame:
    chance = np.random.default_rng(3)
    numbers = chance.normal(10.0, 3.0, n_rows)
    numbers[::7] = np.nan
    whole = pd.Series(chance.integers(0, 100, n_rows)).astype("Int64")
    whole[::11] = pd.NA
    return pd.DataFrame(
        {
            "n": numbers,
            "i": whole,
            "b": pd.Series(chance.random(n_rows) < 0.5).astype("boolean"),
            "t": pd.Series(chance.choice(["a", "b"], n_rows)).astype(object),
            "target": range(n_rows),
        }
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_types_stay_and_only_numbers_move(scenario: str) -> None:
    rows = table()
    deviations = deviations_of([rows], COLUMNS)
    fouled = foul_rows(rows, COLUMNS, deviations, scenario, 42, 0)
    assert fouled.dtypes.equals(rows.dtypes)
    assert fouled["target"].equals(rows["target"])
    for name in ("b", "t"):
        kept = fouled[name].notna()
        assert fouled[name][kept].tolist() == rows[name][kept].tolist()
        assert kept.sum() == 400 - {"shift": 20, "classic": 12, "missing": 100}.get(scenario, 0)
    assert fouled["n"].isna()[rows["n"].isna()].all()
    assert fouled["i"].isna()[rows["i"].isna()].all()
    if scenario in {"shift", "outliers"}:
        assert (fouled["i"] != rows["i"]).sum() > 30


@pytest.mark.parametrize("sizes", [(400,), (1, 399), (100, 100, 200)])
def test_the_deviation_does_not_depend_on_the_chunks(sizes: tuple[int, ...]) -> None:
    rows = table()
    cuts = np.cumsum((0, *sizes))
    chunks = [rows.iloc[a:b] for a, b in itertools.pairwise(cuts)]
    expected = [np.nanstd(rows["n"]), np.nanstd(rows["i"].to_numpy("float64", np.nan)), 0.0, 0.0]
    np.testing.assert_allclose(deviations_of(chunks, COLUMNS), expected, rtol=1e-12)


def test_a_table_in_one_chunk_without_gaps_has_numpys_deviation_to_the_last_bit() -> None:
    source = read_builtin("wine")
    names = [column.name for column in source.features]
    expected = source.rows[names].to_numpy().std(axis=0)
    found = deviations_of(source.chunks(source.features), source.features)
    assert found.tobytes() == expected.tobytes()


def test_blocks_move_together_and_differ_in_their_cells() -> None:
    features, deviations = np.zeros((5000, 4)), np.ones(4)
    first, second = (foul(features, deviations, "shift", 42, block) for block in (0, 1))
    np.testing.assert_array_equal(
        np.sign(np.nanmean(first, axis=0)), np.sign(np.nanmean(second, axis=0))
    )
    assert not np.array_equal(first, second, equal_nan=True)
    classics = [np.nanmax(foul(features, deviations, "classic", 42, block)) for block in (0, 1)]
    assert classics[0] == classics[1]


def test_what_has_no_deviation_stays() -> None:
    columns = [Column("constant", "number"), Column("huge", "number"), Column("empty", "number")]
    rows = pd.DataFrame(
        {"constant": [1.0, 1.0], "huge": [1.7e308, -1.7e308], "empty": [np.nan, np.nan]}
    )
    assert deviations_of([rows], columns).tolist() == [0.0, 0.0, 0.0]
