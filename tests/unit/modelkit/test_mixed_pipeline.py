"""The pipeline of text, truth values and numbers: its steps by hand, stored, and served."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelkit import storage
from modelkit.drawn_rows import unlucky_rows
from modelkit.features import columns_of, feature_frame, json_rows, rows_of
from modelkit.input_rows import InputColumn, InputRows, InvalidRows
from modelkit.onnx_conversion import to_onnx
from modelkit.parity import PROBABILITY_BOUND, make_serving_form
from modelkit.pipeline import (
    MIXED_PIPELINE_VERSION,
    MOST_CATEGORIES,
    PIPELINE_VERSION,
    build_pipeline,
    forget_rare_texts,
    pipeline_version,
    preprocessing_steps,
)
from modelkit.pipeline_columns import input_columns
from modelkit.registry import get_entry, registry
from modelkit.servable import ServableModel

QUICK: dict[str, dict[str, Any]] = {
    "RandomForest": {"n_estimators": 20},
    "HistGradientBoosting": {"max_iter": 10},
    "LinearSVC": {"max_iter": 100_000},
    "LogisticRegression": {"max_iter": 1000},
}


def mixed(row_count: int = 240) -> pd.DataFrame:
    """Every type, in an order of no kind, under names that are none, with gaps in each."""
    chance = np.random.default_rng(1)
    return feature_frame(
        pd.DataFrame(
            {
                "colour; a": pd.Series(chance.choice(["red", "blue", None], row_count)),
                "size": np.where(
                    chance.random(row_count) < 0.1, np.nan, chance.normal(size=row_count)
                ),
                'so "fresh"': pd.array(chance.choice([True, False, None], row_count), "boolean"),
                "free text": pd.Series([f"note {number // 2}" for number in range(row_count)]),
                "whole": pd.array(chance.choice([1, 2, 3, None], row_count), "Int64"),
            }
        )
    )


FRAME = mixed()
LABELS = np.where((FRAME["colour; a"] == "red") ^ (FRAME["size"] > 0), "yes", "no")
NUMBERS = FRAME["size"].fillna(0).to_numpy() * 3 + (FRAME["colour; a"] == "red").to_numpy()


def fitted(name: str, frame: pd.DataFrame = FRAME) -> Any:
    target = NUMBERS if get_entry(name).task == "regression" else LABELS
    pipeline = build_pipeline(name, QUICK.get(name, {}), columns_of(frame)).fit(frame, target)
    forget_rare_texts(pipeline)
    return pipeline


def transformed(frame: pd.DataFrame, later: pd.DataFrame | None = None) -> Any:
    pipeline = build_pipeline("DecisionTree", {}, columns_of(frame))
    pipeline.fit(frame, np.arange(len(frame)) % 2)
    return pipeline[:-1].transform(frame if later is None else later)


def texts(*values: str | None) -> pd.DataFrame:
    return feature_frame(pd.DataFrame({"t": pd.Series(list(values), dtype=object)}))


def truths(*values: bool | None) -> pd.DataFrame:
    return feature_frame(pd.DataFrame({"b": pd.array(list(values), "boolean")}))


def test_numbers_alone_have_the_pipeline_they_always_had() -> None:
    whole = [InputColumn("a", "double", required=False), InputColumn("b", "integer")]
    for columns in (["a", "b"], whole):
        assert str(preprocessing_steps(columns)) == (
            "[('impute', SimpleImputer(keep_empty_features=True, strategy='median')),"
            " ('scale', StandardScaler())]"
        )
        assert pipeline_version(columns) == PIPELINE_VERSION == 1
    assert pipeline_version(columns_of(FRAME)) == MIXED_PIPELINE_VERSION
    assert pipeline_version(columns_of(truths(True))) == MIXED_PIPELINE_VERSION


def test_numbers_among_others_are_imputed_and_scaled_as_they_are_alone() -> None:
    names = ["size", "whole"]
    alone = build_pipeline("DecisionTree", {}, names).fit(FRAME[names], LABELS)
    together = build_pipeline("DecisionTree", {}, columns_of(FRAME)).fit(FRAME, LABELS)
    np.testing.assert_array_equal(
        together[:-1].transform(FRAME)[:, :2], alone[:-1].transform(FRAME[names])
    )


def test_texts_become_a_column_per_category_and_missing_is_one() -> None:
    frame = texts("b", "a", None, "a", "b", None)
    assert transformed(frame).tolist() == [
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
    ]


def test_a_text_that_nobody_saw_is_in_no_column() -> None:
    known = texts("a", "a", "b", "b")
    assert transformed(known, texts("c", None, "A", "")).tolist() == [[0, 0]] * 4


def test_rare_texts_share_a_column_with_those_that_nobody_saw() -> None:
    known = texts("a", "a", "once", "b", "b", "also once")
    assert transformed(known, texts("a", "once", "also once", "new", None, "b")).tolist() == [
        [1, 0, 0],
        *[[0, 0, 1]] * 4,
        [0, 1, 0],
    ]


def test_truth_values_are_0_and_1_and_where_missing_the_commoner_one() -> None:
    assert transformed(truths(True, None, False, True)).tolist() == [[1], [1], [0], [1]]
    # As values without gaps come from a request: plain bool.
    later = pd.DataFrame({"b": [True, False]})
    assert transformed(truths(False, False, True, None), later).tolist() == [[1], [0]]
    assert transformed(truths(None, None)).tolist() == [[0], [0]]


def test_columns_without_any_value_carry_nothing() -> None:
    frame = pd.concat([texts(None, None), truths(None, None)], axis=1)
    assert transformed(frame).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("times", [1, 2])
def test_free_text_stays_small(times: int) -> None:
    frame = texts(*[f"a sentence, number {number}" for number in range(4_000)] * times)
    labels = np.arange(len(frame)) % 2
    whole = build_pipeline("LogisticRegression", {}, columns_of(frame)).fit(frame, labels)
    width = whole[:-1].transform(frame).shape[1]
    assert width == (1 if times == 1 else MOST_CATEGORIES)
    small = copy.deepcopy(whole)
    forget_rare_texts(small)
    assert len(storage.dumps(small)) < len(storage.dumps(whole)) / 4
    later = texts("new", None, "", *frame["t"])
    np.testing.assert_array_equal(small[:-1].transform(later), whole[:-1].transform(later))
    np.testing.assert_array_equal(small.predict_proba(later), whole.predict_proba(later))
    [known] = small["columns"].named_transformers_["texts"].categories_
    assert len(known) == width


def test_forgetting_leaves_numbers_alone() -> None:
    pipeline = build_pipeline("DecisionTree", {}, ["a"]).fit([[1.0], [2.0]], [0, 1])
    forget_rare_texts(pipeline)
    without_text = FRAME[["size", 'so "fresh"']]
    pipeline = build_pipeline("DecisionTree", {}, columns_of(without_text))
    pipeline.fit(without_text, LABELS)
    forget_rare_texts(pipeline)


@pytest.mark.parametrize("name", registry())
def test_every_model_is_stored_and_served_by_onnx(name: str) -> None:
    pipeline = fitted(name)
    again = storage.loads(storage.dumps(pipeline))
    columns = columns_of(FRAME)
    rows = json_rows(FRAME)
    form = make_serving_form(again, columns, rows[:40], None, "testing set")
    assert form.runtime == "onnx", form.parity
    assert form.parity["precision"] == "float64"
    model = ServableModel(form)
    asked = [*rows, *unlucky_rows(columns, rows)]
    assert_equal(model, pipeline, model.rows_from_lists(asked))
    records = [dict(zip(FRAME.columns, row, strict=True)) for row in asked]
    assert model.rows_from_records(records) == asked
    # One row, where nothing tells the type of what is missing.
    assert_equal(model, pipeline, [[None] * len(columns)])


@pytest.mark.parametrize("name", registry())
def test_numbers_and_truth_values_are_one_array(name: str) -> None:
    frame = FRAME[["size", 'so "fresh"', "whole"]]
    pipeline = fitted(name, frame)
    form = make_serving_form(pipeline, columns_of(frame), rows_of(frame), None, "testing set")
    # Many of these rows are equally far away, and the graph takes others of them for the nearest.
    assert form.runtime == ("sklearn" if name.startswith("K") else "onnx"), form.parity
    model = ServableModel(form)
    assert model.numeric
    assert_equal(model, pipeline, model.rows_from_lists(json_rows(frame)))


def test_scikit_learn_serves_the_same_rows() -> None:
    columns = columns_of(FRAME)
    pipeline = build_pipeline("KNN", {"metric": "manhattan"}, columns).fit(FRAME, LABELS)
    form = make_serving_form(pipeline, columns, json_rows(FRAME), None, "testing set")
    assert form.runtime == "sklearn"
    rows = [*json_rows(FRAME), *unlucky_rows(columns, json_rows(FRAME))]
    assert_equal(ServableModel(form), pipeline, rows)
    assert_equal(ServableModel(form), pipeline, rows[:1])


def assert_equal(model: ServableModel, pipeline: Any, rows: Any) -> None:
    frame = pd.DataFrame(list(rows), columns=[column.name for column in model.columns])
    frame = frame.astype(
        {
            column.name: "object" if column.type == "string" else "float64"
            for column in model.columns
        }
    )
    found = model.predict(rows)
    expected = pipeline.predict(frame)
    if model.task == "regression":
        np.testing.assert_allclose(
            found.labels, expected, rtol=PROBABILITY_BOUND, atol=PROBABILITY_BOUND
        )
        return
    assert found.labels == expected.tolist()
    if found.probabilities is not None:
        expected = pipeline.predict_proba(frame)
        np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=PROBABILITY_BOUND)


def test_a_gap_that_no_held_out_row_has_is_compared_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from modelkit import onnx_conversion

    frame = texts(*["a", "b", "c", None] * 2)
    pipeline, other = (
        build_pipeline("DecisionTree", {}, columns_of(frame)).fit(frame, ["x", "y", "z", gap] * 2)
        for gap in ("z", "x")
    )
    rows = [["a"], ["b"], ["c"]]
    known = texts("a", "b", "c")
    assert pipeline.predict(known).tolist() == other.predict(known).tolist()
    monkeypatch.setattr(
        onnx_conversion, "to_onnx", lambda _, *more, **options: to_onnx(other, *more, **options)
    )
    form = make_serving_form(pipeline, columns_of(frame), rows, None, "testing set")
    assert form.parity["reason"] == "ONNX predicts otherwise"


def test_no_column_of_our_own_refuses_a_text_but_one_that_nobody_can_store() -> None:
    columns = input_columns(fitted("DecisionTree"), columns_of(FRAME))
    assert all(column.categories is None for column in columns)
    rows = InputRows(columns)
    assert rows.from_lists([["new", 1, True, "", None]])
    with pytest.raises(InvalidRows, match="NUL"):
        rows.from_lists([["a\0b", 1, True, "", None]])
    with pytest.raises(InvalidRows, match="must be text"):
        rows.from_lists([[1, 1, True, "", None]])
    with pytest.raises(InvalidRows, match="true or false"):
        rows.from_lists([["red", 1, 1, "", None]])
