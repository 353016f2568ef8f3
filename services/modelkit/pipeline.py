"""The pipeline that is searched, logged, registered, served and scored: one object throughout."""

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from modelkit.registry import get_entry
from modelkit.values import from_json

PIPELINE_VERSION = 1
"""Raise it when the same request would give another fitted pipeline; it is part of a model's
fingerprint, so that an unchanged request trains again after such a change."""

MODEL_STEP = "model"


def build_pipeline(
    model_name: str,
    hyperparameters: Mapping[str, Any],
    columns: Sequence[str],
    classes: Sequence[Any] = (),
) -> Pipeline:
    """Return the unfitted pipeline impute → scale → model.

    Parameters
    ----------
    model_name : a name of the registry.
    hyperparameters : as they come from JSON, checked by `check_hyperparameters`; what is missing
        takes the registry's default.
    columns : names of the feature columns in the order in which they will be given. Numeric
        columns only: whoever adds other kinds does it in `preprocessing_steps`.
    classes : the target's labels, needed where hyperparameters name classes (`class_weight`).

    Fit it on training rows only: medians, means and deviations are those of the rows it is fitted
    on. It takes a DataFrame with these columns or an array (n_samples, n_columns); NaN is a
    missing value.

    Raises
    ------
    ModelNotFound
        The registry has no such model.
    """
    model = get_entry(model_name).make(from_json(hyperparameters, classes))
    return Pipeline([*preprocessing_steps(columns), (MODEL_STEP, model)])


def preprocessing_steps(columns: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the steps between raw columns and the model, by what the columns are.

    Missing values become the column's training median (0 where it has no value at all; such a
    column then carries no information), then each column is scaled to mean 0 and variance 1
    (population variance; a constant column becomes 0).
    """
    if not columns:
        raise ValueError("A pipeline needs at least one feature column.")
    return [
        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
        ("scale", StandardScaler()),
    ]
