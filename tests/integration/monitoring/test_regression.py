"""The real Evidently on scored sets whose target is a number."""

import json

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from contracts.monitoring import TEST_NAMES
from monitoring.evidently_adapter import NUMBERS_TESTED, EvidentlyAdapter
from monitoring.service.comparison import Comparison
from monitoring.service.questions import counts_of


@pytest.fixture(scope="module")
def adapter() -> EvidentlyAdapter:
    return EvidentlyAdapter(20_000)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Patients scored by a ridge; in production one column is off."""
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    model = Ridge(alpha=0.1).fit(rows[:240], target[:240])
    production = rows[340:].assign(bmi=rows["bmi"][340:] + 0.1)
    frames: list[pd.DataFrame] = [
        part.assign(progress=target[part.index], prediction=model.predict(part))
        for part in (rows[240:340], production)
    ]
    return Comparison(*frames, list(rows), [], "progress", "prediction", [], "regression")


def test_the_report_has_the_errors(adapter: EvidentlyAdapter, comparison: Comparison) -> None:
    found = adapter.report(comparison, page=True)
    assert found.notes == ()
    metrics = {item["metric_name"].split("(")[0]: item["value"] for item in found.result["metrics"]}
    assert {"MAE", "RMSE", "R2Score", "MAPE"} <= set(metrics)
    errors = (comparison.current["progress"] - comparison.current["prediction"]).abs()
    assert metrics["MAE"]["mean"] == pytest.approx(errors.mean())
    assert found.page is not None and "</html>" in found.page
    json.dumps(found.result, allow_nan=False)


def test_every_preset_runs_and_the_note_says_which(
    adapter: EvidentlyAdapter, comparison: Comparison
) -> None:
    found = adapter.tests(comparison, TEST_NAMES, page=False)
    assert list(found.notes) == [NUMBERS_TESTED]
    assert counts_of(found.result)["total_tests"] > 40
    names = {test["name"] for test in found.result["tests"]}
    assert "Mean Absolute Error (MAE)" in names
    alone = adapter.tests(comparison, ["multi_class_classification"], page=False)
    assert all(test["group"] == "regression" for test in alone.result["tests"])
    assert adapter.tests(comparison, ["data_drift"], page=False).notes == ()
