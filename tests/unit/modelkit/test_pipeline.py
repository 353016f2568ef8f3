"""The pipeline by numbers that can be checked by hand, and its defaults."""

import numpy as np
import pandas as pd
import pytest

from modelkit.errors import ModelNotFound
from modelkit.pipeline import build_pipeline
from modelkit.registry import registry

ROWS = pd.DataFrame(
    {
        "od280/od315": [1.0, 2.0, 6.0, np.nan],
        "never measured": [np.nan] * 4,
        "constant": [5.0] * 4,
    }
)
TARGET = np.array([0, 0, 1, 1])


def test_steps_are_impute_scale_model() -> None:
    pipeline = build_pipeline("DecisionTree", {}, list(ROWS.columns)).fit(ROWS, TARGET)
    assert list(pipeline.named_steps) == ["impute", "scale", "model"]
    # The median of 1, 2, 6 is 2; a column without any value becomes 0.
    assert pipeline["impute"].statistics_.tolist() == [2.0, 0.0, 5.0]
    # 1, 2, 6 and the imputed 2: mean 2.75, population variance 3.6875.
    assert pipeline["scale"].mean_[0] == 2.75
    assert pipeline["scale"].var_[0] == pytest.approx(3.6875)
    scaled = pipeline[:-1].transform(ROWS)
    assert scaled[0, 0] == pytest.approx((1 - 2.75) / np.sqrt(3.6875))
    assert scaled[:, 1:].tolist() == [[0.0, 0.0]] * 4


def test_what_is_missing_later_takes_the_training_median() -> None:
    pipeline = build_pipeline("DecisionTree", {}, list(ROWS.columns)).fit(ROWS, TARGET)
    later = pd.DataFrame({name: [np.nan] for name in ROWS.columns})
    assert pipeline[:-1].transform(later)[0, 0] == pytest.approx((2 - 2.75) / np.sqrt(3.6875))


UNSEEDED = ("KNN", "KNeighborsRegressor", "SVR")
"""They draw no random numbers."""


@pytest.mark.parametrize("name", [name for name in registry() if name not in UNSEEDED])
def test_estimators_are_seeded_unless_the_user_says_otherwise(name: str) -> None:
    assert build_pipeline(name, {}, ["a"])["model"].random_state == 42
    assert build_pipeline(name, {"random_state": 7}, ["a"])["model"].random_state == 7
    assert build_pipeline(name, {"random_state": None}, ["a"])["model"].random_state is None


def test_hyperparameters_keep_their_types() -> None:
    values = {"n_estimators": 3, "max_depth": None, "bootstrap": False, "max_features": 0.5}
    parameters = build_pipeline("RandomForest", values, ["a"])["model"].get_params()
    assert {name: parameters[name] for name in values} == values
    assert isinstance(parameters["n_estimators"], int)


def test_class_keys_become_the_classes_they_name() -> None:
    weights = {"class_weight": {"0": 2.0, "1": 1.0}}
    numbers = build_pipeline("SVC", weights, ["a"])["model"].class_weight
    assert numbers == {0: 2.0, 1: 1.0}
    texts = build_pipeline("SVC", weights, ["a"], classes=["0", "1"])["model"].class_weight
    assert texts == {"0": 2.0, "1": 1.0}
    named = build_pipeline("SVC", {"class_weight": {"barolo": 2.0}}, ["a"])["model"].class_weight
    assert named == {"barolo": 2.0}


def test_unknown_model_and_missing_columns() -> None:
    with pytest.raises(ModelNotFound):
        build_pipeline("Perceptron", {}, ["a"])
    with pytest.raises(ValueError, match="at least one"):
        build_pipeline("SVC", {}, [])
