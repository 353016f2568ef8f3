"""Statistics of a metric over runs."""

from collections.abc import Sequence

import numpy as np

from contracts.tracking import MetricStatistics

NOTHING = MetricStatistics(
    mean=None, median=None, std_dev=None, variance=None, min=None, max=None, mode=None, iqr=None
)


def statistics_of(values: Sequence[float]) -> MetricStatistics:
    """Describe finite `values` (any unit; the variance is in that unit squared).

    Variance and standard deviation are the population's (divided by n). `iqr` is the 75th minus
    the 25th percentile, interpolated linearly (Hyndman and Fan 1996, type 7). The mode is the
    smallest of the most frequent values. Without a value everything is None.

    >>> statistics_of([1.0, 2.0, 2.0, 5.0]).variance
    2.25
    """
    if not values:
        return NOTHING
    data = np.asarray(values, dtype=np.float64)
    distinct, counts = np.unique(data, return_counts=True)
    lower, middle, upper = np.percentile(data, [25, 50, 75])
    return MetricStatistics(
        mean=float(data.mean()),
        median=float(middle),
        std_dev=float(data.std()),
        variance=float(data.var()),
        min=float(distinct[0]),
        max=float(distinct[-1]),
        mode=float(distinct[counts.argmax()]),
        iqr=float(upper - lower),
    )
