"""The pipeline that is searched, logged, registered, served and scored: one object throughout."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from modelkit.calendar_parts import CalendarParts
from modelkit.input_rows import InputColumn
from modelkit.pipeline_choices import (
    CALIBRATION,
    ENCODING,
    IMPUTATION,
    SCALING,
    TEXT_IMPUTATION,
    split_choices,
)
from modelkit.registry import get_entry
from modelkit.values import from_json

PIPELINE_VERSION = 1
"""Raise it when the same request would give another fitted pipeline; it is part of a model's
fingerprint, so that an unchanged request trains again after such a change."""

MIXED_PIPELINE_VERSION = 2
"""The same where a column is no number: text, truth values and times have steps of their own."""

MODEL_STEP = "model"
COLUMNS_STEP = "columns"
TEXTS = "texts"

MOST_CATEGORIES = 50
"""Columns that a text column becomes at most: free text must not fill the memory."""

FEWEST_ROWS = 2
"""Rows that hold a text before it gets a column of its own: from a single one nothing is learnt."""

CALIBRATION_FOLDS = 5
"""Folds whose predictions a calibration learns from; each needs a row of every class."""

_SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}

Columns = Sequence[str | InputColumn]


def build_pipeline(
    model_name: str,
    hyperparameters: Mapping[str, Any],
    columns: Columns,
    classes: Sequence[Any] = (),
) -> Pipeline:
    """Return the unfitted pipeline: what the columns need (`preprocessing_steps`), then the model.

    Parameters
    ----------
    model_name : a name of the registry.
    hyperparameters : as they come from JSON, checked by `check_hyperparameters`; what is missing
        takes the registry's default. Those of `modelkit.pipeline_choices` are about the pipeline.
    columns : the feature columns in the order in which they will be given; a name alone is a
        column of numbers.
    classes : the target's labels, needed where hyperparameters name classes (`class_weight`).

    Fit it on training rows only: medians, means, deviations and categories are those of the rows
    it is fitted on. It takes a DataFrame with these columns (`modelkit.features.feature_frame`) or
    an array (n_samples, n_columns); NaN is a missing number, None a missing text.

    Raises
    ------
    ModelNotFound
        The registry has no such model.
    """
    own, choices = split_choices(hyperparameters)
    entry = get_entry(model_name)
    own = from_json(own, classes)
    weights = own.get("class_weight")
    if entry.weighs_positions and isinstance(weights, dict) and classes:
        places = {label: place for place, label in enumerate(sorted(classes))}
        own["class_weight"] = {places.get(label, label): weights[label] for label in weights}
    model: Any = entry.make(own)
    if choices[CALIBRATION]:
        # One model, calibrated by what it says of rows that it was not fitted on: as quick to serve
        # as without, where an ensemble of a model per fold is not.
        folds = StratifiedKFold(CALIBRATION_FOLDS, shuffle=True, random_state=42)
        model = CalibratedClassifierCV(model, method=choices[CALIBRATION], cv=folds, ensemble=False)
    return Pipeline([*preprocessing_steps(columns, choices), (MODEL_STEP, model)])


def preprocessing_steps(
    columns: Columns, choices: Mapping[str, Any] | None = None
) -> list[tuple[str, Any]]:
    """Return the steps between raw columns and the model, by what the columns are.

    What follows is said of the default `choices`; see `modelkit.pipeline_choices` for others.

    Numbers: missing values become the column's training median (0 where it has no value at all;
    such a column then carries no information), then each column is scaled to mean 0 and variance 1
    (population variance; a constant column becomes 0).

    Truth values become 0 and 1, where missing the commoner of the two (0.5 where both are equally
    common), unscaled.

    Dates and times become their `calendar_parts.PARTS`, and these are treated as numbers are.

    Texts become a column of 0 and 1 per category, with missing as a category like any other. What
    stands in a single training row only, or is not among the commonest `MOST_CATEGORIES` - 1,
    shares one column, and a text that training rows did not hold counts as one of these; where
    there is no such column it is 0 in all. Encoded as ordinals, they become one column of whole
    numbers in alphabetical order, missing as the last but the rare ones, and -1 is a text that
    training rows did not hold. Imputed, a missing text is the column's most frequent one, of
    several the first in alphabetical order.
    """
    _, choices = split_choices(choices or {})
    if not columns:
        raise ValueError("A pipeline needs at least one feature column.")
    kinds = [_kind(column) for column in columns]
    if set(kinds) == {"numbers"}:
        return _number_steps(choices)
    by_kind = {
        "numbers": Pipeline(_number_steps(choices)),
        # The median of 0 and 1; unlike the most frequent value it takes truth values as such.
        "truths": SimpleImputer(strategy="median", keep_empty_features=True),
        TEXTS: _text_steps(choices),
        "times": Pipeline([("parts", CalendarParts()), *_number_steps(choices)]),
    }
    # By place, not by name: a name may be anything, and an array has none.
    places = {
        kind: [place for place, found in enumerate(kinds) if found == kind] for kind in by_kind
    }
    split = ColumnTransformer(
        [(kind, step, places[kind]) for kind, step in by_kind.items() if places[kind]],
        sparse_threshold=0,
    )
    return [(COLUMNS_STEP, split)]


def _number_steps(choices: Mapping[str, Any]) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = [
        ("impute", SimpleImputer(strategy=choices[IMPUTATION], keep_empty_features=True))
    ]
    if choices[SCALING] in _SCALERS:
        steps.append(("scale", _SCALERS[choices[SCALING]]()))
    return steps


def pipeline_version(columns: Columns) -> int:
    """Return the version of the pipeline that these columns get, for a fingerprint."""
    numbers_only = all(_kind(column) == "numbers" for column in columns)
    return PIPELINE_VERSION if numbers_only else MIXED_PIPELINE_VERSION


def forget_rare_texts(pipeline: Pipeline) -> None:
    """Take the texts that have no column of their own out of a fitted pipeline, in place.

    It predicts as before, since an unknown text counts as a rare one. Of a column of free text it
    would otherwise keep every text: 100,000 of them are 30 MB and take 8 s to store.
    """
    split = dict(pipeline.steps).get(COLUMNS_STEP)
    if split is None or TEXTS not in split.named_transformers_:
        return
    encoder = split.named_transformers_[TEXTS]
    if isinstance(encoder, Pipeline):
        encoder = encoder[-1]
    if isinstance(encoder, OrdinalEncoder):
        # To it an unknown text is not a rare one.
        return
    for place, rare in enumerate(encoder._infrequent_indices):
        if rare is None or len(rare) < 2:
            continue
        kept = np.ones(len(encoder.categories_[place]), dtype=bool)
        # One stands for all.
        kept[rare[1:]] = False
        encoder.categories_[place] = encoder.categories_[place][kept]
        mapping = encoder._default_to_infrequent_mappings[place][kept]
        encoder._default_to_infrequent_mappings[place] = mapping
        encoder._infrequent_indices[place] = np.array([kept[: rare[0]].sum()])


def _text_steps(choices: Mapping[str, Any]) -> Any:
    encoder = _text_encoder(choices[ENCODING])
    if choices[TEXT_IMPUTATION] == "constant":
        # The constant is None: to the encoder a category of its own.
        return encoder
    imputer = SimpleImputer(
        missing_values=None, strategy=choices[TEXT_IMPUTATION], keep_empty_features=True
    )
    return Pipeline([("impute", imputer), ("encode", encoder)])


def _text_encoder(encoding: str) -> Any:
    limits = {"max_categories": MOST_CATEGORIES, "min_frequency": FEWEST_ROWS}
    if encoding == "ordinal":
        return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, **limits)
    return OneHotEncoder(handle_unknown="infrequent_if_exist", sparse_output=False, **limits)


def _kind(column: str | InputColumn) -> str:
    if isinstance(column, str):
        return "numbers"
    return {"string": TEXTS, "boolean": "truths", "datetime": "times"}.get(column.type, "numbers")
