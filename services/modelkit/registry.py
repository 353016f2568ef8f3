"""Every model of the suite, one entry each.

To add an estimator, add an entry to `ENTRIES` here, or to `modelkit.own_models` for your own.
Nothing else names models: validation, pipeline, storage, error messages and the API follow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelkit import combinations
from modelkit.errors import ModelNotFound
from modelkit.linear import LogisticRegression

SEEDED: Mapping[str, Any] = {"random_state": 42}
"""The default seed, so that the same request gives the same model."""


@dataclass(frozen=True)
class Limit:
    """Bounds of our own on a number, where the estimator's own would let it exhaust the machine.

    `low` and `high` are inclusive; `high_fraction` replaces `high` for floats where whole numbers
    count things and floats are shares. None (JSON null) and strings pass: they are not numbers.
    """

    low: float = 0
    high: float = float("inf")
    high_fraction: float | None = None
    excluding: tuple[float, ...] = ()

    def problem(self, value: int | float) -> str | None:
        """Say what is wrong with `value`, or None."""
        high = self.high
        if isinstance(value, float) and self.high_fraction is not None:
            high = self.high_fraction
        if not self.low <= value <= high:
            return f"must be between {self.low:g} and {high:g} here"
        if value in self.excluding:
            return f"must not be {value:g}"
        return None


@dataclass(frozen=True)
class ModelEntry:
    """One model.

    Parameters
    ----------
    name : the name in requests, in MLflow's registry and in the database.
    estimator : makes an unfitted estimator from keyword arguments; usually its class. It must
        follow scikit-learn's conventions (`get_params`, `clone`).
    defaults : hyperparameters used unless a request gives others.
    limits : our own bounds, see `Limit`.
    combination_problem : says why values cannot stand together (None: they can); gets every
        parameter with its value, defaults included.
    trusted_types : full names of the types in a fitted estimator that skops does not know by
        itself, e.g. `my_package.MyEstimator`. Naming a type here means: its code may run when a
        stored model is loaded.
    task : what it solves, `classification` or `regression`.
    weighs_positions : its `class_weight` is by a class's place among the sorted classes, where
        others' is by its label.
    """

    name: str
    estimator: Callable[..., BaseEstimator]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    combination_problem: Callable[[Mapping[str, Any]], str | None] = combinations.always_fine
    trusted_types: tuple[str, ...] = ()
    task: str = "classification"
    weighs_positions: bool = False

    def make(self, hyperparameters: Mapping[str, Any]) -> BaseEstimator:
        """Return an unfitted estimator; raises what the estimator's constructor raises."""
        return self.estimator(**{**self.defaults, **hyperparameters})


JOBS = Limit(low=-1, high=64, excluding=(0,))
VERBOSE = Limit(high=3)
LEAVES = Limit(low=2, high=100_000)
"""A tree allocates room for all its leaves before it grows."""
REGULARISATION = Limit(high=1e9)

_FOREST_LIMITS = {
    "n_estimators": Limit(low=1, high=2_000),
    "n_jobs": JOBS,
    "max_leaf_nodes": LEAVES,
    "max_samples": Limit(high=1_000_000, high_fraction=1.0),
    "verbose": VERBOSE,
}
_BOOSTING_LIMITS = {
    "max_iter": Limit(low=1, high=2_000),
    "max_leaf_nodes": LEAVES,
    "verbose": VERBOSE,
}
_SUPPORT_LIMITS = {
    # libsvm iterates until tol is reached unless max_iter stops it: these keep it finite.
    "C": Limit(high=1e6),
    "tol": Limit(low=1e-8, high=1e9),
    "degree": Limit(high=20),
    "max_iter": Limit(low=-1, high=10_000_000),
    "cache_size": Limit(high=1_000),
    "verbose": VERBOSE,
}
_DESCENT_LIMITS = {"alpha": REGULARISATION, "max_iter": Limit(low=1, high=100_000)}

PIPELINE_TYPES = ("modelkit.calendar_parts.CalendarParts", "numpy.dtype")
"""What fitted pipelines hold beside the model (the imputer keeps the dtype it was fitted on)."""

