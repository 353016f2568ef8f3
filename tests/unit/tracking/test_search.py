"""The checks before a search, and one model's search on rows that can be looked through."""

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    mean_absolute_percentage_error,
    precision_score,
    r2_score,
    recall_score,
    root_mean_squared_error,
)
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_predict

from contracts.tracking import OptimizationRequest
from modelkit.errors import HyperparametersRefused, ModelNotFound
from modelkit.features import columns_of
from modelkit.pipeline import build_pipeline
from tracking.domain import Candidate, SearchOutcome, SearchPlan, TrainingSet
from tracking.errors import InvalidSearch, NothingFinished, SearchFailed, UnknownScoring
from tracking.service.candidates import candidates_csv, candidates_svg
from tracking.service.fold_fits import FoldScores
from tracking.service.fold_workers import FoldWorkers
from tracking.service.folds import SEED
from tracking.service.scoring import (
    check_scoring,
    error_metrics,
    scorer_names,
    weighted_metrics,
)
from tracking.service.search import search
from tracking.service.search_checks import check_request, check_rows
from tracking.service.search_plans import plan_of
from tracking.service.search_space import candidate_count

RANGES = {
    "C": {"low": 0.001, "high": 100.0, "log": True},
    "fit_intercept": [True, False],
    "max_iter": {"low": 50, "high": 200, "step": 50},
}


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """60 rows of three overlapping classes, one value missing."""
    random = np.random.default_rng(7)
    labels = np.repeat([0, 1, 2], 20)
    values = random.normal(size=(60, 3)) + labels[:, None] * 0.8
    values[5, 1] = np.nan
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    return TrainingSet("made_up", 1, "0" * 64, frame, labels, (0, 1, 2))


def test_candidates_multiply_and_an_empty_grid_has_one() -> None:
    assert candidate_count({"a": [1, 2, 3], "b": [1, 2]}) == 6
    assert candidate_count({}) == 1


def asked(models: list[str], grids: dict[str, Any], **more: Any) -> OptimizationRequest:
    """Return a request as it comes from JSON."""
    return OptimizationRequest.model_validate(
        {
            "request_information": "optimization",
            "experiment_name": "e",
            "experiment_description": "",
            "experiment_owner": "",
            "models": models,
            "hyperparameters": grids,
            "scoring": "accuracy",
            "cv": 5,
            **more,
        }
    )


