"""Every model of the registry through skops and back, and what must not come back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline

from modelkit import storage
from modelkit.pipeline import build_pipeline
from modelkit.registry import registry

FRAME, TARGET = load_wine(return_X_y=True, as_frame=True)
FRAME = FRAME.mask(np.random.default_rng(3).random(FRAME.shape) < 0.03)
FRAME["empty"] = np.nan
QUICK: dict[str, dict[str, Any]] = {
    "RandomForest": {"n_estimators": 5},
    "HistGradientBoosting": {"max_iter": 3},
    "LogisticRegression": {"solver": "liblinear"},
    "RandomForestRegressor": {"n_estimators": 5},
    "HistGradientBoostingRegressor": {"max_iter": 3},
    "LinearSVC": {"dual": True, "max_iter": 100_000},
}


def fitted(name: str, target: Any = TARGET, **more: Any) -> Pipeline:
    pipeline = build_pipeline(name, {**QUICK.get(name, {}), **more}, list(FRAME.columns))
    return pipeline.fit(FRAME, np.asarray(target))


CLASSIFIERS = [name for name, entry in registry().items() if entry.task == "classification"]
REGRESSIONS = [name for name, entry in registry().items() if entry.task == "regression"]


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("labels", [np.array([0, 1, 2]), np.array(["a", "b", "c"], dtype=object)])
def test_a_round_trip_changes_no_prediction(name: str, labels: Any) -> None:
    pipeline = fitted(name, labels[TARGET])
    again = storage.loads(storage.dumps(pipeline))
    np.testing.assert_array_equal(again.predict(FRAME), pipeline.predict(FRAME))
    assert list(again.classes_) == list(pipeline.classes_)
    if hasattr(pipeline, "predict_proba"):
        np.testing.assert_array_equal(again.predict_proba(FRAME), pipeline.predict_proba(FRAME))


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_regression_comes_back_to_the_last_bit(name: str) -> None:
    rows, numbers = load_diabetes(return_X_y=True, as_frame=True)
    pipeline = build_pipeline(name, QUICK.get(name, {}), list(rows)).fit(rows, numbers.to_numpy())
    again = storage.loads(storage.dumps(pipeline))
    np.testing.assert_array_equal(again.predict(rows), pipeline.predict(rows))


@pytest.mark.parametrize("algorithm", ["ball_tree", "kd_tree", "brute"])
@pytest.mark.parametrize("metric", ["minkowski", "manhattan", "chebyshev"])
def test_neighbours_of_every_kind_can_be_stored(algorithm: str, metric: str) -> None:
    pipeline = fitted("KNN", algorithm=algorithm, metric=metric, p=3)
    again = storage.loads(storage.dumps(pipeline))
    np.testing.assert_array_equal(again.predict(FRAME), pipeline.predict(FRAME))


def test_a_type_nobody_named_is_not_loaded(tmp_path: Path) -> None:
    class_path = "sklearn.linear_model._stochastic_gradient"
    strange = SGDClassifier(loss="log_loss").fit(np.eye(2), [0, 1])
    content = skops.io.dumps({"model": strange, "code": Path})
    untrusted = skops.io.get_untrusted_types(data=content)
    assert untrusted, class_path
    with pytest.raises(storage.ModelNotTrusted):
        storage.loads(content)
    file = tmp_path / storage.MODEL_FILE
    file.write_bytes(content)
    with pytest.raises(storage.ModelNotTrusted, match="pathlib"):
        storage.load(file)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04broken"])
def test_a_broken_file_is_told_from_a_bug(content: bytes) -> None:
    with pytest.raises(storage.ModelNotTrusted, match="cannot be read"):
        storage.loads(content)


def test_requirements_are_pinned_and_given() -> None:
    options = storage.log_model_options()
    assert options["serialization_format"] == "skops"
    assert "sklearn.tree._tree.Tree" in options["skops_trusted_types"]
    assert all("==" in line for line in options["pip_requirements"])
    assert {line.split("==")[0] for line in options["pip_requirements"]} >= {
        "scikit-learn",
        "skops",
    }
