"""Dates and times as the one number that models, drift checks and reports take: days since 1970.

Imports numpy, for those who work with arrays of them; see `iso_times` for single texts.
"""

import math

import numpy as np
from numpy.typing import NDArray

from servicekit.iso_times import text_of_days

DAY_US = 86_400_000_000


def days_since_1970(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Return times as days since 1970, NaN for NaT: whole ones for dates."""
    exact = times.astype("M8[us]")
    return np.where(np.isnat(exact), np.nan, exact.astype(np.int64) / DAY_US)


def times_of_days(days: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Return days since 1970 as datetime64[us], NaT for NaN; the way back."""
    missing = np.isnan(days)
    present = np.where(missing, 0.0, days)
    whole = np.floor(present)
    exact = whole.astype("M8[D]").astype("M8[us]")
    # The part of a day by itself: a microsecond of many days would be lost.
    exact += np.rint((present - whole) * DAY_US).astype("m8[us]")
    exact[missing] = np.datetime64("NaT")
    return exact


def time_texts(times: NDArray[np.datetime64]) -> list[str | None]:
    """Return times as ISO texts, None for NaT; a midnight is a date."""
    return [
        None if math.isnan(days) else text_of_days(days) for days in days_since_1970(times).tolist()
    ]
