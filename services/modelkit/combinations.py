"""Values that an estimator refuses only together, said before a fit starts.

The rules are scikit-learn 1.9's own, which it states first in `fit`. Each function gets every
parameter of an estimator with its value and returns the reason, or None.
"""

from collections.abc import Mapping
from typing import Any


def always_fine(parameters: Mapping[str, Any]) -> str | None:
    """No combination is known to be refused."""
    return None


def random_forest(parameters: Mapping[str, Any]) -> str | None:
    """Out-of-bag scores and `max_samples` need bootstrap samples."""
    if not parameters["bootstrap"]:
        if parameters["oob_score"]:
            return "Out of bag estimation only available if bootstrap=True"
        if parameters["max_samples"] is not None:
            return "`max_samples` cannot be set if `bootstrap=False`"
    return None


def logistic_regression(parameters: Mapping[str, Any]) -> str | None:
    """Not every solver takes every penalty, nor the dual problem."""
    solver, dual = parameters["solver"], parameters["dual"]
    penalty = parameters["penalty"]
    if penalty == "deprecated":
        ratio = parameters["l1_ratio"] or 0
        penalty = {0: "l2", 1: "l1"}.get(ratio, "elasticnet")
    if solver not in ("liblinear", "saga") and penalty not in ("l2", None):
        return f"Solver {solver} supports only 'l2' or None penalties, got {penalty} penalty."
    if solver != "liblinear" and dual:
        return f"Solver {solver} supports only dual=False, got dual={dual}"
    if penalty == "elasticnet" and solver != "saga":
        return f"Only 'saga' solver supports elasticnet penalty, got solver={solver}."
    if solver == "liblinear" and penalty is None:
        return "penalty=None is not supported for the liblinear solver"
    if solver == "liblinear" and dual and penalty == "l1":
        return "The combination of penalty='l1' and dual=True is not supported by liblinear"
    return None


def linear_svc(parameters: Mapping[str, Any]) -> str | None:
    """Penalty, loss and the dual problem depend on one another."""
    if parameters["multi_class"] == "crammer_singer":
        return None
    penalty, loss, dual = parameters["penalty"], parameters["loss"], parameters["dual"]
    if penalty == "l1" and loss == "hinge":
        return "The combination of penalty='l1' and loss='hinge' is not supported"
    if penalty == "l1" and dual is True:
        return "The combination of penalty='l1' and loss='squared_hinge' needs dual=False"
    if loss == "hinge" and dual is False:
        return "The combination of penalty='l2' and loss='hinge' needs dual=True"
    return None


def support_vectors(parameters: Mapping[str, Any]) -> str | None:
    """A precomputed kernel is not what the pipeline hands over."""
    if parameters["kernel"] == "precomputed":
        return "kernel='precomputed' needs a kernel matrix; the pipeline gives feature columns"
    return None


def svc(parameters: Mapping[str, Any]) -> str | None:
    """As `support_vectors`; ties break in 'ovr' only."""
    problem = support_vectors(parameters)
    if problem:
        return problem
    if parameters["break_ties"] and parameters["decision_function_shape"] == "ovo":
        return "break_ties must be False when decision_function_shape is 'ovo'"
    return None


def nearest_neighbours(parameters: Mapping[str, Any]) -> str | None:
    """Some metrics need what a request cannot carry."""
    if parameters["metric"] in ("precomputed", "pyfunc"):
        return f"metric={parameters['metric']!r} needs distances or code; name another metric"
    if parameters["n_neighbors"] is None:
        return "n_neighbors must be a whole number"
    return None


def ridge(parameters: Mapping[str, Any]) -> str | None:
    """One solver alone fits positive coefficients, and it fits no others."""
    solver, positive = parameters["solver"], parameters["positive"]
    if positive and solver not in ("auto", "lbfgs"):
        return f"solver={solver!r} does not support positive fitting"
    if solver == "lbfgs" and not positive:
        return "'lbfgs' solver can be used only when positive=True"
    return None


def boosted_regression(parameters: Mapping[str, Any]) -> str | None:
    """The loss of a quantile needs to know which."""
    if parameters["loss"] == "quantile" and parameters["quantile"] is None:
        return "loss='quantile' needs a quantile between 0 and 1"
    return None