@pytest.mark.parametrize(
    ("models", "grids", "more", "problem"),
    [
        (["SVC", "SVC"], {}, {}, "named more than once"),
        (["SVC"], {"RandomForest": {"n_estimators": [5]}}, {}, "not among the models"),
        (["SVC"], {"SVC": {"C": [1, 2, 3, 4, 5, 6]}}, {}, "6 candidates; 5 are allowed"),
        (
            ["SVC"],
            {"SVC": {"C": [1, 2]}},
            {"preprocessing": {"scaling": ["none", "minmax", "robust"]}},
            "6 candidates; 5 are allowed",
        ),
        (["SVC"], {"SVC": {"C": RANGES["C"]}}, {"strategy": "random"}, "20 candidates; 5 are"),
        (["SVC"], {"SVC": {"C": RANGES["C"]}}, {}, r"SVC\.C: is a distribution; give a list"),
        (["SVC"], {}, {"n_candidates": 3}, "n_candidates: has no use in a grid"),
        (["Ridge"], {}, {"calibration": "sigmoid"}, "calibration: is of probabilities"),
        (["SVC"], {"SVC": {"kernel": ["x" * 9000]}}, {}, "longer than"),
        (["SVC", "Ridge"], {}, {}, "SVC predicts classes, Ridge does not"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(
    models: list[str], grids: dict[str, Any], more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidSearch, match=problem):
        check_request(asked(models, grids, **more), 5)


def test_names_and_values_are_checked_before_the_search() -> None:
    with pytest.raises(ModelNotFound, match="'RandomForest'"):
        check_request(asked(["Oracle"], {}), 5)
    with pytest.raises(HyperparametersRefused, match="no hyperparameter 'sweetness'"):
        check_request(asked(["SVC"], {"SVC": {"sweetness": [1]}}), 5)
    with pytest.raises(HyperparametersRefused, match="'kernel' parameter"):
        check_request(asked(["SVC"], {"SVC": {"kernel": ["rbf", "round"]}}), 5)
    spread = {"C": {"low": -1.0, "high": 1.0}}
    with pytest.raises(HyperparametersRefused, match="'C' parameter"):
        check_request(asked(["SVC"], {"SVC": spread}, strategy="tpe", n_candidates=3), 5)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"low": 2, "high": 1}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "low must be above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "do not go together"),
        ({"low": 0.5, "high": 9, "type": "int"}, "must be whole numbers"),
        ({"low": 1, "high": 9, "step": 0}, "greater than 0"),
        ({"low": 1}, "high"),
        ({"low": "1", "high": 2}, "valid"),
        (7, "a valid list of values, or a distribution"),
        ([], "at least 1 item"),
    ],
)
def test_distributions_that_make_no_sense_are_refused(given: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        asked(["SVC"], {"SVC": {"C": given}}, strategy="random")


def test_a_plan_holds_what_all_pipelines_are_to_have() -> None:
    request = asked(
        ["SVC"],
        {"SVC": {"C": {"low": 1, "high": 10}, "preprocessing.scaling": ["none"]}},
        strategy="random",
        preprocessing={"scaling": ["robust"], "numeric_imputation": ["mean", "median"]},
        calibration="sigmoid",
        time_budget_s=5,
        nested_cv=3,
    )
    plan = plan_of(request, "SVC")
    assert plan.grid == {
        "preprocessing.scaling": ["none"],
        "preprocessing.numeric_imputation": ["mean", "median"],
        "calibration": ["sigmoid"],
        "C": {"low": 1, "high": 10},
    }
    assert (plan.strategy, plan.time_budget_s, plan.nested_folds) == ("random", 5, 3)
    assert plan_of(asked(["SVC"], {}), "SVC") == SearchPlan("SVC", {}, "accuracy", 5)


def test_folds_are_at_most_the_rows_of_the_rarest_class(rows: TrainingSet) -> None:
    check_rows(asked(["SVC"], {}, cv=20), rows)
    with pytest.raises(InvalidSearch, match="cv: must be at most 20"):
        check_rows(asked(["SVC"], {}, cv=21), rows)
    check_rows(asked(["SVC"], {}, cv=15, nested_cv=4), rows)
    with pytest.raises(InvalidSearch, match=r"cv: must be at most 15, .* beside an outer fold"):
        check_rows(asked(["SVC"], {}, cv=16, nested_cv=4), rows)
    with pytest.raises(InvalidSearch, match="nested_cv: must be at most 20"):
        check_rows(asked(["SVC"], {}, nested_cv=21), rows)


def test_one_class_or_one_row_of_a_class_cannot_be_searched(rows: TrainingSet) -> None:
    alone = np.array([1, *np.zeros(len(rows.labels) - 1)])
    with pytest.raises(InvalidSearch, match="The rarest class has one row"):
        check_rows(asked(["SVC"], {}, cv=2), replace(rows, labels=alone))
    with pytest.raises(InvalidSearch, match="has one class; at least two are needed"):
        check_rows(asked(["SVC"], {}, cv=2), replace(rows, labels=np.zeros(len(rows.labels))))


def test_calibration_needs_rows_beside_the_folds(rows: TrainingSet) -> None:
    few = replace(rows, rows=rows.rows[::4], labels=rows.labels[::4])
    check_rows(asked(["SVC"], {}, cv=5), few)
    with pytest.raises(InvalidSearch, match="calibration: needs 5 rows of each class"):
        check_rows(asked(["SVC"], {}, cv=5, calibration="isotonic"), few)
    with pytest.raises(InvalidSearch, match="calibration: needs 5 rows of each class"):
        check_rows(asked(["SVC"], {"SVC": {"calibration": [None, "sigmoid"]}}, cv=5), few)
    check_rows(asked(["SVC"], {}, cv=5, calibration="isotonic"), rows)


def test_choices_of_the_pipeline_are_searched_and_reach_the_best(rows: TrainingSet) -> None:
    request = asked(
        ["SVC"],
        {"SVC": {"C": [1.0], "calibration": [None, "sigmoid"]}},
        preprocessing={"scaling": ["standard", "none"]},
    )
    found = search(plan_of(request, "SVC"), rows)
    assert len(found.candidates) == 4
    again = build_pipeline("SVC", found.best, columns_of(rows.rows), rows.classes)
    assert again.fit(rows.rows, rows.labels).predict(rows.rows).tolist() == (
        found.pipeline.predict(rows.rows).tolist()
    )
    lines = list(csv.DictReader(candidates_csv(found).splitlines()))
    assert {name: json.loads(lines[0][name]) for name in found.best} == found.best


def test_a_nested_score_is_of_rows_that_the_search_did_not_see(rows: TrainingSet) -> None:
    plan = SearchPlan("DecisionTree", {"max_depth": [1, 3, None]}, "accuracy", 3, nested_folds=4)
    watched = Notebook()
    found = search(plan, rows, watcher=watched)
    scores = []
    outer = StratifiedKFold(4, shuffle=True, random_state=SEED)
    for searched_on, scored_on in outer.split(rows.rows, rows.labels):
        inner = GridSearchCV(
            build_pipeline("DecisionTree", {}, ["a", "b", "c"]),
            {"model__max_depth": [1, 3, None]},
            cv=StratifiedKFold(3, shuffle=True, random_state=SEED),
        ).fit(rows.rows.iloc[searched_on], rows.labels[searched_on])
        scores.append(inner.score(rows.rows.iloc[scored_on], rows.labels[scored_on]))
    assert found.metrics["model_nested_cv_mean"] == pytest.approx(np.mean(scores))
    assert found.metrics["model_nested_cv_std"] == pytest.approx(np.std(scores))
    assert watched.planned == [3 * 5]
    assert Counter(item.outer_fold for item in watched.candidates) == {
        None: 3, 1: 3, 2: 3, 3: 3, 4: 3
    }  # fmt: skip
    cut = Notebook(most=5)
    part = search(plan, rows, watcher=cut)
    assert part.stopped == "cancelled" and "model_nested_cv_mean" not in part.metrics
    assert part.best == found.best
    later = Notebook(cut.kept)
    assert search(plan, rows, watcher=later).metrics == found.metrics
    assert len(later.kept) == 15 - 5


def test_scorings_are_those_that_fit_classification() -> None:
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "neg_log_loss"):
        check_scoring(name, [0, 1, 2])
    for name in ("r2", "neg_mean_squared_error", "Accuracy", "", "rand_score"):
        with pytest.raises(UnknownScoring, match="accuracy, "):
            check_scoring(name)
    with pytest.raises(UnknownScoring):
        check_scoring("roc_auc", [0, 1, 2])
    check_scoring("roc_auc", [0, 1])
    two, three = set(scorer_names(["no", "yes"])), set(scorer_names([0, 1, 2]))
    assert three - two == {"top_k_accuracy"} and two == set(scorer_names([0, 1]))


