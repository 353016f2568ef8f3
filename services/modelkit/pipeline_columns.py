"""What a fitted pipeline itself says of its inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from modelkit.input_rows import InputColumn
from modelkit.sklearn_runner import first_step


def input_columns(
    pipeline: Any, signature: Sequence[InputColumn] | None
) -> tuple[InputColumn, ...]:
    """Return the inputs of a fitted pipeline.

    `signature` is what was said when it was logged; without one, every column that no encoder
    holds to be text is a required number. Nameless columns take the names of the pipeline's
    training rows, else x0, x1 ... A column whose encoder refuses values that it was not fitted on
    has these as its categories.
    """
    first = first_step(pipeline)
    names = [str(name) for name in getattr(first, "feature_names_in_", ())]
    columns = signature
    if columns is None:
        count = getattr(pipeline, "n_features_in_", len(names))
        columns = (InputColumn("", "double"),) * count
    if len(names) != len(columns):
        names = [f"x{number}" for number in range(len(columns))]
    categories = dict(_categories(first))
    return tuple(
        _with_categories(
            column if column.name else replace(column, name=names[number]),
            categories.get(number),
            guess=signature is None,
        )
        for number, column in enumerate(columns)
    )


def _with_categories(
    column: InputColumn, categories: tuple[Any, ...] | None, *, guess: bool
) -> InputColumn:
    if categories is None:
        return column
    texts = all(isinstance(value, str) for value in categories)
    if guess and texts:
        column = replace(column, type="string")
    if texts != (column.type == "string"):
        return column
    return replace(column, categories=categories)


def _categories(step: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield column numbers with the values that an encoder of raw columns knows."""
    if isinstance(step, ColumnTransformer):
        indices = step._transformer_to_input_indices
        for name, transformer, _ in step.transformers_:
            for place, values in _categories(transformer):
                if place < len(indices[name]):
                    yield indices[name][place], values
        return
    encoder = step
    if isinstance(step, Pipeline):
        # Imputers leave the columns where they are; what comes after other steps is not raw.
        later = [item for _, item in step.steps if not hasattr(item, "statistics_")]
        encoder = later[0] if later else None
    if isinstance(encoder, OneHotEncoder | OrdinalEncoder) and encoder.handle_unknown == "error":
        for place, values in enumerate(encoder.categories_):
            known = tuple(value for value in np.asarray(values).tolist() if not _is_missing(value))
            yield place, known


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
