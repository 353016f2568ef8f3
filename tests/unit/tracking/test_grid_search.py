"""The checks before a search, and one model's search on rows that can be looked through."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
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

from modelkit.errors import HyperparametersRefused, ModelNotFound
from modelkit.pipeline import build_pipeline
from tracking.domain import SearchPlan, TrainingSet
from tracking.errors import InvalidSearch, SearchFailed, UnknownScoring
from tracking.service.candidates import candidates_csv, candidates_svg
from tracking.service.grid_search import SEED, candidate_count, check_folds, check_plans, search
from tracking.service.scoring import (
    check_scoring,
    error_metrics,
    scorer_names,
    weighted_metrics,
)

# An estimator that refuses a candidate makes scikit-learn warn; the service records it instead.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning"),
    pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite"),
]


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


@pytest.mark.parametrize(
    ("models", "grids", "problem"),
    [
        (["SVC", "SVC"], {}, "named more than once"),
        (["SVC"], {"RandomForest": {"n_estimators": [5]}}, "not among the models"),
        (["SVC"], {"SVC": {"C": [1, 2, 3, 4, 5, 6]}}, "6 candidates; 5 are allowed"),
        (["SVC"], {"SVC": {"kernel": ["x" * 9000]}}, "longer than"),
        (["SVC", "Ridge"], {}, "SVC predicts classes, Ridge does not"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(
    models: list[str], grids: dict[str, dict[str, list[object]]], problem: str
) -> None:
    with pytest.raises(InvalidSearch, match=problem):
        check_plans(models, grids, 5)


def test_names_and_values_are_checked_before_the_search() -> None:
    with pytest.raises(ModelNotFound, match="'RandomForest'"):
        check_plans(["Oracle"], {}, 5)
    with pytest.raises(HyperparametersRefused, match="no hyperparameter 'sweetness'"):
        check_plans(["SVC"], {"SVC": {"sweetness": [1]}}, 5)
    with pytest.raises(HyperparametersRefused, match="'kernel' parameter"):
        check_plans(["SVC"], {"SVC": {"kernel": ["rbf", "round"]}}, 5)


def test_folds_are_at_most_the_rows_of_the_rarest_class(rows: TrainingSet) -> None:
    check_folds(20, rows)
    with pytest.raises(InvalidSearch, match="at most 20"):
        check_folds(21, rows)


def test_scorings_are_those_that_fit_classification() -> None:
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "neg_log_loss"):
        check_scoring(name, [0, 1, 2])
    for name in ("r2", "neg_mean_squared_error", "Accuracy", "", "rand_score"):
        with pytest.raises(UnknownScoring, match="accuracy, "):
            check_scoring(name)
    with pytest.raises(UnknownScoring):
        check_scoring("roc_auc", [0, 1, 2])
    check_scoring("roc_auc", [0, 1])
    assert set(scorer_names([0, 1, 2])) < set(scorer_names([0, 1]))


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
    check_folds(100, numbers)
    with pytest.raises(InvalidSearch, match="at most 100, so that every fold has two rows"):
        check_folds(101, numbers)


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