@pytest.mark.parametrize("names", [(0, 1), ("ham", "spam"), (False, True), (1, 2)])
@pytest.mark.parametrize(
    "scoring",
    [
        "average_precision",
        "d2_brier_score",
        "f1",
        "jaccard",
        "neg_brier_score",
        "precision",
        "recall",
        "roc_auc",
    ],
)
def test_of_two_classes_the_second_is_the_positive_one(
    rows: TrainingSet, scoring: str, names: tuple[Any, Any]
) -> None:
    two = rows.labels < 2
    positions = rows.labels[two]
    named = replace(rows, rows=rows.rows[two], labels=np.array(names)[positions], classes=names)
    check_scoring(scoring, names)
    plan = SearchPlan("LogisticRegression", {"C": [0.01, 1.0]}, scoring, 4)
    plain = GridSearchCV(
        build_pipeline("LogisticRegression", {}, ["a", "b", "c"]),
        {"model__C": [0.01, 1.0]},
        scoring=scoring,
        cv=StratifiedKFold(4, shuffle=True, random_state=SEED),
    ).fit(rows.rows[two], positions)
    found = [item.mean_score for item in search(plan, named).candidates]
    assert found == pytest.approx(plain.cv_results_["mean_test_score"].tolist())


def test_weighted_metrics_by_hand() -> None:
    # Class 0: 4 true, 3 right, said 5 times. Class 1: 2 true, 1 right, said once.
    # Class 2: 2 true, none right, said twice.
    found = weighted_metrics(
        right=np.array([3.0, 1.0, 0.0]),
        said=np.array([5.0, 1.0, 2.0]),
        true=np.array([4.0, 2.0, 2.0]),
    )
    assert found["model_accuracy"] == found["model_recall"] == 0.5
    assert found["model_precision"] == pytest.approx(0.5 * 3 / 5 + 0.25 * 1 + 0)
    assert found["model_f1_score"] == pytest.approx(0.5 * 6 / 9 + 0.25 * 2 / 3 + 0)


