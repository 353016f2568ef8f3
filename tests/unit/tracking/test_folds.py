"""Folds that follow groups or time, and what a search makes of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from contracts.tracking import OptimizationRequest
from modelkit.pipeline import build_pipeline
from tracking.domain import FoldRule, SearchPlan, TrainingSet
from tracking.errors import InvalidSearch
from tracking.service.fold_fits import Folds
from tracking.service.folds import SEED, folds_of, folds_problem
from tracking.service.optimization import run_params
from tracking.service.search import search
from tracking.service.search_checks import check_rows
from tracking.service.strategies import rounds_of

ROWS = 120


def made(task: str = "classification", rule: FoldRule | None = None) -> TrainingSet:
    """Return 120 rows of three classes, or of numbers."""
    random = np.random.default_rng(3)
    labels = random.permutation(np.repeat([0, 1, 2], ROWS // 3))
    values = random.normal(size=(ROWS, 3)) + labels[:, None]
    frame = pd.DataFrame(values, columns=list("abc"))
    if task == "regression":
        numbers = labels + random.normal(size=ROWS)
        return TrainingSet("made", 1, "0", frame, numbers, (), task=task, fold_rule=rule)
    return TrainingSet("made", 1, "0", frame, labels, (0, 1, 2), fold_rule=rule)


def groups(count: int = 24) -> FoldRule:
    """Return groups of unequal sizes."""
    return FoldRule("group", np.random.default_rng(1).integers(0, count, ROWS))


def times(moments: int = ROWS) -> FoldRule:
    """Return so many moments, in no order."""
    days = np.random.default_rng(2).permutation(np.arange(ROWS) % moments)
    return FoldRule("time", np.datetime64("2024-01-01", "us") + days.astype("m8[D]"))


def assert_same(found: Folds, wanted: Iterator[Any]) -> None:
    """Compare folds, row for row and in order."""
    pairs = [(a.tolist(), b.tolist()) for a, b in found]
    assert pairs == [(a.tolist(), b.tolist()) for a, b in wanted]


def test_folds_of_rows_alone_are_those_they_always_were() -> None:
    rows, numbers = made(), made("regression")
    by_class = StratifiedKFold(5, shuffle=True, random_state=SEED)
    at_random = KFold(5, shuffle=True, random_state=SEED)
    assert_same(folds_of(rows, 5), by_class.split(rows.labels, rows.labels))
    assert_same(folds_of(numbers, 5), at_random.split(numbers.labels))
    asked = replace(rows, fold_rule=FoldRule("random"))
    assert_same(folds_of(asked, 5), at_random.split(rows.labels))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_no_group_is_in_two_folds(task: str) -> None:
    rows = made(task, groups())
    found = folds_of(rows, 4)
    own = GroupKFold(4)
    if task == "classification":
        own = StratifiedGroupKFold(4, shuffle=True, random_state=SEED)
    assert_same(found, own.split(rows.labels, rows.labels, rows.fold_values))
    for fitted_on, scored_on in found:
        assert not set(rows.fold_values[fitted_on]) & set(rows.fold_values[scored_on])
    assert sorted(np.concatenate([scored for _, scored in found])) == list(range(ROWS))


def test_a_class_with_fewer_rows_than_folds_is_not_shared_out() -> None:
    rows = made(rule=groups())
    rows.labels[:] = 0
    rows.labels[[3, 40]] = 1
    assert_same(folds_of(rows, 4), GroupKFold(4).split(rows.labels, rows.labels, rows.fold_values))


def test_every_fold_by_time_is_scored_on_later_rows() -> None:
    rows = made(rule=times())
    order = np.argsort(rows.fold_values)
    wanted = [(order[a], order[b]) for a, b in TimeSeriesSplit(4).split(order)]
    assert_same(folds_of(rows, 4), iter(wanted))
    among = np.arange(10, 100)
    for number, (fitted_on, scored_on) in enumerate(folds_of(rows, 4, among), 1):
        assert rows.fold_values[fitted_on].max() < rows.fold_values[scored_on].min()
        assert (len(fitted_on), len(scored_on)) == (18 * number, 18)
        assert set(fitted_on) | set(scored_on) <= set(among)


def test_rows_of_the_moment_that_is_scored_are_not_fitted_on() -> None:
    rows = made(rule=times(moments=7))
    for fitted_on, scored_on in folds_of(rows, 4):
        assert rows.fold_values[fitted_on].max() < rows.fold_values[scored_on].min()
        assert len(scored_on) == ROWS // 5 and len(fitted_on) > 0


def test_metrics_by_time_are_of_the_rows_that_were_scored() -> None:
    numbers, classes = made("regression", times()), made(rule=times())
    for rows, model, scoring in ((numbers, "Ridge", "r2"), (classes, "SVC", "accuracy")):
        outcome = search(SearchPlan(model, {}, scoring, 4), rows)
        truth, said = [], []
        for fitted_on, scored_on in folds_of(rows, 4):
            pipeline = clone(build_pipeline(model, {}, ["a", "b", "c"]))
            pipeline.fit(rows.rows.iloc[fitted_on], rows.labels[fitted_on])
            said += pipeline.predict(rows.rows.iloc[scored_on]).tolist()
            truth += rows.labels[scored_on].tolist()
        assert len(truth) == 96
        if rows is numbers:
            assert outcome.metrics["model_r2"] == pytest.approx(r2_score(truth, said))
            assert outcome.metrics["model_mae"] == pytest.approx(mean_absolute_error(truth, said))
        else:
            assert outcome.metrics["model_accuracy"] == accuracy_score(truth, said)
            f1 = f1_score(truth, said, average="weighted")
            assert outcome.metrics["model_f1_score"] == pytest.approx(f1)


def test_the_outer_folds_of_a_nested_search_follow_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made(rule=groups())
    cut: list[TrainingSet] = []

    def noted(training_set: TrainingSet, count: int, among: Any = None) -> Folds:
        cut.append(training_set)
        return folds_of(training_set, count, among)

    monkeypatch.setattr("tracking.service.search.folds_of", noted)
    outcome = search(SearchPlan("SVC", {}, "accuracy", 3, nested_folds=4), rows)
    assert 0 < outcome.metrics["model_nested_cv_mean"] <= 1
    whole, outer, *parts = cut
    assert whole is outer is rows and len(parts) == 4
    for part, (searched_on, scored_on) in zip(parts, folds_of(rows, 4), strict=True):
        assert part.fold_values.tolist() == rows.fold_values[searched_on].tolist()
        assert not set(part.fold_values) & set(rows.fold_values[scored_on])
        assert part.labels.tolist() == rows.labels[searched_on].tolist()


@pytest.mark.parametrize("rule", [groups(), times()])
def test_the_rungs_of_halving_follow_too(rule: FoldRule) -> None:
    rows = made(rule=rule)
    plan = SearchPlan("DecisionTree", {"max_depth": [*range(1, 10)]}, "accuracy", 2, "halving")
    rounds, planned = rounds_of(plan, rows)
    round_ = next(rounds)
    assert planned == 9 + 3 and round_.rows is not None and len(round_.rows) <= 40
    for fitted_on, scored_on in folds_of(rows, 2, round_.rows):
        of_fitted, of_scored = rule.values[fitted_on], rule.values[scored_on]  # type: ignore[index]
        assert set(fitted_on) | set(scored_on) <= set(round_.rows)
        assert not set(of_fitted) & set(of_scored)
        assert rule.kind == "group" or of_fitted.max() < of_scored.min()
    assert search(plan, rows).best_score > 0.4


def test_halving_begins_with_as_many_rows_as_have_folds() -> None:
    # Two of three groups are a single row, which a third of the rows does not hold.
    rows = made(rule=FoldRule("group", np.minimum(np.arange(ROWS), 2)))
    rows.labels[:2] = [0, 1]
    plan = SearchPlan("DecisionTree", {"max_depth": [*range(1, 10)]}, "accuracy", 3, "halving")
    assert folds_problem(rows, 3, [plan]) is None
    _, planned = rounds_of(plan, rows)
    assert planned == 9
    _, planned = rounds_of(plan, replace(rows, fold_rule=None))
    assert planned == 9 + 3


def asked(**over: Any) -> OptimizationRequest:
    """Return a request as it comes from JSON."""
    return OptimizationRequest.model_validate(
        {
            "request_information": "optimization",
            "experiment_name": "e",
            "experiment_description": "",
            "experiment_owner": "",
            "models": ["SVC"],
            "hyperparameters": {},
            "scoring": "accuracy",
            "cv": 4,
            **over,
        }
    )


LATE = np.sort(made().labels)


def late() -> TrainingSet:
    """Return rows of which the earliest fifth has no third class."""
    rows = made(rule=FoldRule("time", np.arange(ROWS)))
    labels = np.where(np.arange(ROWS) < 30, np.arange(ROWS) % 2, rows.labels)
    return replace(rows, labels=labels)


@pytest.mark.parametrize(
    ("rows", "over", "problem"),
    [
        (made(rule=groups(3)), {}, r"cv: must be at most 3, the groups there are \(group folds\)"),
        (made(rule=groups(9)), {"nested_cv": 10}, "nested_cv: must be at most 9, the groups"),
        (made(rule=groups(6)), {"cv": 5, "nested_cv": 3}, "at most 4.* beside outer fold 1 of 3"),
        (made(rule=times()), {"cv": 120}, "cv: must be below 120, the rows there are"),
        (
            replace(made(rule=FoldRule("time", np.arange(ROWS))), labels=LATE),
            {},
            "cv: has too many folds: fold 1 of 4 would be fitted on 1 classes",
        ),
        (made(rule=times(1)), {}, "on 0 classes .time folds.; take fewer, or others by 'folds'"),
        (late(), {"scoring": "neg_log_loss"}, "fitted on 0 rows of the class 2"),
        (
            late(),
            {
                "models": ["HistGradientBoosting"],
                "hyperparameters": {"HistGradientBoosting": {"class_weight": [{"0": 2}]}},
            },
            "fitted on 0 rows of the class 2",
        ),
        (made("regression", times(1)), {}, "fold 1 of 4 would have 0 rows to be fitted on"),
        (made("regression", times()), {"cv": 60}, "fold 1 of 60 would have 1 rows to be scored"),
        (
            made(rule=times()),
            {"cv": 15, "calibration": "sigmoid"},
            "fold 1 of 15 would be fitted on [0-4] rows of the class",
        ),
        (made(rule=FoldRule("random")), {"cv": 120}, "cv: must be below 120"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_the_search(
    rows: TrainingSet, over: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidSearch, match=problem):
        check_rows(asked(**over), rows)


def test_folds_that_can_be_are_not_refused() -> None:
    for rows in (made(rule=groups()), made(rule=times()), made("regression", groups())):
        check_rows(asked(cv=5, nested_cv=3), rows)


def test_a_class_that_comes_late_may_be_missing_in_the_earliest_fit() -> None:
    rows = late()
    check_rows(asked(), rows)
    outcome = search(SearchPlan("RandomForest", {"n_estimators": [5]}, "accuracy", 4), rows)
    assert 0.3 < outcome.metrics["model_accuracy"] < 1
    assert list(outcome.pipeline.classes_) == [0, 1, 2]


def test_a_run_says_which_folds_it_had_where_they_are_no_matter_of_course() -> None:
    plan = SearchPlan("SVC", {}, "accuracy", 3)
    for rule, said in ((None, None), (FoldRule("stratified"), None), (times(), "time")):
        rows = made(rule=rule)
        assert run_params(search(plan, rows), rows).get("grid_search_folds") == said
