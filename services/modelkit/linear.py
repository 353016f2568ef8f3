"""LogisticRegression that still takes `solver="liblinear"` for more than two classes.

scikit-learn 1.8 and later refuse that combination; the solver itself always worked one-vs-rest.
Imports scikit-learn only.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression as _LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data


class LogisticRegression(_LogisticRegression):  # type: ignore[misc]
    """scikit-learn's own, same parameters, with liblinear one-vs-rest on three classes and more.

    Other solvers and two classes are scikit-learn's code untouched. One-vs-rest fits one binary
    problem per class and stacks them: `coef_` (n_classes, n_features) and `intercept_`
    (n_classes,) equal those of `OneVsRestClassifier(LogisticRegression(solver="liblinear"))`,
    `n_iter_` (n_classes,) counts each problem's iterations.

    `class_weight="balanced"` balances each binary problem, as `OneVsRestClassifier` does. A dict
    weighs the rows by their own class, as the other solvers do (OneVsRestClassifier cannot).
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to `X` (n_samples, n_features) without NaN and `y` (n_samples,) of class labels.

        Raises
        ------
        ValueError
            As scikit-learn's own: a combination of parameters or data it cannot work with.
        """
        if self.solver != "liblinear" or len(np.unique(np.asarray(y))) <= 2:
            super().fit(X, y, sample_weight)
            return self
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        check_classification_targets(y)
        parameters = self.get_params(deep=False)
        if isinstance(self.class_weight, dict):
            weight = compute_sample_weight(self.class_weight, y)
            sample_weight = weight if sample_weight is None else weight * np.asarray(sample_weight)
            parameters["class_weight"] = None
        self.classes_ = np.unique(y)
        problems = [
            _LogisticRegression(**parameters).fit(X, (y == label).astype(int), sample_weight)
            for label in self.classes_
        ]
        # Without an intercept it is one number, else an array of one: hstack takes both.
        self.coef_ = np.vstack([problem.coef_ for problem in problems])
        self.intercept_ = np.hstack([problem.intercept_ for problem in problems])
        self.n_iter_ = np.concatenate([problem.n_iter_ for problem in problems])
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return (n_samples, n_classes) probabilities in the order of `classes_`; rows sum to 1.

        One-vs-rest: the logistic function of each class's own score, divided by the row's sum
        (equal shares where every score underflows to 0).
        """
        check_is_fitted(self)
        if self.solver != "liblinear" or len(self.classes_) <= 2:
            probabilities: NDArray[np.float64] = super().predict_proba(X)
            return probabilities
        own: NDArray[np.float64] = expit(self.decision_function(X))
        totals = own.sum(axis=1, keepdims=True)
        shares = np.full_like(own, 1 / own.shape[1])
        np.divide(own, totals, out=shares, where=totals > 0)
        return shares

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = True
        return tags