def test_metrics_are_those_of_the_out_of_fold_predictions(rows: TrainingSet) -> None:
    plan = SearchPlan("DecisionTree", {"max_depth": [1, 2, None]}, "accuracy", 4)
    found = search(plan, rows, 2)
    said = cross_val_predict(
        build_pipeline("DecisionTree", found.best, ["a", "b", "c"]),
        rows.rows,
        rows.labels,
        cv=StratifiedKFold(4, shuffle=True, random_state=SEED),
    )
    weighted = {"average": "weighted", "zero_division": 0}
    assert found.metrics == pytest.approx(
        {
            "model_accuracy": accuracy_score(rows.labels, said),
            "model_f1_score": f1_score(rows.labels, said, **weighted),
            "model_precision": precision_score(rows.labels, said, **weighted),
            "model_recall": recall_score(rows.labels, said, **weighted),
        }
    )


def test_the_same_search_gives_the_same_outcome_in_any_number_of_threads(
    rows: TrainingSet,
) -> None:
    plan = SearchPlan(
        "RandomForest", {"n_estimators": [3, 5], "max_depth": [None, 2]}, "f1_macro", 3
    )
    one, two = search(plan, rows, 1), search(plan, rows, 2)
    assert (one.best, one.best_score, one.metrics) == (two.best, two.best_score, two.metrics)
    assert [item.mean_score for item in one.candidates] == [
        item.mean_score for item in two.candidates
    ]


def test_the_best_keeps_its_json_types(rows: TrainingSet) -> None:
    grid = {"max_depth": [None], "min_samples_split": [2], "ccp_alpha": [0.0], "splitter": ["best"]}
    best = search(SearchPlan("DecisionTree", grid, "accuracy", 3), rows, 1).best
    assert best == {
        "max_depth": None,
        "min_samples_split": 2,
        "ccp_alpha": 0.0,
        "splitter": "best",
    }
    assert [type(best[name]) for name in grid] == [type(None), int, float, str]


def test_a_candidate_that_fails_is_recorded_and_loses(rows: TrainingSet) -> None:
    grid = {"C": [1.0], "solver": ["lbfgs"], "l1_ratio": [0.5, 0.0]}
    found = search(SearchPlan("LogisticRegression", grid, "accuracy", 3), rows, 1)
    assert found.best["l1_ratio"] == 0.0
    scores = {item.values["l1_ratio"]: item.mean_score for item in found.candidates}
    assert scores[0.5] is None and scores[0.0] == pytest.approx(found.best_score)
    assert candidates_csv(found).splitlines()[0].startswith("rank,C,solver,l1_ratio,mean_accuracy")
    assert candidates_csv(found).splitlines()[-1].split(",")[4] == ""
    assert "failed" in candidates_svg(found)


