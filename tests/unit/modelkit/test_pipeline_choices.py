"""What can be chosen about a pipeline: that it is built so, kept so, and served so."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler

from modelkit import storage
from modelkit.errors import HyperparametersRefused
from modelkit.features import columns_of, feature_frame, rows_of
from modelkit.parity import make_serving_form
from modelkit.pipeline import build_pipeline, forget_rare_texts
from modelkit.pipeline_choices import CHOICES, choice_problem
from modelkit.registry import registry
from modelkit.servable import ServableModel
from modelkit.validation import check_grid, check_hyperparameters


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, Any]:
    """240 rows of numbers, a text and a truth value, with gaps; two classes with names."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "number": random.normal(size=240),
            "large": random.normal(size=240) * 1000,
            "text": pd.Series(random.choice(["x", "y", "z", None], size=240), dtype=object),
            "other text": pd.Series(["a", "b", None, "b", "c"] * 48, dtype=object),
            "truth": random.random(240) > 0.5,
        }
    )
    frame.loc[3, "text"] = "once"
    frame.loc[5, "number"] = np.nan
    score = frame["number"].fillna(0) + (frame["text"] == "x") + random.normal(size=240) * 0.3
    return feature_frame(frame), np.where(score > 0.3, "spam", "ham")


def steps_of(hyperparameters: dict[str, Any], columns: Any) -> dict[str, Any]:
    return dict(build_pipeline("DecisionTree", hyperparameters, columns).steps)


def test_nothing_chosen_is_the_first_of_each(table: tuple[pd.DataFrame, Any]) -> None:
    columns = columns_of(table[0])
    first = {name: values[0] for name, values in CHOICES.items()}
    assert repr(build_pipeline("SVC", first, columns)) == repr(build_pipeline("SVC", {}, columns))


def test_choices_are_what_the_pipeline_is_made_of() -> None:
    names = ["a", "b"]
    assert isinstance(steps_of({"preprocessing.scaling": "minmax"}, names)["scale"], MinMaxScaler)
    assert isinstance(steps_of({"preprocessing.scaling": "robust"}, names)["scale"], RobustScaler)
    assert "scale" not in steps_of({"preprocessing.scaling": "none"}, names)
    mean = steps_of({"preprocessing.numeric_imputation": "mean"}, names)["impute"]
    assert mean.strategy == "mean"


def test_ordinals_are_one_column_each_and_know_gaps_and_new_texts() -> None:
    frame = feature_frame(
        pd.DataFrame({"text": pd.Series(["b", "a", "b", "a", None, None, "rare"], dtype=object)})
    )
    pipeline = build_pipeline(
        "DecisionTree", {"preprocessing.category_encoding": "ordinal"}, columns_of(frame)
    ).fit(frame, [0, 1, 0, 1, 0, 1, 0])
    forget_rare_texts(pipeline)
    asked = feature_frame(pd.DataFrame({"text": ["a", "b", None, "rare", "never seen"]}))
    assert pipeline[:-1].transform(asked).ravel().tolist() == [0, 1, 2, 3, -1]


@pytest.mark.parametrize("encoding", ["one_hot", "ordinal"])
def test_a_missing_text_is_the_most_frequent_one_where_that_is_chosen(encoding: str) -> None:
    def frame(*values: str | None) -> pd.DataFrame:
        return feature_frame(pd.DataFrame({"text": pd.Series(values, dtype=object)}))

    known = frame("b", "a", "b", None, "a", "c", "c", "c", "once")
    choices = {
        "preprocessing.category_imputation": "most_frequent",
        "preprocessing.category_encoding": encoding,
    }
    labels = [0, 1, 0, 1, 0, 1, 0, 0, 1]
    pipeline = build_pipeline("DecisionTree", choices, columns_of(known)).fit(known, labels)
    filled = known.fillna({"text": "c"})
    plain = build_pipeline(
        "DecisionTree", {"preprocessing.category_encoding": encoding}, columns_of(known)
    ).fit(feature_frame(filled), labels)
    forget_rare_texts(pipeline)
    asked, meant = frame(None, "new", "a", "once"), frame("c", "new", "a", "once")
    np.testing.assert_array_equal(
        pipeline[:-1].transform(asked), plain[:-1].transform(feature_frame(meant))
    )
    form = make_serving_form(pipeline, columns_of(known), rows_of(known), None, "a test")
    assert form.runtime == "onnx", form.parity
    said = ServableModel(form).predict(rows_of(asked)).labels
    assert said == pipeline.predict(asked).tolist()
    assert ServableModel(form).predict([[None]]).labels == [0]


def test_a_column_of_missing_texts_carries_nothing(table: tuple[pd.DataFrame, Any]) -> None:
    rows, labels = table
    empty = feature_frame(rows.assign(text=pd.Series([None] * len(rows), dtype=object)))
    choices = {"preprocessing.category_imputation": "most_frequent"}
    pipeline = build_pipeline("DecisionTree", choices, columns_of(empty)).fit(empty, labels)
    form = make_serving_form(pipeline, columns_of(empty), rows_of(empty), None, "a test")
    asked = rows.head(40)
    assert ServableModel(form).predict(rows_of(asked)).labels == pipeline.predict(asked).tolist()


