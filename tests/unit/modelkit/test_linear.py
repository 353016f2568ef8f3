"""liblinear on three classes: one-vs-rest behind scikit-learn's own name and parameters."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from modelkit.linear import LogisticRegression

X, Y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)


def of_sklearn(**parameters: object) -> OneVsRestClassifier:
    return OneVsRestClassifier(SklearnLogisticRegression(solver="liblinear", **parameters))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"C": 0.1, "l1_ratio": 1.0, "random_state": 42},
        {"class_weight": "balanced"},
        {"fit_intercept": False},
        {"dual": True, "random_state": 7, "max_iter": 1000},
    ],
)
def test_coefficients_are_those_of_one_vs_rest(parameters: dict[str, object]) -> None:
    ours = LogisticRegression(solver="liblinear", **parameters).fit(X, Y)
    theirs = of_sklearn(**parameters).fit(X, Y)
    np.testing.assert_array_equal(ours.coef_, np.vstack([e.coef_ for e in theirs.estimators_]))
    np.testing.assert_array_equal(
        ours.intercept_, np.concatenate([np.atleast_1d(e.intercept_) for e in theirs.estimators_])
    )
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)


def test_probabilities_are_logistic_scores_shared_out() -> None:
    ours = LogisticRegression(solver="liblinear").fit(X, Y)
    ours.coef_ = np.zeros((3, X.shape[1]))
    ours.intercept_ = np.array([0.0, np.log(3), -np.log(3)])
    # expit gives 1/2, 3/4 and 1/4, which sum to 3/2.
    np.testing.assert_allclose(ours.predict_proba(X[:1]), [[1 / 3, 1 / 2, 1 / 6]])
    ours.intercept_ = np.full(3, -1e4)
    assert expit(-1e4) == 0
    np.testing.assert_allclose(ours.predict_proba(X[:1]), [[1 / 3, 1 / 3, 1 / 3]])


def test_weights_by_class_weigh_the_rows_of_that_class() -> None:
    weighted = LogisticRegression(solver="liblinear", class_weight={0: 5.0, 2: 2.0}).fit(X, Y)
    by_row = LogisticRegression(solver="liblinear").fit(X, Y, np.array([5.0, 1.0, 2.0])[Y])
    np.testing.assert_array_equal(weighted.coef_, by_row.coef_)
    assert not np.allclose(weighted.coef_, LogisticRegression(solver="liblinear").fit(X, Y).coef_)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_other_solvers_are_sklearns_own(solver: str) -> None:
    ours = LogisticRegression(solver=solver).fit(X, Y)
    theirs = SklearnLogisticRegression(solver=solver).fit(X, Y)
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))


def test_two_classes_are_sklearns_own() -> None:
    two = Y < 2
    ours = LogisticRegression(solver="liblinear").fit(X[two], Y[two])
    theirs = SklearnLogisticRegression(solver="liblinear").fit(X[two], Y[two])
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)
    np.testing.assert_array_equal(ours.predict_proba(X[two]), theirs.predict_proba(X[two]))


def test_it_can_be_cloned_and_searched_with_text_labels() -> None:
    labels = np.array(["a", "b", "c"])[Y]
    model = LogisticRegression(solver="liblinear", C=0.3)
    assert clone(model).get_params() == model.get_params()
    assert set(model.get_params()) == set(SklearnLogisticRegression().get_params())
    search = GridSearchCV(model, {"C": [0.01, 1.0], "solver": ["liblinear", "lbfgs"]}, cv=3)
    search.fit(X, labels)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    assert list(search.classes_) == ["a", "b", "c"]


def test_values_the_solver_refuses_stay_refused() -> None:
    with pytest.raises(ValueError, match="'C' parameter"):
        LogisticRegression(solver="liblinear", C=-1.0).fit(X, Y)
    with pytest.raises(ValueError, match="NaN"):
        LogisticRegression(solver="liblinear").fit(np.full_like(X, np.nan), Y)