def test_when_all_fail_the_estimator_gives_the_reason(rows: TrainingSet) -> None:
    grid = {"solver": ["lbfgs"], "l1_ratio": [0.5, 1.0]}
    with pytest.raises(SearchFailed, match="Solver lbfgs supports only 'l2'"):
        search(SearchPlan("LogisticRegression", grid, "accuracy", 3), rows, 1)


def test_when_the_scorer_refuses_every_candidate_it_gives_the_reason(rows: TrainingSet) -> None:
    with pytest.raises(SearchFailed, match="predict_proba"):
        search(SearchPlan("LinearSVC", {}, "roc_auc_ovr", 3), rows, 1)


def test_text_in_a_grid_cannot_break_the_picture(rows: TrainingSet) -> None:
    found = search(
        SearchPlan("DecisionTree", {"criterion": ["gini", "entropy"]}, "accuracy", 3), rows, 1
    )
    picture = candidates_svg(found)
    assert picture.count("<circle") == 2 and "criterion=&quot;gini&quot;" in picture


@pytest.fixture(scope="module")
def numbers() -> TrainingSet:
    """200 patients, one value missing."""
    frame, target = load_diabetes(return_X_y=True, as_frame=True)
    rows = frame.head(200).copy()
    rows.iloc[5, 2] = np.nan
    labels = target.head(200).to_numpy(float)
    return TrainingSet("diabetes", 1, "0" * 64, rows, labels, (), task="regression")


@pytest.mark.parametrize("scoring", ["r2", "neg_root_mean_squared_error"])
def test_a_regression_is_searched_as_plain_scikit_learn_does(
    numbers: TrainingSet, scoring: str
) -> None:
    grid = {"alpha": [0.1, 10.0, 1000.0]}
    outcome = search(SearchPlan("Ridge", grid, scoring, 5), numbers, 1)
    folds = KFold(5, shuffle=True, random_state=SEED)
    pipeline = build_pipeline("Ridge", {}, list(numbers.rows.columns))
    plain = GridSearchCV(pipeline, {"model__alpha": grid["alpha"]}, scoring=scoring, cv=folds).fit(
        numbers.rows, numbers.labels
    )
    assert outcome.best == {"alpha": plain.best_params_["model__alpha"]}
    assert outcome.best_score == pytest.approx(plain.best_score_)
    assert [item.mean_score for item in outcome.candidates] == pytest.approx(
        plain.cv_results_["mean_test_score"]
    )
    truth, said = (
        numbers.labels,
        cross_val_predict(plain.best_estimator_, numbers.rows, numbers.labels, cv=folds),
    )
    assert outcome.metrics == pytest.approx(
        {
            "model_r2": r2_score(truth, said),
            "model_mae": mean_absolute_error(truth, said),
            "model_rmse": root_mean_squared_error(truth, said),
            "model_mape": mean_absolute_percentage_error(truth, said),
        }
    )
    assert "0.1" in candidates_csv(outcome)
    assert candidates_svg(outcome).startswith("<svg")


def test_errors_that_are_no_numbers_are_left_out() -> None:
    labels = np.array([0.0, 2.0])
    found = error_metrics(labels, 3.0, 5.0, float("nan"))
    assert found == {"model_r2": -1.5, "model_mae": 1.5, "model_rmse": pytest.approx(2.5**0.5)}
    assert "model_r2" not in error_metrics(np.array([2.0, 2.0]), 1.0, 1.0, 0.5)


def test_folds_of_a_regression_have_two_rows_each(numbers: TrainingSet) -> None:
    check_rows(asked(["Ridge"], {}, cv=100), numbers)
    with pytest.raises(InvalidSearch, match="at most 100, so that every fold has two rows"):
        check_rows(asked(["Ridge"], {}, cv=101), numbers)


