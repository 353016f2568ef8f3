"""A scenario on rows of any column types.

Numbers change as the scenario says. Whole numbers stay whole. Text, truth values, dates and times
are not moved by a deviation: of what a scenario does they only go missing.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schema.samples import Column
from simulator.service.scenarios import Features, foul

NUMERIC = frozenset({"number", "integer"})
LARGEST_WHOLE = 2.0**62
_MISSING = {"boolean": pd.NA, "date": pd.NaT, "timestamp": pd.NaT}


def deviations_of(chunks: Iterable[pd.DataFrame], features: Sequence[Column]) -> Features:
    """Return each feature's standard deviation (n_features,) over all rows that have a value.

    0 for what is no number, for a feature without values and for one whose deviation is
    beyond all numbers. Chunks are joined by the formula of Chan, Golub and LeVeque (1979).
    """
    count = np.zeros(len(features))
    mean, squares = np.zeros(len(features)), np.zeros(len(features))
    only: Features | None = None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for number, chunk in enumerate(chunks):
            values = feature_matrix(chunk, features)
            # One chunk without gaps, as every built-in table is, has numpy's own deviation.
            whole = number == 0 and not np.isnan(values).any()
            only = values.std(axis=0) if whole else None
            present = (~np.isnan(values)).sum(axis=0).astype(float)
            chunk_mean = np.nansum(values, axis=0) / np.maximum(present, 1)
            off = np.where(np.isnan(values), 0.0, values - chunk_mean)
            total = np.maximum(count + present, 1)
            apart = chunk_mean - mean
            squares += (off**2).sum(axis=0) + apart**2 * count * present / total
            mean += apart * present / total
            count += present
        found = only if only is not None else np.sqrt(squares / np.maximum(count, 1))
    return np.where(np.isfinite(found), found, 0.0)


def foul_rows(
    rows: pd.DataFrame,
    features: Sequence[Column],
    deviations: Features,
    scenario: str,
    seed: int,
    block: int,
) -> pd.DataFrame:
    """Return the rows with their features fouled; other columns and all types stay.

    `block` is the number of this piece of the set, see `scenarios.foul`.
    """
    fouled = foul(feature_matrix(rows, features), deviations, scenario, seed, block)
    changed = {
        feature.name: _as_column(rows[feature.name], feature, fouled[:, place])
        for place, feature in enumerate(features)
    }
    return pd.DataFrame(
        {name: changed.get(str(name), rows[name]) for name in rows.columns}, index=rows.index
    )


def feature_matrix(rows: pd.DataFrame, features: Sequence[Column]) -> Features:
    """Return the features as floats (n_rows, n_features): NaN where missing, 0 for no number."""
    names = [feature.name for feature in features]
    if all(feature.type == "number" for feature in features):
        return rows[names].to_numpy()
    return np.column_stack(
        [
            rows[feature.name].to_numpy(dtype="float64", na_value=np.nan)
            if feature.type in NUMERIC
            else np.zeros(len(rows))
            for feature in features
        ]
    )


def _as_column(before: "pd.Series[Any]", feature: Column, fouled: NDArray[np.float64]) -> object:
    if feature.type == "number":
        return fouled
    if feature.type == "integer":
        whole = np.clip(np.rint(fouled), -LARGEST_WHOLE, LARGEST_WHOLE)
        return pd.Series(whole, index=before.index).astype("Int64")
    kept = before.copy()
    kept[np.isnan(fouled)] = _MISSING.get(feature.type)
    return kept
