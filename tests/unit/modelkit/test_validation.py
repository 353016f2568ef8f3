"""Which hyperparameters are refused, and with whose reason."""

from typing import Any

import pytest

from modelkit import registry as registry_module
from modelkit.errors import HyperparametersRefused, ModelNotFound, ModelOfAnotherTask
from modelkit.registry import ENTRIES, ModelEntry, registry_of
from modelkit.validation import check_grid, check_hyperparameters, check_task
from servicekit.errors import Impossible, Invalid


@pytest.mark.parametrize(
    ("model", "hyperparameters"),
    [
        ("RandomForest", {}),
        ("RandomForest", {"n_estimators": 200, "max_depth": None, "max_features": "sqrt"}),
        ("RandomForest", {"max_features": 0.5, "n_jobs": -1, "oob_score": True}),
        ("RandomForest", {"class_weight": {"0": 1.5, "1": 1}}),
        ("LogisticRegression", {"C": 1, "solver": "liblinear"}),
        ("LogisticRegression", {"penalty": "l1", "solver": "saga"}),
        ("LogisticRegression", {"penalty": None}),
        ("SVC", {"kernel": "rbf", "gamma": "scale", "probability": True, "max_iter": -1}),
        ("SVC", {"gamma": 0.1, "class_weight": "balanced"}),
        ("HistGradientBoosting", {"max_leaf_nodes": None, "early_stopping": False}),
        ("DecisionTree", {"max_depth": 3, "min_samples_leaf": 0.1}),
        ("KNN", {"n_neighbors": 7, "weights": "distance", "p": 1}),
        ("LinearSVC", {"dual": "auto", "loss": "hinge"}),
        ("RandomForestRegressor", {"criterion": "absolute_error", "n_estimators": 20}),
        ("HistGradientBoostingRegressor", {"loss": "quantile", "quantile": 0.9}),
        ("KNeighborsRegressor", {"n_neighbors": 3, "weights": "distance"}),
        ("Ridge", {"alpha": 0.1, "solver": "lbfgs", "positive": True}),
        ("Lasso", {"alpha": 0.1}),
        ("ElasticNet", {"l1_ratio": 0.2}),
        ("SVR", {"kernel": "rbf", "epsilon": 0.2}),
    ],
)
def test_what_the_estimator_takes_passes(model: str, hyperparameters: dict[str, Any]) -> None:
    check_hyperparameters(model, hyperparameters)


@pytest.mark.parametrize(
    ("model", "hyperparameters", "reason"),
    [
        ("RandomForest", {"trees": 5}, "no hyperparameter 'trees'; it has bootstrap"),
        ("RandomForest", {"n_estimators": 0}, r"must be an int in the range \[1, inf\)"),
        ("RandomForest", {"n_estimators": 100.0}, "must be an int"),
        ("RandomForest", {"n_estimators": "100"}, "must be an int"),
        ("RandomForest", {"n_estimators": True}, "must not be true or false"),
        ("RandomForest", {"n_estimators": 10**12}, "between 1 and 2000"),
        ("RandomForest", {"n_jobs": 0}, "must not be 0"),
        ("RandomForest", {"n_jobs": 10_000}, "between -1 and 64"),
        ("RandomForest", {"max_leaf_nodes": 10**9}, "between 2 and 100000"),
        ("RandomForest", {"max_samples": 50.0}, "between 0 and 1 "),
        ("RandomForest", {"max_depth": [3]}, "max_depth"),
        ("RandomForest", {"max_depth": {"a": {"b": []}}}, "max_depth"),
        ("RandomForest", {"bootstrap": False, "oob_score": True}, "bootstrap=True"),
        ("RandomForest", {"random_state": -1}, "random_state"),
        ("SVC", {"C": -0.5}, r"range \(0.0, inf\]"),
        ("SVC", {"C": 10**9}, "between 0 and 1e"),
        ("SVC", {"tol": 1e-300}, "tol"),
        ("SVC", {"kernel": "nonsense"}, "kernel"),
        ("SVC", {"kernel": "precomputed"}, "kernel matrix"),
        ("LogisticRegression", {"penalty": "l1"}, "lbfgs supports only 'l2'"),
        ("LogisticRegression", {"solver": "liblinear", "penalty": None}, "liblinear"),
        ("LogisticRegression", {"dual": True}, "supports only dual=False"),
        ("LogisticRegression", {"solver": "sag", "l1_ratio": 0.5}, "elasticnet"),
        ("LogisticRegression", {"solver": "liblinear", "l1_ratio": 0.5}, "Only 'saga'"),
        ("LogisticRegression", {"solver": "liblinear", "dual": True, "penalty": "l1"}, "dual"),
        ("LinearSVC", {"penalty": "l1", "loss": "hinge"}, "not supported"),
        ("LinearSVC", {"penalty": "l1", "dual": True}, "dual=False"),
        ("LinearSVC", {"loss": "hinge", "dual": False}, "dual=True"),
        ("KNN", {"metric": "precomputed"}, "needs distances"),
        ("KNN", {"n_neighbors": None}, "whole number"),
        ("SVC", {"break_ties": True, "decision_function_shape": "ovo"}, "break_ties"),
        ("RandomForestRegressor", {"criterion": "gini"}, "criterion"),
        ("RandomForestRegressor", {"n_estimators": 10**12}, "between 1 and 2000"),
        ("HistGradientBoostingRegressor", {"loss": "quantile"}, "needs a quantile"),
        ("KNeighborsRegressor", {"metric": "precomputed"}, "needs distances"),
        ("Ridge", {"alpha": -1}, "alpha"),
        ("Ridge", {"positive": True, "solver": "svd"}, "does not support positive"),
        ("Ridge", {"solver": "lbfgs"}, "only when positive=True"),
        ("Lasso", {"max_iter": 10**9}, "between 1 and 100000"),
        ("SVR", {"kernel": "precomputed"}, "kernel matrix"),
        ("SVR", {"random_state": 1}, "no hyperparameter"),
    ],
)
def test_what_it_refuses_is_impossible_for_its_own_reason(
    model: str, hyperparameters: dict[str, Any], reason: str
) -> None:
    with pytest.raises(HyperparametersRefused, match=reason) as caught:
        check_hyperparameters(model, hyperparameters)
    assert isinstance(caught.value, Impossible)
    assert caught.value.details[0].path.startswith("hyperparameters")