def test_scorers_go_with_the_task() -> None:
    check_scoring("r2", task="regression")
    check_scoring("neg_mean_absolute_error", (), "regression")
    with pytest.raises(UnknownScoring, match=r"neg_root_mean_squared_error.*r2"):
        check_scoring("accuracy", task="regression")
    with pytest.raises(UnknownScoring):
        check_scoring("r2")


def test_a_scorer_that_refuses_the_target_says_why(numbers: TrainingSet) -> None:
    below = TrainingSet("d", 1, "0", numbers.rows, numbers.labels - 200, (), task="regression")
    with pytest.raises(SearchFailed, match=r"Ridge: .*og"):
        search(SearchPlan("Ridge", {}, "neg_mean_squared_log_error", 3), below, 1)


class Notebook:
    """A watcher that writes everything down, knows what it is told to, and can stop a search."""

    def __init__(
        self,
        known: dict[str, dict[str, Any]] | None = None,
        most: int = 10_000,
        spent_s: float = 0.0,
    ) -> None:
        self.planned: list[int | None] = []
        self.kept: dict[str, dict[str, Any]] = {}
        self.candidates: list[Candidate] = []
        self._known = known or {}
        self._most = most
        self._spent_s = spent_s

    def begun(self, model_name: str, candidates: int | None) -> None:
        self.planned.append(candidates)

    def known(self, model_name: str, key: str) -> dict[str, Any] | None:
        return self._known.get(key)

    def done(
        self, model_name: str, key: str, candidate: Candidate, scores: Mapping[str, Any]
    ) -> None:
        self.kept[key] = json.loads(json.dumps(scores))
        self.candidates.append(candidate)

    def stopping(self) -> bool:
        return len(self.kept) >= self._most

    def spent_s(self, model_name: str) -> float:
        return self._spent_s


def as_found(outcome: SearchOutcome) -> tuple[Any, ...]:
    """Return what a search found, without the time it took."""
    return (
        outcome.best,
        outcome.best_score,
        outcome.metrics,
        [(item.values, item.mean_score, item.std_score, item.rank) for item in outcome.candidates],
    )


@pytest.mark.parametrize(
    ("model", "grid", "scoring"),
    [
        ("LogisticRegression", {"C": [0.01, 1, 100.0], "fit_intercept": [True, False]}, "accuracy"),
        ("DecisionTree", {"max_depth": [1, 2, 3], "min_samples_leaf": [1, 1, 9]}, "neg_log_loss"),
        ("SVC", {"kernel": ["rbf", "linear"], "C": [1e-9, 1.0]}, "f1_weighted"),
    ],
)
def test_a_grid_is_searched_as_scikit_learn_does(
    rows: TrainingSet, model: str, grid: dict[str, list[Any]], scoring: str
) -> None:
    found = search(SearchPlan(model, grid, scoring, 4), rows)
    plain = GridSearchCV(
        build_pipeline(model, {}, ["a", "b", "c"]),
        {f"model__{name}": values for name, values in grid.items()},
        scoring=scoring,
        cv=StratifiedKFold(4, shuffle=True, random_state=SEED),
    ).fit(rows.rows, rows.labels)
    results = plain.cv_results_
    assert [item.mean_score for item in found.candidates] == results["mean_test_score"].tolist()
    assert [item.std_score for item in found.candidates] == results["std_test_score"].tolist()
    assert [item.rank for item in found.candidates] == results["rank_test_score"].tolist()
    assert found.best == {
        name.removeprefix("model__"): value for name, value in plain.best_params_.items()
    }
    assert found.best_score == plain.best_score_
    assert found.pipeline.predict(rows.rows).tolist() == plain.predict(rows.rows).tolist()


PLANS = {
    "grid": SearchPlan("LogisticRegression", {"C": [0.01, 0.1, 1, 10]}, "accuracy", 3),
    "random": SearchPlan("LogisticRegression", RANGES, "accuracy", 3, "random", 8),
    "halving": SearchPlan("LogisticRegression", RANGES, "neg_log_loss", 2, "halving", 9),
    "tpe": SearchPlan("LogisticRegression", RANGES, "neg_log_loss", 3, "tpe", 18),
}


