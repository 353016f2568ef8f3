"""Every model of the registry in the form it is served in, held against scikit-learn itself."""

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from modelkit import storage
from modelkit.drawn_rows import DRAWN_ROWS, draw_rows
from modelkit.input_rows import InputColumn, InputRows
from modelkit.parity import PROBABILITY_BOUND, make_serving_form
from modelkit.pipeline import build_pipeline
from modelkit.pipeline_columns import input_columns
from modelkit.registry import registry
from modelkit.servable import (
    MOST_ROWS_AT_ONCE,
    ServableModel,
    ServingForm,
    columns_from_json,
    columns_to_json,
)
from modelkit.storage import ModelNotTrusted
from tests.support.running_suite import ROOT

FRAME, TARGET = load_wine(return_X_y=True, as_frame=True)
FRAME = FRAME.mask(np.random.default_rng(3).random(FRAME.shape) < 0.03)
TRAINING, HELD_OUT = FRAME[::2], FRAME[1::2]
COLUMNS = tuple(InputColumn(name, "double", required=False) for name in FRAME)
QUICK: dict[str, dict[str, Any]] = {
    "RandomForest": {"n_estimators": 20},
    "HistGradientBoosting": {"max_iter": 10},
    "LinearSVC": {"max_iter": 100_000},
    "LogisticRegression": {"max_iter": 1000},
}
LABELS = {
    "numbers": np.array([0, 1, 2]),
    "others": np.array([-7, 3, 12]),
    "texts": np.array(["low", "mid", "high"], dtype=object),
    "two": np.array([0, 1, 1]),
    "truth": np.array([False, True, True]),
    "floats": np.array([1.0, 2.0, 4.0]),
}


def fitted(name: str, labels: str = "numbers", **hyperparameters: Any) -> Any:
    options = {**QUICK.get(name, {}), **hyperparameters}
    pipeline = build_pipeline(name, options, list(FRAME.columns))
    return pipeline.fit(TRAINING, LABELS[labels][TARGET[::2]])


def form_of(pipeline: Any, columns: Any = COLUMNS, rows: Any = None) -> ServingForm:
    taken = HELD_OUT.to_numpy() if rows is None else rows
    return make_serving_form(pipeline, columns, taken, None, "testing set")


def assert_same(form: ServingForm, pipeline: Any, rows: Any, frame: Any) -> None:
    """Hold the form against the pipeline, on rows and on the same in a DataFrame."""
    predicted = ServableModel(form).predict(rows)
    assert predicted.labels == pipeline.predict(frame).tolist()
    assert [type(label) for label in predicted.labels] == [
        type(label) for label in pipeline.predict(frame).tolist()
    ]
    if not hasattr(pipeline, "predict_proba"):
        assert predicted.probabilities is None
        return
    assert predicted.probabilities is not None
    assert predicted.probabilities.dtype == np.float64
    expected = pipeline.predict_proba(frame)
    np.testing.assert_allclose(predicted.probabilities, expected, rtol=0, atol=PROBABILITY_BOUND)


CLASSIFIERS = [name for name, entry in registry().items() if entry.task == "classification"]
REGRESSIONS = [name for name, entry in registry().items() if entry.task == "regression"]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_model_is_served_as_it_predicts(name: str, labels: str) -> None:
    pipeline = fitted(name, labels)
    form = form_of(pipeline)
    assert form.runtime == "onnx", form.parity
    assert form.task == "classification"
    assert list(form.classes) == pipeline.classes_.tolist()
    assert form.class_names == tuple(str(label) for label in form.classes)
    assert_same(form, pipeline, FRAME.to_numpy(), FRAME)


@pytest.mark.parametrize(
    "name, hyperparameters",
    [
        ("LogisticRegression", {"solver": "liblinear"}),
        ("LogisticRegression", {"solver": "liblinear", "fit_intercept": False}),
        ("LogisticRegression", {"fit_intercept": False}),
        ("RandomForest", {"max_depth": 3, "class_weight": "balanced"}),
        ("RandomForest", {"bootstrap": False, "max_features": None}),
        ("DecisionTree", {"max_depth": 1}),
        ("DecisionTree", {"max_depth": 4, "criterion": "entropy"}),
        ("HistGradientBoosting", {"max_depth": 2, "l2_regularization": 1.0}),
        ("KNN", {"weights": "distance"}),
        ("KNN", {"n_neighbors": 1}),
        ("SVC", {"kernel": "linear"}),
        ("SVC", {"kernel": "poly", "degree": 2}),
        ("LinearSVC", {"fit_intercept": False}),
    ],
)
@pytest.mark.parametrize("labels", ["numbers", "two"])
def test_hyperparameters_that_change_the_graph(
    name: str, hyperparameters: dict[str, Any], labels: str
) -> None:
    pipeline = fitted(name, labels, **hyperparameters)
    form = form_of(pipeline)
    assert form.runtime == "onnx", form.parity
    # The rows it was fitted on too: neighbours at distance 0.
    assert_same(form, pipeline, FRAME.to_numpy(), FRAME)