def test_a_long_value_does_not_come_back_whole() -> None:
    with pytest.raises(HyperparametersRefused) as caught:
        check_hyperparameters("SVC", {"kernel": "k" * 3_000})
    assert len(caught.value.message) < 1000


def test_hyperparameters_must_fit_into_a_tag() -> None:
    weights = {str(number): 1.0 for number in range(1000)}
    with pytest.raises(HyperparametersRefused, match="longer than 4000"):
        check_hyperparameters("SVC", {"class_weight": weights})


def test_every_bad_value_is_named() -> None:
    with pytest.raises(HyperparametersRefused) as caught:
        check_hyperparameters("SVC", {"C": -1, "degree": "x", "gamma": "scale"})
    assert [detail.path for detail in caught.value.details] == [
        "hyperparameters.C",
        "hyperparameters.degree",
    ]


def test_unknown_model_names_all_there_are() -> None:
    with pytest.raises(ModelNotFound) as caught:
        check_hyperparameters("randomforest", {})
    assert isinstance(caught.value, Invalid)
    assert caught.value.error == "Model not Found"
    assert caught.value.message == (
        "Please Specify 'RandomForest', 'SVC', 'LogisticRegression', 'HistGradientBoosting', "
        "'DecisionTree', 'KNN', 'LinearSVC', 'RandomForestRegressor', "
        "'HistGradientBoostingRegressor', 'DecisionTreeRegressor', 'KNeighborsRegressor', 'Ridge', "
        "'Lasso', 'ElasticNet' or 'SVR'"
    )


def test_a_model_of_another_task_names_those_that_fit() -> None:
    check_task("Ridge", "regression", "diabetes")
    check_task("SVC", "classification", "wine")
    with pytest.raises(ModelOfAnotherTask) as caught:
        check_task("SVC", "regression", "diabetes")
    assert isinstance(caught.value, Impossible)
    assert caught.value.message == (
        "diabetes is a regression, and SVC predicts classes. Please Specify"
        " 'RandomForestRegressor', 'HistGradientBoostingRegressor', 'DecisionTreeRegressor',"
        " 'KNeighborsRegressor', 'Ridge', 'Lasso', 'ElasticNet' or 'SVR'"
    )
    with pytest.raises(ModelOfAnotherTask, match=r"Ridge predicts numbers.*'KNN' or 'LinearSVC'$"):
        check_task("Ridge", "classification", "wine")
    with pytest.raises(ModelNotFound):
        check_task("Nothing", "regression", "diabetes")


def test_a_grid_is_checked_value_by_value() -> None:
    check_grid("LogisticRegression", {"C": [0.1, 1], "penalty": ["l1", None], "dual": [True]})
    with pytest.raises(HyperparametersRefused, match="'C' parameter") as caught:
        check_grid("LogisticRegression", {"C": [0.1, -1], "solver": ["liblinear"]})
    assert caught.value.details[0].path == "hyperparameters.LogisticRegression.C"
    with pytest.raises(HyperparametersRefused, match="no hyperparameter"):
        check_grid("SVC", {"trees": [1]})
    with pytest.raises(ModelNotFound):
        check_grid("Nothing", {})


class TestOwnEstimator:
    """One entry is all a user's own estimator needs."""

    @pytest.fixture(autouse=True)
    def entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from sklearn.naive_bayes import GaussianNB

        own = ModelEntry(name="NaiveBayes", estimator=GaussianNB)
        monkeypatch.setattr("modelkit.own_models.OWN_MODELS", (own,))

    def test_it_is_known_everywhere(self) -> None:
        check_hyperparameters("NaiveBayes", {"var_smoothing": 1e-8})
        with pytest.raises(HyperparametersRefused, match="var_smoothing"):
            check_hyperparameters("NaiveBayes", {"var_smoothing": "x"})
        with pytest.raises(ModelNotFound, match="or 'NaiveBayes'"):
            check_hyperparameters("Bayes", {})


def test_one_name_has_one_entry() -> None:
    with pytest.raises(ValueError, match="one name"):
        registry_of(ENTRIES, (registry_module.ENTRIES[0],))