@pytest.mark.parametrize("strategy", PLANS)
def test_a_search_that_was_interrupted_ends_as_if_it_were_not(
    rows: TrainingSet, strategy: str
) -> None:
    whole = Notebook()
    outcome = search(PLANS[strategy], rows, watcher=whole)
    assert outcome.stopped is None
    cut = Notebook(most=3)
    part = search(PLANS[strategy], rows, watcher=cut)
    assert part.stopped == "cancelled" and len(cut.kept) == 3
    assert len(part.candidates) == 3
    later = Notebook(cut.kept)
    assert as_found(search(PLANS[strategy], rows, watcher=later)) == as_found(outcome)
    assert not set(later.kept) & set(cut.kept)
    assert later.kept.keys() | cut.kept.keys() == whole.kept.keys()


@pytest.mark.parametrize("strategy", PLANS)
def test_the_outcome_is_the_same_in_processes(rows: TrainingSet, strategy: str) -> None:
    watched = Notebook()
    assert as_found(search(PLANS[strategy], rows, 2, watched)) == as_found(
        search(PLANS[strategy], rows)
    )
    assert len(watched.candidates) == len(watched.kept) > 0


def test_drawn_candidates_are_within_their_ranges_and_follow_the_seed(rows: TrainingSet) -> None:
    plan = PLANS["random"]
    found = [item.values for item in search(plan, rows).candidates]
    assert len(found) == 8
    assert all(0.001 <= item["C"] <= 100 and type(item["C"]) is float for item in found)
    assert all(item["max_iter"] in (50, 100, 150, 200) for item in found)
    assert all(type(item["max_iter"]) is int for item in found)
    other = search(replace(plan, seed=7), rows)
    assert [item.values for item in other.candidates] != found


def test_drawing_more_than_there_are_tries_each_once(rows: TrainingSet) -> None:
    grid = {"max_depth": [1, 2, None], "criterion": ["gini", "entropy"]}
    plan = SearchPlan("DecisionTree", grid, "accuracy", 3, "random", 50)
    assert as_found(search(plan, rows)) == as_found(search(replace(plan, strategy="grid"), rows))
    few = search(replace(plan, n_candidates=4), rows)
    assert len({json.dumps(item.values) for item in few.candidates}) == 4


def test_halving_tries_many_on_few_rows_and_the_best_on_all() -> None:
    frame, target = load_digits(return_X_y=True, as_frame=True)
    numbers = TrainingSet("digits", 1, "0", frame, target.to_numpy(), tuple(range(10)))
    plan = SearchPlan(
        "DecisionTree", {"max_depth": [1, 2, 3, 5, 8, 9, 10, 11, None]}, "accuracy", 3, "halving"
    )
    watched = Notebook()
    found = search(plan, numbers, watcher=watched)
    assert watched.planned == [9 + 3 + 1]
    rows_of = {item.values["max_depth"]: item.training_rows for item in found.candidates}
    assert sorted(Counter(rows_of.values()).values()) == [1, 2, 6]
    assert found.candidates[[item.rank for item in found.candidates].index(1)].training_rows is None
    assert found.best_score > 0.7 and rows_of[1] == pytest.approx(1797 / 9, abs=10)
    assert "training_rows" in candidates_csv(found).splitlines()[0]


def test_halving_of_few_rows_tries_all_on_all(rows: TrainingSet) -> None:
    watched = Notebook()
    plan = SearchPlan("DecisionTree", {"max_depth": [1, 2, 3, 4]}, "accuracy", 5, "halving")
    found = search(plan, rows, watcher=watched)
    assert watched.planned == [4] and {item.training_rows for item in found.candidates} == {None}


def test_halving_of_a_regression(numbers: TrainingSet) -> None:
    plan = SearchPlan("Ridge", {"alpha": [0.1, 1, 10, 1e5]}, "r2", 4, "halving")
    found = search(plan, numbers)
    assert found.best["alpha"] != 1e5 and set(found.metrics) >= {"model_r2", "model_mae"}


