"""The feature columns of a table in the one form that pipelines are fitted to and compared on.

A table's own types decide: what the schema calls text is text for the model, whatever its values
look like.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from modelkit.input_rows import ColumnType, InputColumn
from modelkit.servable import Rows
from schema.day_numbers import days_since_1970, time_texts
from servicekit.iso_times import parse_time

_DTYPES: Mapping[ColumnType, Any] = {
    "double": "float64",
    "integer": "float64",
    "boolean": "boolean",
    "string": "object",
    "datetime": "datetime64[us]",
}


def feature_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """Return columns as pipelines take them.

    Parameters
    ----------
    rows : (n_rows, n_columns) as `schema.samples.read_rows` gives them, without the target.

    Returns
    -------
    The same columns and index: text as object (None where missing), truth values as pandas'
    `boolean` (<NA> where missing), dates and times as datetime64[us] in UTC (NaT where missing),
    all numbers as float64 (NaN where missing), whole ones too.

    Raises
    ------
    ValueError, TypeError
        A column is of another kind.
    """
    return _with_none(rows.astype({name: _dtype_of(rows[name]) for name in rows.columns}))


def columns_of(features: pd.DataFrame) -> tuple[InputColumn, ...]:
    """Return what a model fitted to a `feature_frame` takes.

    No column is required, since the pipeline knows what to do where a value is missing. Whole
    numbers are `double` for the same reason: MLflow's integers cannot be missing, and what is
    between two whole numbers is no mistake to a model.
    """
    kinds: Mapping[str, ColumnType] = {
        "object": "string",
        "boolean": "boolean",
        "datetime64[us]": "datetime",
    }
    return tuple(
        InputColumn(str(name), kinds.get(str(kind), "double"), required=False)
        for name, kind in features.dtypes.items()
    )


def typed_frame(rows: Sequence[Sequence[Any]], columns: Sequence[InputColumn]) -> pd.DataFrame:
    """Return JSON rows (None where missing) as a `feature_frame`; there may be none.

    `columns` name and type the values of each row, which are checked already (`InputRows`).
    """
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return _with_none(
        pd.DataFrame(
            {
                column.name: _series(given, column.type)
                for column, given in zip(columns, values, strict=True)
            }
        )
    )


def json_rows(features: pd.DataFrame) -> list[list[Any]]:
    """Return a `feature_frame` as rows of JSON values: float, bool or str, None where missing.

    Dates and times are ISO texts.
    """
    columns = [json_values(features[name]) for name in features]
    return [list(row) for row in zip(*columns, strict=True)]


def json_values(column: "pd.Series[Any]") -> list[Any]:
    """Return a column as JSON values, None where missing; dates and times are ISO texts."""
    if column.dtype.kind == "M":
        return time_texts(column.to_numpy())
    missing = column.isna().to_list()
    return [None if gone else value for value, gone in zip(column.to_list(), missing, strict=True)]


def rows_of(features: pd.DataFrame) -> Rows:
    """Return a `feature_frame` as models in their serving form take rows.

    float64 (n_rows, n_columns) with NaN where missing, truth values as 0 and 1 and times as days
    since 1970; where a column is text, lists of JSON values, of such days too.
    """
    times = [name for name, kind in features.dtypes.items() if kind.kind == "M"]
    if times:
        features = features.copy()
        for name in times:
            features[name] = days_since_1970(features[name].to_numpy())
    if has_text(features):
        return json_rows(features)
    return features.to_numpy(dtype=np.float64, na_value=np.nan)


def has_text(features: pd.DataFrame) -> bool:
    """Tell whether a column of a `feature_frame` is text."""
    return any(column.type == "string" for column in columns_of(features))


def example_of(features: pd.DataFrame, most_rows: int) -> pd.DataFrame:
    """Return the first rows as an input example that MLflow can store and take back.

    Truth values are objects and times texts: pandas' own missing values are none that MLflow can
    write.
    """
    example = features.head(most_rows).copy()
    for name in example:
        if example[name].dtype.kind == "M":
            example[name] = pd.Series(json_values(example[name]), example.index, dtype=object)
    truths = {name: "object" for name, kind in example.dtypes.items() if str(kind) == "boolean"}
    return _with_none(example.astype(truths))


def _dtype_of(column: "pd.Series[Any]") -> str:
    if column.dtype.kind == "M":
        return "datetime64[us]"
    kinds = {"object": "object", "boolean": "boolean", "bool": "boolean"}
    return kinds.get(str(column.dtype), "float64")


def _series(values: Sequence[Any], type_: ColumnType) -> "pd.Series[Any]":
    if type_ != "datetime":
        return pd.Series(list(values), dtype=object).astype(_DTYPES[type_])
    times = [None if text is None else parse_time(text) for text in values]
    naive = [None if time is None else time.replace(tzinfo=None) for time in times]
    return pd.Series(np.array(naive, dtype=_DTYPES[type_]))


def _with_none(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with None, and no other mark, where an object is missing."""
    objects = [name for name, kind in frame.dtypes.items() if str(kind) == "object"]
    marked = frame.copy() if objects else frame
    for name in objects:
        marked[name] = frame[name].where(frame[name].notna(), cast(Any, None))
    return marked