def test_float64_in_the_trees_is_scikit_learns_own_number() -> None:
    form = form_of(fitted("RandomForest"))
    assert form.parity["precision"] == "float64"
    assert form.parity["max_probability_difference"] < 1e-7


def test_a_tie_between_trees_is_broken_as_scikit_learn_does() -> None:
    # Pure leaves and an even number of trees: votes of 10 to 10 are common here.
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    forest = RandomForestClassifier(20, random_state=0).fit(rows, labels)
    seen = rng.normal(size=(3000, 3))
    votes = forest.predict_proba(seen)[:, 0]
    assert (votes == 0.5).sum() > 50
    columns = [InputColumn(f"x{number}", "double") for number in range(3)]
    form = form_of(forest, columns, seen)
    assert (form.runtime, form.parity["label_mismatches"]) == ("onnx", 0)


def test_values_at_a_threshold_go_the_same_way() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 2)).round(1)
    labels = (rows[:, 0] + rows[:, 1] > 0.05).astype(int)
    for model in (
        ExtraTreesClassifier(10, random_state=0),
        HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2),
    ):
        model.fit(rows, labels)
        thresholds = np.unique(rows[:, 0])
        middle = (thresholds[1:] + thresholds[:-1]) / 2
        seen = np.array([(a, b) for a in np.r_[thresholds, middle] for b in middle[::7]])
        columns = [InputColumn("a", "double"), InputColumn("b", "double")]
        form = form_of(model, columns, seen)
        assert form.runtime == "onnx", form.parity


def test_missing_values_find_their_way_through_trees_that_take_them() -> None:
    for model in (
        HistGradientBoostingClassifier(max_iter=5),
        RandomForestClassifier(10, random_state=0),
    ):
        model.fit(TRAINING.to_numpy(), TARGET[::2])
        form = form_of(model)
        assert form.runtime == "onnx", form.parity
        assert_same(form, model, FRAME.to_numpy(), FRAME.to_numpy())


@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        RandomForestRegressor(10, random_state=0),
        HistGradientBoostingRegressor(max_iter=10),
        HistGradientBoostingRegressor(max_iter=10, loss="poisson"),
    ],
    ids=str,
)
def test_regressions(model: Any) -> None:
    data, target = load_diabetes(return_X_y=True)
    model.fit(data[::2], target[::2])
    columns = [InputColumn(f"x{number}", "double") for number in range(data.shape[1])]
    form = form_of(model, columns, data[1::2])
    assert (form.runtime, form.task, form.classes) == ("onnx", "regression", ())
    predicted = ServableModel(form).predict(data)
    np.testing.assert_allclose(predicted.labels, model.predict(data), rtol=1e-5)
    assert predicted.probabilities is None


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        *((name, {}) for name in REGRESSIONS),
        ("KNeighborsRegressor", {"weights": "distance"}),
        ("Ridge", {"fit_intercept": False}),
        ("Ridge", {"positive": True}),
        ("Lasso", {"fit_intercept": False}),
        ("SVR", {"kernel": "linear"}),
        ("SVR", {"kernel": "poly", "degree": 2, "coef0": 1.0}),
        ("SVR", {"kernel": "sigmoid"}),
        ("SVR", {"gamma": 0.1, "C": 1000}),
    ],
)
@pytest.mark.parametrize(("unit", "least"), [(1.0, 0.0), (1e-9, 0.0), (3.6e3, 1.7e9)])
def test_every_regression_is_served_as_it_predicts(
    name: str, hyperparameters: dict[str, Any], unit: float, least: float
) -> None:
    rows, numbers = load_diabetes(return_X_y=True, as_frame=True)
    pipeline = build_pipeline(name, hyperparameters, list(rows))
    pipeline.fit(rows[::2], numbers[::2].to_numpy() * unit + least)
    columns = [InputColumn(column, "double", required=False) for column in rows]
    form = form_of(pipeline, columns, rows[1::2].to_numpy())
    assert (form.runtime, form.task, form.classes) == ("onnx", "regression", ()), form.parity
    # The rows it was fitted on too: neighbours at distance 0.
    predicted = ServableModel(form).predict(rows.to_numpy())
    expected = pipeline.predict(rows)
    np.testing.assert_allclose(predicted.labels, expected, rtol=1e-5, atol=1e-5 * expected.std())
    assert np.abs(predicted.labels - expected).max() <= 1e-5 * expected.std()