@pytest.mark.parametrize(
    "model", [name for name, entry in registry().items() if entry.task == "classification"]
)
@pytest.mark.parametrize(
    "chosen",
    [
        {"calibration": "sigmoid"},
        {"calibration": "isotonic"},
        {"preprocessing.scaling": "minmax", "preprocessing.numeric_imputation": "mean"},
        {"preprocessing.scaling": "robust", "preprocessing.category_encoding": "ordinal"},
        {"preprocessing.scaling": "none", "preprocessing.numeric_imputation": "most_frequent"},
        {"preprocessing.category_imputation": "most_frequent"},
        {
            "preprocessing.category_imputation": "most_frequent",
            "preprocessing.category_encoding": "ordinal",
        },
    ],
    ids=lambda chosen: "+".join(map(str, chosen.values())),
)
def test_every_choice_is_stored_and_served_as_it_was_fitted(
    table: tuple[pd.DataFrame, Any], model: str, chosen: dict[str, Any]
) -> None:
    rows, labels = table
    columns = columns_of(rows)
    check_hyperparameters(model, chosen)
    more = {"max_iter": 10_000} if model in ("LogisticRegression", "LinearSVC") else {}
    pipeline = build_pipeline(model, chosen | more, columns).fit(rows.iloc[:160], labels[:160])
    forget_rare_texts(pipeline)
    held_out = rows.iloc[160:]
    again = storage.loads(storage.dumps(pipeline))
    assert again.predict(held_out).tolist() == pipeline.predict(held_out).tolist()
    form = make_serving_form(pipeline, columns, rows_of(held_out), None, "a test")
    said = ServableModel(form).predict(rows_of(held_out))
    assert said.labels == pipeline.predict(held_out).tolist()
    if "calibration" in chosen:
        assert said.probabilities is not None
        assert said.probabilities == pytest.approx(pipeline.predict_proba(held_out), abs=1e-5)
    else:
        assert form.runtime == "onnx", form.parity["reason"]


def test_calibration_gives_probabilities_to_a_model_that_has_none(
    table: tuple[pd.DataFrame, Any],
) -> None:
    rows, labels = table
    pipeline = build_pipeline("LinearSVC", {"calibration": "sigmoid"}, columns_of(rows))
    shares = pipeline.fit(rows, labels).predict_proba(rows)
    said, spam = shares[:, 1], labels == "spam"
    for low in (0.0, 0.5):
        group = (said >= low) & (said < low + 0.5)
        assert said[group].mean() == pytest.approx(spam[group].mean(), abs=0.08)


@pytest.mark.parametrize(
    "model",
    [
        name
        for name, entry in registry().items()
        if entry.task == "classification" and "class_weight" in entry.make({}).get_params()
    ],
)
def test_classes_are_weighed_by_their_labels(table: tuple[pd.DataFrame, Any], model: str) -> None:
    rows, labels = table
    classes = ("ham", "spam")

    def found(weight: Any) -> int:
        values = {"class_weight": weight}
        check_hyperparameters(model, values)
        # Two features that say little: what is rare is then missed, unless it weighs more.
        few = rows[["large", "truth"]]
        shallow = {"max_depth": 2} if "max_depth" in registry()[model].make({}).get_params() else {}
        pipeline = build_pipeline(model, values | shallow, columns_of(few), classes)
        return int(np.count_nonzero(pipeline.fit(few, labels).predict(few) == "spam"))

    assert found({"ham": 1, "spam": 50}) > found({"ham": 50, "spam": 1})
    assert found("balanced") > 0


@pytest.mark.parametrize(
    ("classes", "given", "meant"),
    [
        ((0, 1), {"0": 1, "1": 5}, {0: 1, 1: 5}),
        ((1.5, 2.0), {"1.5": 1, "2": 5}, {1.5: 1, 2.0: 5}),
        ((False, True), {"false": 1, "true": 5}, {False: 1, True: 5}),
        (("1", "2"), {"1": 1, "2": 5}, {"1": 1, "2": 5}),
    ],
)
def test_labels_of_any_type_are_named_as_json_writes_them(
    classes: tuple[Any, ...], given: dict[str, int], meant: dict[Any, int]
) -> None:
    pipeline = build_pipeline("SVC", {"class_weight": given}, ["a"], classes)
    weights = dict(pipeline.steps)["model"].class_weight
    assert weights == meant
    assert [type(key) for key in weights] == [type(key) for key in meant]


def test_what_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(HyperparametersRefused, match=r"scaling must be one of .*'cube'"):
        check_hyperparameters("SVC", {"preprocessing.scaling": "cube"})
    with pytest.raises(HyperparametersRefused, match="which a regression has none of"):
        check_grid("Ridge", {"calibration": [None, "sigmoid"]})
    with pytest.raises(
        HyperparametersRefused, match=r"has no hyperparameter 'preprocessing\.colour'"
    ):
        check_hyperparameters("SVC", {"preprocessing.colour": "red"})
    assert choice_problem("calibration", ["sigmoid"], "classification")
    assert choice_problem("calibration", None, "regression") is None
