"""Which rows a candidate is fitted on and scored on: the folds of a search.

They follow how the sets were cut, so that a score within a search means what the testing set's
will. See docs/adr/0025-folds-follow-the-split.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from modelkit.pipeline import CALIBRATION_FOLDS
from modelkit.pipeline_choices import CALIBRATION
from modelkit.registry import get_entry
from tracking.domain import SearchPlan, TrainingSet
from tracking.service.fold_fits import Folds
from tracking.service.scoring import OF_PREDICTIONS

SEED = 42
"""Seeds the shuffling of the folds; the estimators have their own in the registry."""

MOST_WEIGHED_GROUPS = 10_000
"""Groups up to which each fold gets its share of every class: scikit-learn weighs them one by one,
three seconds for 10,000 in five folds. Of more, chance gives nearly the same."""


def folds_of(
    training_set: TrainingSet, count: int, among: NDArray[np.int64] | None = None
) -> Folds:
    """Return `count` folds as row numbers of the training set, of `among` only unless it is None.

    By class each fold has its share of every class, by group no group is in two folds. By time each
    is scored on rows that are later than all it is fitted on, and the earliest rows are scored in
    none; rows of the very moment at which the scored ones begin are left out of the fit.

    `folds_problem` says beforehand whether there are such folds.
    """
    rows = np.arange(len(training_set.labels)) if among is None else among
    labels = training_set.labels[rows]
    kind = training_set.fold_kind
    if kind == "time":
        folds = _by_time(training_set.fold_values[rows], count)
    elif kind == "group":
        groups = training_set.fold_values[rows]
        folds = list(_of_groups(training_set, labels, groups, count).split(labels, labels, groups))
    else:
        plain = KFold if kind == "random" else StratifiedKFold
        folds = list(plain(count, shuffle=True, random_state=SEED).split(labels, labels))
    if among is None:
        return folds
    return [(rows[fitted_on], rows[scored_on]) for fitted_on, scored_on in folds]


def _of_groups(
    training_set: TrainingSet, labels: NDArray[np.generic], groups: NDArray[np.int64], count: int
) -> GroupKFold | StratifiedGroupKFold:
    of_numbers = training_set.task == "regression"
    if of_numbers or len(np.unique(groups)) > MOST_WEIGHED_GROUPS:
        return GroupKFold(count)
    # A class with fewer rows than folds has no share for each.
    if np.unique(labels, return_counts=True)[1].min() < count:
        return GroupKFold(count)
    return StratifiedGroupKFold(count, shuffle=True, random_state=SEED)


def _by_time(times: NDArray[np.generic], count: int) -> Folds:
    order = np.argsort(times, kind="stable")
    folds = []
    for before, scored in TimeSeriesSplit(count).split(order):
        begins_at = times[order[scored[0]]]
        earlier = order[before]
        folds.append((earlier[times[earlier] < begins_at], order[scored]))
    return folds


def scored_labels(training_set: TrainingSet, folds: Folds) -> NDArray[np.generic]:
    """Return the labels of all rows that some fold scores, in the order of the training set."""
    rows = np.sort(np.concatenate([scored_on for _, scored_on in folds]))
    labels: NDArray[np.generic] = training_set.labels[rows]
    return labels


def folds_problem(
    training_set: TrainingSet,
    count: int,
    plans: Sequence[SearchPlan],
    among: NDArray[np.int64] | None = None,
) -> str | None:
    """Say why the rows cannot be cut into so many folds for these searches, or None.

    Every fold must be fitted on two classes and score some row; of a regression it must be fitted
    and scored on two rows. On every class where probabilities are scored, or classes are weighed by
    their place; on rows enough of each for the folds that a calibration learns from.
    """
    rows = np.arange(len(training_set.labels)) if among is None else among
    if training_set.fold_kind == "group":
        most = len(np.unique(training_set.fold_values[rows]))
        if count > most:
            return f"must be at most {most}, the groups there are"
    elif count >= len(rows):
        return f"must be below {len(rows)}, the rows there are"
    of_numbers = training_set.task == "regression"
    every_class = any(_needs_every_class(plan) for plan in plans)
    calibrated = any(any(plan.grid.get(CALIBRATION, ())) for plan in plans)
    classes, place_of = np.unique(training_set.labels, return_inverse=True)
    there = np.bincount(place_of[rows], minlength=len(classes)) > 0
    for number, (fitted_on, scored_on) in enumerate(folds_of(training_set, count, among), 1):
        where = f"has too many folds: fold {number} of {count} would"
        if len(scored_on) < (2 if of_numbers else 1):
            return f"{where} have {len(scored_on)} rows to be scored on"
        if of_numbers:
            if len(fitted_on) < 2:
                return f"{where} have {len(fitted_on)} rows to be fitted on"
            continue
        found = np.bincount(place_of[fitted_on], minlength=len(classes))
        if np.count_nonzero(found) < min(2, len(classes)):
            return f"{where} be fitted on {np.count_nonzero(found)} classes"
        looked_at = there if every_class else found > 0
        fewest = int(np.argmin(np.where(looked_at, found, len(rows))))
        if found[fewest] < (CALIBRATION_FOLDS if calibrated else 1):
            label = classes.tolist()[fewest]
            return f"{where} be fitted on {found[fewest]} rows of the class {label!r}"
    return None


def _needs_every_class(plan: SearchPlan) -> bool:
    weights = plan.grid.get("class_weight", ())
    by_label = any(isinstance(value, Mapping) for value in weights)
    return plan.scoring not in OF_PREDICTIONS or (
        by_label and get_entry(plan.model_name).weighs_positions
    )