_TREE = ("sklearn.tree._tree.Tree",)
_BOOSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
_NEIGHBOURS = (
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    *(
        f"sklearn.metrics._dist_metrics.{metric}Distance64"
        for metric in (
            "BrayCurtis",
            "Canberra",
            "Chebyshev",
            "Dice",
            "Euclidean",
            "Hamming",
            "Haversine",
            "Jaccard",
            "Mahalanobis",
            "Manhattan",
            "Minkowski",
            "RogersTanimoto",
            "RussellRao",
            "SEuclidean",
            "SokalMichener",
            "SokalSneath",
        )
    ),
)

ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="RandomForest",
        estimator=RandomForestClassifier,
        defaults=SEEDED,
        limits=_FOREST_LIMITS,
        combination_problem=combinations.random_forest,
        trusted_types=_TREE,
    ),
    ModelEntry(
        name="SVC",
        estimator=SVC,
        defaults=SEEDED,
        limits=_SUPPORT_LIMITS,
        combination_problem=combinations.svc,
    ),
    ModelEntry(
        name="LogisticRegression",
        estimator=LogisticRegression,
        defaults=SEEDED,
        limits={
            "C": REGULARISATION,
            "max_iter": Limit(high=100_000),
            "n_jobs": JOBS,
            "verbose": VERBOSE,
        },
        combination_problem=combinations.logistic_regression,
        trusted_types=("modelkit.linear.LogisticRegression",),
    ),
    ModelEntry(
        name="HistGradientBoosting",
        estimator=HistGradientBoostingClassifier,
        defaults=SEEDED,
        limits=_BOOSTING_LIMITS,
        trusted_types=_BOOSTED,
        weighs_positions=True,
    ),
    ModelEntry(
        name="DecisionTree",
        estimator=DecisionTreeClassifier,
        defaults=SEEDED,
        limits={"max_leaf_nodes": LEAVES},
        trusted_types=_TREE,
    ),
    ModelEntry(
        name="KNN",
        estimator=KNeighborsClassifier,
        limits={"n_jobs": JOBS},
        combination_problem=combinations.nearest_neighbours,
        trusted_types=_NEIGHBOURS,
    ),
    ModelEntry(
        name="LinearSVC",
        estimator=LinearSVC,
        defaults=SEEDED,
        limits={"C": REGULARISATION, "max_iter": Limit(high=100_000), "verbose": VERBOSE},
        combination_problem=combinations.linear_svc,
    ),
)

ENTRIES_OF_REGRESSION: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="RandomForestRegressor",
        estimator=RandomForestRegressor,
        defaults=SEEDED,
        limits=_FOREST_LIMITS,
        combination_problem=combinations.random_forest,
        trusted_types=_TREE,
        task="regression",
    ),
    ModelEntry(
        name="HistGradientBoostingRegressor",
        estimator=HistGradientBoostingRegressor,
        defaults=SEEDED,
        limits=_BOOSTING_LIMITS,
        combination_problem=combinations.boosted_regression,
        trusted_types=_BOOSTED,
        task="regression",
    ),
    ModelEntry(
        name="DecisionTreeRegressor",
        estimator=DecisionTreeRegressor,
        defaults=SEEDED,
        limits={"max_leaf_nodes": LEAVES},
        trusted_types=_TREE,
        task="regression",
    ),
    ModelEntry(
        name="KNeighborsRegressor",
        estimator=KNeighborsRegressor,
        limits={"n_jobs": JOBS},
        combination_problem=combinations.nearest_neighbours,
        trusted_types=_NEIGHBOURS,
        task="regression",
    ),
    ModelEntry(
        name="Ridge",
        estimator=Ridge,
        defaults=SEEDED,
        limits={"alpha": REGULARISATION, "max_iter": Limit(high=100_000)},
        combination_problem=combinations.ridge,
        task="regression",
    ),
    ModelEntry(
        name="Lasso",
        estimator=Lasso,
        defaults=SEEDED,
        limits=_DESCENT_LIMITS,
        task="regression",
    ),
    ModelEntry(
        name="ElasticNet",
        estimator=ElasticNet,
        defaults=SEEDED,
        limits=_DESCENT_LIMITS,
        task="regression",
    ),
    ModelEntry(
        name="SVR",
        estimator=SVR,
        limits=_SUPPORT_LIMITS,
        combination_problem=combinations.support_vectors,
        task="regression",
    ),
)
"""Under scikit-learn's own names; those above have shorter ones."""


def registry_of(*groups: tuple[ModelEntry, ...]) -> Mapping[str, ModelEntry]:
    """Return the entries by name; a name given twice is a mistake of ours (ValueError)."""
    entries = [entry for group in groups for entry in group]
    by_name = {entry.name: entry for entry in entries}
    if len(by_name) != len(entries):
        raise ValueError("Two registry entries have one name.")
    return MappingProxyType(by_name)


def registry() -> Mapping[str, ModelEntry]:
    """Return every model by name, the suite's own first."""
    # Late, because own_models imports this module for `ModelEntry`.
    from modelkit.own_models import OWN_MODELS

    return registry_of(ENTRIES, ENTRIES_OF_REGRESSION, OWN_MODELS)


def models_of(task: str) -> str:
    """Return the names of the models of a task as one text: 'Ridge', 'Lasso' or 'SVR'."""
    return _either([repr(name) for name, entry in registry().items() if entry.task == task])


def get_entry(model_name: str) -> ModelEntry:
    """Return the entry of `model_name`; raises `ModelNotFound` with the names there are."""
    entries = registry()
    if model_name not in entries:
        raise ModelNotFound(f"Please Specify {_either([repr(name) for name in entries])}")
    return entries[model_name]


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