def test_where_float32_would_show_scikit_learn_serves() -> None:
    rows, numbers = load_diabetes(return_X_y=True, as_frame=True)
    pipeline = build_pipeline("RandomForestRegressor", {"n_estimators": 10}, list(rows))
    pipeline.fit(rows, 1e9 + 1e-5 * numbers)
    columns = [InputColumn(column, "double", required=False) for column in rows]
    form = form_of(pipeline, columns, rows.to_numpy())
    assert form.runtime == "sklearn" and form.parity["max_probability_difference"] > 1e-5
    predicted = ServableModel(form).predict(rows.to_numpy())
    assert list(predicted.labels) == pipeline.predict(rows).tolist()


def test_the_bound_of_a_regression_knows_no_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelkit import onnx_conversion

    rows, numbers = load_diabetes(return_X_y=True, as_frame=True)
    pipeline, other = (
        build_pipeline("Ridge", {"alpha": alpha}, list(rows)).fit(rows, numbers.to_numpy() * 1e-9)
        for alpha in (1.0, 100.0)
    )
    real = onnx_conversion.to_onnx
    monkeypatch.setattr(
        onnx_conversion, "to_onnx", lambda _, *more, **options: real(other, *more, **options)
    )
    columns = [InputColumn(column, "double") for column in rows]
    assert form_of(pipeline, columns, rows.to_numpy()).runtime == "sklearn"


def test_models_of_others_are_converted_by_skl2onnx() -> None:
    data, target = load_breast_cancer(return_X_y=True)
    model = make_pipeline(
        StandardScaler(), GradientBoostingClassifier(n_estimators=10, random_state=0)
    ).fit(data, target)
    columns = [InputColumn(f"x{number}", "double") for number in range(data.shape[1])]
    form = form_of(model, columns, data)
    assert form.parity["label_mismatches"] == 0
    assert_same(form, model, data, data)


@pytest.mark.parametrize(
    "model",
    [
        GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.1, 1]}, cv=2),
        CalibratedClassifierCV(SVC(), cv=2),
        VotingClassifier([("a", LogisticRegression(max_iter=1000)), ("b", KNeighborsClassifier())]),
        MLPClassifier((3,), max_iter=5000, tol=1e-2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_people_log_elsewhere_is_trusted_and_served(model: Any) -> None:
    data, target = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), model).fit(data[::2], target[::2])
    stored = storage.loads(storage.dumps(pipeline))
    columns = [InputColumn(f"x{number}", "double") for number in range(data.shape[1])]
    assert_same(form_of(stored, columns, data), pipeline, data, data)


