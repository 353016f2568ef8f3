"""Dates and times as numbers that a model can learn from.

Imports scikit-learn only. Knows nothing of where the times come from.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from schema.day_numbers import days_since_1970

PARTS = ("days since 1970", "month", "day of the week", "day of the year", "hour")
"""What a time becomes, in this order: 1 to 12, Monday is 0, 1 to 366, 0 to below 24."""


class CalendarParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Makes `PARTS` of each column; there is nothing to fit."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Note how many columns `X` has."""
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return (n_samples, 5 * n_columns): the first part of all columns, then the second ...

        `X` (n_samples, n_columns) is a DataFrame of datetime64 in UTC (NaT where missing) or an
        array of days since 1970 (NaN where missing). All parts are NaN where it is missing.
        """
        return np.concatenate(calendar_parts(_days(X), np.floor, np.where), axis=1)


def calendar_parts(
    days: Any, floor: Callable[[Any], Any], where: Callable[[Any, Any, Any], Any]
) -> tuple[Any, ...]:
    """Return `PARTS` of days since 1970, of the Gregorian calendar.

    Written for anything that computes in float64, arrays and nodes of ONNX alike, so that the two
    cannot differ. The calendar is Howard Hinnant's `civil_from_days`
    (https://howardhinnant.github.io/date_algorithms.html): years begin in March, so that the leap
    day is a year's last.
    """
    whole = floor(days)
    # Days since 1 March of the year 0, in cycles of 400 years.
    since = whole + 719_468.0
    of_cycle = since - floor(since / 146_097.0) * 146_097.0
    year = floor(
        (of_cycle - floor(of_cycle / 1_460.0) + floor(of_cycle / 36_524.0)
         - floor(of_cycle / 146_096.0)) / 365.0
    )  # fmt: skip
    of_year = of_cycle - (year * 365.0 + floor(year / 4.0) - floor(year / 100.0))
    of_months = floor((of_year * 5.0 + 2.0) / 153.0)
    is_new_year = of_months > 9.5
    # From March on, days of a leap year are one later.
    is_leap = where(
        year - floor(year / 4.0) * 4.0 > 0.5,
        0.0,
        where(year - floor(year / 100.0) * 100.0 > 0.5, 1.0, where(year > 0.5, 0.0, 1.0)),
    )
    month = where(is_new_year, of_months - 9.0, of_months + 3.0)
    day_of_year = where(is_new_year, of_year - 305.0, of_year + 60.0 + is_leap)
    # 1 January 1970 was a Thursday.
    from_monday = whole + 3.0
    day_of_week = from_monday - floor(from_monday / 7.0) * 7.0
    return days, month, day_of_week, day_of_year, (days - whole) * 24.0


def _days(X: Any) -> NDArray[np.float64]:
    if not hasattr(X, "iloc"):
        given = np.asarray(X)
        return days_since_1970(given) if given.dtype.kind == "M" else given.astype(np.float64)
    columns = [X.iloc[:, place].to_numpy() for place in range(X.shape[1])]
    return np.column_stack([_days(column) for column in columns])
