"""What the fouling is for: a model that did well on the testing set does worse in production."""

import numpy as np
import pytest

from modelkit.pipeline import build_pipeline
from simulator.builtin_datasets import read_builtin
from simulator.service.scenarios import foul
from tests.support.cut_sets import split

MODELS = {
    "LogisticRegression": {"solver": "liblinear"},
    "RandomForest": {"n_estimators": 100},
    "SVC": {},
}


def rows_lost(model: str, scenario: str, seed: int) -> int:
    """Return how many more rows are right of the 36 for testing than of the 36 in production."""
    source = read_builtin("wine")
    names = [column.name for column in source.features]
    sets = split(source.rows, "target", seed)
    pipeline = build_pipeline(model, MODELS[model], names)
    pipeline.fit(sets["training"][names], sets["training"]["target"])
    production = sets["production"][names].copy()
    deviations = source.rows[names].to_numpy().std(axis=0)
    production.loc[:, names] = foul(production.to_numpy(), deviations, scenario, seed)
    right = [
        int(np.sum(pipeline.predict(features) == sets[name]["target"].to_numpy()))
        for name, features in (("testing", sets["testing"][names]), ("production", production))
    ]
    return right[0] - right[1]


@pytest.mark.parametrize("seed", [42, *range(6)])
@pytest.mark.parametrize("model", MODELS)
def test_the_default_scenario_costs_at_least_three_of_36_rows(model: str, seed: int) -> None:
    assert rows_lost(model, "shift", seed) >= 3


@pytest.mark.parametrize("seed", [42, *range(6)])
@pytest.mark.parametrize("model", MODELS)
def test_clean_production_costs_no_more_than_chance(model: str, seed: int) -> None:
    assert abs(rows_lost(model, "clean", seed)) <= 3