def test_tpe_does_better_than_its_first_draws(rows: TrainingSet) -> None:
    watched = Notebook()
    found = search(
        SearchPlan(
            "DecisionTree",
            {"max_depth": {"low": 1, "high": 12}, "ccp_alpha": {"low": 0.0, "high": 1.0}},
            "neg_log_loss",
            4,
            "tpe",
            40,
        ),
        rows,
        watcher=watched,
    )
    drawn = [item.mean_score or -99 for item in watched.candidates[:10]]
    guided = [item.mean_score or -99 for item in watched.candidates[20:]]
    assert np.mean(guided) > np.mean(drawn)
    assert found.best_score == max(item.mean_score or -99 for item in watched.candidates)


def test_when_time_runs_out_the_finished_candidates_count(rows: TrainingSet) -> None:
    plan = SearchPlan("DecisionTree", {"max_depth": [1, 2, 3]}, "accuracy", 3, time_budget_s=1e-9)
    found = search(plan, rows)
    assert found.stopped == "time budget"
    assert [item.values for item in found.candidates] == [{"max_depth": 1}] == [found.best]
    assert search(replace(plan, time_budget_s=60), rows).stopped is None
    in_processes = search(plan, rows, 2)
    assert in_processes.stopped == "time budget" and as_found(in_processes) == as_found(found)


@pytest.mark.parametrize("strategy", PLANS)
def test_the_time_of_earlier_attempts_counts(rows: TrainingSet, strategy: str) -> None:
    plan = replace(PLANS[strategy], time_budget_s=600)
    cut = Notebook(most=3)
    part = search(plan, rows, watcher=cut)
    later = Notebook(cut.kept, spent_s=601)
    found = search(plan, rows, watcher=later)
    assert found.stopped == "time budget" and not later.kept
    assert as_found(found) == as_found(part)
    assert search(plan, rows, watcher=Notebook(cut.kept, spent_s=1)).stopped is None
    # Where nothing has finished one candidate is tried all the same.
    nothing = Notebook(spent_s=601)
    assert search(plan, rows, watcher=nothing).stopped == "time budget"
    assert len(nothing.kept) == 1


def test_a_search_stopped_before_it_found_anything_says_so(rows: TrainingSet) -> None:
    with pytest.raises(NothingFinished, match="DecisionTree: the search was stopped before"):
        search(SearchPlan("DecisionTree", {}, "accuracy", 3), rows, watcher=Notebook(most=0))


def test_what_a_watcher_raises_ends_the_search(rows: TrainingSet) -> None:
    class Lost(Notebook):
        def stopping(self) -> bool:
            raise ConnectionError("gone")

    for jobs in (1, 2):
        with pytest.raises(ConnectionError, match="gone"):
            search(PLANS["grid"], rows, jobs, Lost())


def test_a_process_that_dies_is_reported(rows: TrainingSet) -> None:
    class Deadly:
        def __call__(self, estimator: object, rows: object, labels: object) -> dict[str, float]:
            os._exit(9)

    workers = FoldWorkers(Deadly(), rows.rows, rows.labels, 2)
    folds = list(StratifiedKFold(2).split(rows.rows, rows.labels))
    pipeline = build_pipeline("DecisionTree", {}, ["a", "b", "c"])
    with pytest.raises(SearchFailed, match="process of the search was killed"):
        list(workers.run([("one", pipeline, folds)], go_on=lambda: True, left=1))


def test_scores_survive_as_json() -> None:
    scores = FoldScores(
        [{"score": 0.1 + 0.2, "relative": math.nan, "odd": -math.inf}, None], 0.5, 1.0, "no"
    )
    back = FoldScores.from_json(json.loads(json.dumps(scores.to_json(), allow_nan=False)))
    assert back.folds[0] is not None and back.folds[0]["score"] == 0.1 + 0.2
    assert math.isnan(back.folds[0]["relative"]) and back.folds[0]["odd"] == -math.inf
    assert back.folds[1] is None and back.reason == "no" and math.isnan(back.mean)
