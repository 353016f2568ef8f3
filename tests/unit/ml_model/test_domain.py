"""Messages, fingerprints and predictions by values that can be checked by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from ml_model import domain, fitting
from ml_model.domain import Deployment, ModelVersion, Score
from ml_model.errors import ScoringFailed, TrainingFailed
from modelkit.errors import ModelOfAnotherTask
from modelkit.pipeline import MIXED_PIPELINE_VERSION, PIPELINE_VERSION, build_pipeline

VERSION = ModelVersion(1, "SVC", 3, "SVC", "f", 1, "wine", 1)
DEPLOYMENT = Deployment(1, "DecisionTree", {"max_depth": 2}, None, None)


@pytest.mark.parametrize(
    ("right", "rows", "message"),
    [
        (104, 106, "Score on training set: 98.11320754716981%"),
        (106, 106, "Score on training set: 100.0%"),
        (0, 36, "Score on training set: 0.0%"),
        (35, 36, "Score on training set: 97.22222222222221%"),
    ],
)
def test_the_message_is_the_contracts(right: int, rows: int, message: str) -> None:
    assert Score("training", right / rows, rows, VERSION, "wine", 1).message == message


def test_equal_means_of_equal_type() -> None:
    texts = [domain.canonical({"C": value}) for value in (1, 1.0, True, "1", None, [1])]
    assert len(set(texts)) == len(texts)
    assert domain.canonical({"a": 1, "b": {"d": 1, "c": 2}}) == domain.canonical(
        {"b": {"c": 2, "d": 1}, "a": 1}
    )


def test_the_same_configuration_is_recognised() -> None:
    set_by_run = replace(DEPLOYMENT, source_run_id="a" * 32)
    assert set_by_run.is_of("DecisionTree", {"max_depth": 2}, "a" * 32)
    assert set_by_run.is_of("DecisionTree", {"max_depth": 2}, None)
    assert not DEPLOYMENT.is_of("DecisionTree", {"max_depth": 2}, "a" * 32)
    assert not DEPLOYMENT.is_of("DecisionTree", {"max_depth": 2.0}, None)
    assert not DEPLOYMENT.is_of("SVC", {"max_depth": 2}, None)


def test_a_fingerprint_covers_all_that_makes_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitting.training_fingerprint(DEPLOYMENT, 1, "rows")
    assert fitting.training_fingerprint(replace(DEPLOYMENT, id=9), 1, "rows") == first
    others = [
        fitting.training_fingerprint(replace(DEPLOYMENT, model_name="SVC"), 1, "rows"),
        fitting.training_fingerprint(replace(DEPLOYMENT, hyperparameters={}), 1, "rows"),
        fitting.training_fingerprint(replace(DEPLOYMENT, source_run_id="b"), 1, "rows"),
        fitting.training_fingerprint(DEPLOYMENT, 2, "rows"),
        fitting.training_fingerprint(DEPLOYMENT, 1, "other rows"),
    ]
    monkeypatch.setattr(fitting, "environment", lambda: {"scikit-learn": "9"})
    others.append(fitting.training_fingerprint(DEPLOYMENT, 1, "rows"))
    assert len({first, *others}) == 7


def rows_of(labels: list[Any], dtype: str, values: list[float] | None = None) -> pd.DataFrame:
    """One feature that says the class: below 5 the first, else the second."""
    frame = pd.DataFrame(
        {"x": values or [1.0, 2.0, 8.0, 9.0], "kind": pd.array(labels, dtype=dtype)},
        index=pd.Index([11, 12, 13, 14], name="sample_id"),
    )
    return frame.astype({"kind": dtype})


def test_rows_without_a_label_are_predicted_but_not_scored() -> None:
    pipeline = fitting.fit(DEPLOYMENT, rows_of([0, 0, 1, 1], "Int64"), "kind", [0, 1])
    found = fitting.predict(pipeline, rows_of([0, 1, None, 1], "Int64"), "kind", [0, 1])
    assert found.sample_ids.tolist() == [11, 12, 13, 14]
    assert found.predicted.tolist() == ["0", "0", "1", "1"]
    # Of the three labels 0, 1, 1 the second is missed.
    assert found.score == pytest.approx(2 / 3)
    assert found.probabilities is not None
    assert found.probabilities.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_probabilities_stand_in_the_datasets_order_of_classes() -> None:
    rows = rows_of(["red", "red", "blue", "blue"], "object")
    classes = ["red", "green", "blue"]
    pipeline = fitting.fit(DEPLOYMENT, rows, "kind", classes)
    found = fitting.predict(pipeline, rows, "kind", classes)
    assert list(pipeline.classes_) == ["blue", "red"]
    assert found.probabilities is not None
    # The model has never seen green.
    assert found.probabilities.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert found.score == 1


def test_a_model_without_probabilities_gives_none() -> None:
    rows = rows_of([0, 0, 1, 1], "Int64")
    pipeline = fitting.fit(replace(DEPLOYMENT, model_name="LinearSVC", hyperparameters={}), rows,
                          "kind", [0, 1])  # fmt: skip
    assert fitting.predict(pipeline, rows, "kind", [0, 1]).probabilities is None


def test_missing_values_are_imputed_from_the_rows_that_were_fitted() -> None:
    rows = rows_of([0, 0, 1, 1], "Int64", [1.0, 2.0, 2.0, float("nan")])
    pipeline = fitting.fit(DEPLOYMENT, rows, "kind", [0, 1])
    assert pipeline["impute"].statistics_.tolist() == [2.0]


def test_what_cannot_be_trained_or_scored_says_why() -> None:
    with pytest.raises(TrainingFailed, match="No row of the training set has a label"):
        fitting.fit(DEPLOYMENT, rows_of([None] * 4, "Int64"), "kind", [])
    one_class = rows_of([1, 1, 1, 1], "Int64")
    with pytest.raises(TrainingFailed, match="class"):
        fitting.fit(
            replace(DEPLOYMENT, model_name="SVC", hyperparameters={}), one_class, "kind", [1]
        )
    fitted = build_pipeline("DecisionTree", {}, ["x"]).fit(np.array([[1.0], [2.0]]), [0, 1])
    with pytest.raises(ScoringFailed, match="No row of the set has a label"):
        fitting.predict(fitted, rows_of([None] * 4, "Int64"), "kind", [])
    numbers = rows_of([0, 0, 1, 1], "Int64")
    fitted = fitting.fit(DEPLOYMENT, numbers, "kind", [0, 1])
    text = numbers.assign(x=pd.Series(["a", "b", "c", "d"], index=numbers.index, dtype=object))
    with pytest.raises(ScoringFailed, match="non-numeric data"):
        fitting.predict(fitted, text, "kind", [0, 1])


def test_text_and_truth_values_are_fitted_and_scored_as_they_are() -> None:
    rows = rows_of(["p", "q", "p", "q"], "object")
    texts = pd.Series(["a", "b", "a", "b"], index=rows.index, dtype=object)
    truths = pd.Series([True, False, None, False], index=rows.index).astype("boolean")
    rows = rows.assign(x=1.0, t=texts, b=truths)
    pipeline = fitting.fit(DEPLOYMENT, rows, "kind", ["p", "q"])
    rows.loc[12, "t"] = None
    rows.loc[13, "t"] = "never seen"
    found = fitting.predict(pipeline, rows, "kind", ["p", "q"])
    assert found.predicted[[0, 3]].tolist() == ["p", "q"]
    assert found.score >= 0.5


def test_a_pipeline_of_another_version_has_another_fingerprint() -> None:
    first = fitting.training_fingerprint(DEPLOYMENT, 1, "rows")
    assert fitting.training_fingerprint(DEPLOYMENT, 1, "rows", PIPELINE_VERSION) == first
    assert fitting.training_fingerprint(DEPLOYMENT, 1, "rows", MIXED_PIPELINE_VERSION) != first


def test_a_reason_is_one_bearable_line() -> None:
    assert domain.reason(ValueError("a\n  b")) == "a b"
    assert domain.reason(MemoryError()) == "MemoryError"
    assert len(domain.reason(ValueError("x" * 10_000))) == 501


NUMBERS = Deployment(1, "DecisionTreeRegressor", {"max_depth": 2}, None, None)


def test_a_regression_is_fitted_and_scored_as_scikit_learn_does() -> None:
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    # Whole numbers, as a table may hold them, are numbers here and no classes.
    frame = rows.assign(progress=target.astype("Int64"))
    frame.index.name = "sample_id"
    frame.loc[frame.index[5], "progress"] = None
    pipeline = fitting.fit(NUMBERS, frame[:300], "progress", [])
    known = frame[:300].dropna()
    bare = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        DecisionTreeRegressor(max_depth=2, random_state=42),
    ).fit(known.drop(columns="progress"), known["progress"].to_numpy(float))
    found = fitting.predict(pipeline, frame, "progress", [])
    assert found.predicted.dtype == np.float64
    np.testing.assert_array_equal(found.predicted, bare.predict(rows))
    assert found.probabilities is None
    judged = frame.dropna()
    truth = judged["progress"].to_numpy(float)
    said = bare.predict(judged.drop(columns="progress"))
    assert found.score == found.metrics["r2"] == pytest.approx(r2_score(truth, said))
    assert found.metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, said))


def test_what_a_regression_cannot_do_says_why() -> None:
    rows = rows_of([1.5, 2.0, 8.0, 9.5], "float64")
    with pytest.raises(ModelOfAnotherTask, match=r"SVC predicts classes.*'Ridge'"):
        fitting.fit(replace(DEPLOYMENT, model_name="SVC"), rows, "kind", [])
    with pytest.raises(ModelOfAnotherTask, match="DecisionTreeRegressor predicts numbers"):
        fitting.fit(NUMBERS, rows_of([0, 0, 1, 1], "Int64"), "kind", [0, 1])
    pipeline = fitting.fit(NUMBERS, rows, "kind", [])
    with pytest.raises(ScoringFailed, match="One row alone has no r2"):
        fitting.predict(pipeline, rows_of([1.5, None, None, None], "float64"), "kind", [])
    far = pd.DataFrame({"x": [1.0, 2.0]})
    beyond = build_pipeline("Ridge", {}, ["x"]).fit(far, [1e300, -1e300])
    refused = pytest.raises(ScoringFailed, match="no finite number")
    with np.errstate(over="ignore", invalid="ignore"), refused:
        fitting.predict(beyond, rows_of([0.0] * 4, "float64", [1e200] * 4), "kind", [])