class Contrary(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier without a converter."""

    def fit(self, X: Any, y: Any) -> "Contrary":
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


def test_what_has_no_converter_is_served_by_scikit_learn_and_the_report_says_why() -> None:
    pipeline = fitted("KNN", metric="manhattan")
    form = form_of(pipeline)
    assert form.runtime == form.parity["runtime"] == "sklearn"
    assert "another distance" in form.parity["reason"]
    assert form.parity["label_mismatches"] is None
    assert_same(form, pipeline, FRAME.to_numpy(), FRAME)


def test_onnx_that_predicts_otherwise_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelkit import onnx_conversion

    pipeline, other = fitted("LogisticRegression"), fitted("LogisticRegression", C=0.001)
    real = onnx_conversion.to_onnx
    monkeypatch.setattr(
        onnx_conversion, "to_onnx", lambda _, *more, **options: real(other, *more, **options)
    )
    form = form_of(pipeline)
    assert form.runtime == "sklearn"
    assert form.parity["reason"] == "ONNX predicts otherwise"
    assert form.parity["max_probability_difference"] > PROBABILITY_BOUND
    assert_same(form, pipeline, FRAME.to_numpy(), FRAME)


def test_a_form_of_types_beyond_our_list_does_not_load() -> None:
    model = Contrary().fit(TRAINING, TARGET[::2])
    form = form_of(model)
    assert form.runtime == "sklearn"
    with pytest.raises(ModelNotTrusted):
        ServableModel(form)


def test_the_pipeline_is_left_as_it_was() -> None:
    pipeline = fitted("KNN", metric="manhattan")
    form_of(pipeline)
    assert list(pipeline.feature_names_in_) == list(FRAME)
    pipeline.predict(FRAME)


@pytest.mark.parametrize("name", ["RandomForest", "KNN"])
def test_many_rows_are_predicted_piece_by_piece(name: str) -> None:
    pipeline = fitted(name)
    rows = np.tile(FRAME.to_numpy(), (2 * MOST_ROWS_AT_ONCE // len(FRAME) + 1, 1))
    predicted = ServableModel(form_of(pipeline)).predict(rows)
    once = pipeline.predict(FRAME).tolist()
    assert predicted.labels == (once * (len(rows) // len(FRAME)))
    assert predicted.probabilities is not None and len(predicted.probabilities) == len(rows)


def test_threads_get_their_own_answers() -> None:
    pipeline = fitted("RandomForest")
    model = ServableModel(form_of(pipeline))
    expected = pipeline.predict(FRAME).tolist()
    wrong: list[int] = []

    def ask(start: int) -> None:
        for number in range(start, len(FRAME), 4):
            row = FRAME.to_numpy()[number : number + 1]
            if model.predict(row).labels != [expected[number]]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


MIXED = pd.DataFrame(
    {
        "size": np.linspace(0, 1, 60),
        "colour": ["red", "blue", "green"] * 20,
        "grade": [1, 2, 3, 4] * 15,
        "fresh": [True, False] * 30,
    }
)
SIGNATURE = (
    InputColumn("size", "double"),
    InputColumn("colour", "string"),
    InputColumn("grade", "integer"),
    InputColumn("fresh", "boolean"),
)


def mixed_model(encoder: Any) -> Any:
    split = ColumnTransformer([("kinds", encoder, ["colour", "grade"])], remainder="passthrough")
    labels = np.where((MIXED["size"] > 0.5) ^ (MIXED["colour"] == "red"), "yes", "no")
    return make_pipeline(split, LogisticRegression()).fit(MIXED, labels)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=str)
def test_text_columns_and_categories(encoder: Any) -> None:
    pipeline = mixed_model(encoder)
    columns = input_columns(pipeline, SIGNATURE)
    assert columns[1].categories == ("blue", "green", "red")
    assert columns[2].categories == (1, 2, 3, 4)
    assert columns[0].categories is columns[3].categories is None
    rows = InputRows(columns).from_records(MIXED.to_dict("records"))
    form = form_of(pipeline, columns, rows)
    assert_same(form, pipeline, rows, MIXED)


def test_an_encoder_that_lets_the_unknown_pass_has_no_categories() -> None:
    pipeline = mixed_model(OneHotEncoder(handle_unknown="ignore"))
    assert all(column.categories is None for column in input_columns(pipeline, SIGNATURE))


def test_columns_without_a_signature() -> None:
    assert input_columns(fitted("KNN"), None) == tuple(
        InputColumn(name, "double") for name in FRAME
    )
    plain = RandomForestClassifier(2).fit([[1, 2], [3, 4]], [0, 1])
    assert [column.name for column in input_columns(plain, None)] == ["x0", "x1"]
    assert input_columns(mixed_model(OneHotEncoder()), None)[1].type == "string"


def test_drawn_rows_are_the_same_each_time_and_pass_their_own_check() -> None:
    columns = (*SIGNATURE, InputColumn("note", "string", required=False))
    example = [[*row, None] for row in MIXED.head(3).to_numpy().tolist()]
    rows = draw_rows(columns, example)
    assert rows == draw_rows(columns, example)
    assert rows[:3] == example
    assert len(rows) == 3 + DRAWN_ROWS
    assert InputRows(columns).from_lists(rows) == rows
    assert any(row[4] is None for row in rows[3:])
    assert {row[1] for row in rows} == {"red", "blue", "green"}
    assert InputRows(columns).from_lists(draw_rows(columns, []))


def test_columns_as_json_and_back() -> None:
    columns = (*SIGNATURE, InputColumn("kind", "string", False, ("a", "b")))
    assert columns_from_json(columns_to_json(columns)) == columns


def test_who_serves_onnx_imports_neither_scikit_learn_nor_pandas(tmp_path: Any) -> None:
    form = form_of(fitted("RandomForest"))
    (tmp_path / "model.onnx").write_bytes(form.content)
    program = f"""
import sys
from pathlib import Path
from modelkit.servable import InputColumn, ServableModel, ServingForm
columns = tuple(InputColumn(str(n), "double", False) for n in range({len(COLUMNS)}))
content = Path({str(tmp_path / "model.onnx")!r}).read_bytes()
form = ServingForm("onnx", content, columns, "classification", (0, 1, 2), ("a", "b", "c"), {{}})
model = ServableModel(form)
print(model.predict(model.rows_from_lists([[1.0] * {len(COLUMNS)}])).labels)
print(sorted(set(sys.modules) & {{"sklearn", "pandas", "skl2onnx", "mlflow", "skops"}}))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "services"), "PATH": ""},
    )
    assert answer.stdout.splitlines()[1] == "[]"
