"""95 % intervals for the numbers that checks measure: proportions, means, and their differences.

Proportions get score intervals, because near 0 and 1, where a good model lives, the plain normal interval is far too
short. Means get Student's t on per-row values; any smooth statistic (such as RMSE) joins them through its per-row
influence values (delta method).
"""

from __future__ import annotations

import math

import numpy as np

from controlplane.profiles.intervals import Z, difference
from controlplane.profiles.intervals import wilson as share

Interval = tuple[float, float]


def wilson(successes: int, n: int) -> Interval:
    """The score interval of a proportion (Wilson 1927); of no rows at all it is (0, 1).

    >>> low, high = wilson(81, 263)
    >>> round(low, 4), round(high, 4)
    (0.2553, 0.3662)
    """
    figure = share(successes, n)
    return figure.low, figure.high


def newcombe(successes: int, n: int, other_successes: int, other_n: int) -> Interval:
    """The interval of a difference of two independent proportions (Newcombe 1998, method 10): first minus other.

    >>> low, high = newcombe(56, 70, 48, 80)
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    figure = difference(share(successes, n), share(other_successes, other_n))
    return figure.low, figure.high


def paired_proportions(only_first: int, only_other: int, n: int) -> Interval:
    """The interval of a difference of two proportions over the same `n` rows (Agresti and Min 2005): first minus other.

    Only the rows where the two disagree carry information: `only_first` succeeded in the first alone, `only_other` in
    the other alone. Half a row is added to each of the four cells, which keeps the coverage near 95 % where McNemar's
    table is sparse and the plain interval collapses to a point.

    >>> low, high = paired_proportions(12, 2, 100)
    >>> round(low, 3), round(high, 3)
    (0.026, 0.17)
    """
    first, other, rows = only_first + 0.5, only_other + 0.5, n + 2.0
    difference = (first - other) / rows
    half = Z * math.sqrt(max(first + other - (first - other) ** 2 / rows, 0.0)) / rows
    return max(difference - half, -1.0), min(difference + half, 1.0)


def mean(values: np.ndarray) -> Interval:
    """Student's t interval of a mean; of fewer than two values it is unbounded.

    >>> low, high = mean(np.array([4.0, 5.0, 6.0]))
    >>> round(low, 3), round(high, 3)
    (2.516, 7.484)
    """
    if len(values) < 2:
        return -math.inf, math.inf
    half = _t(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    centre = float(np.mean(values))
    return centre - half, centre + half


def welch(values: np.ndarray, others: np.ndarray) -> Interval:
    """The interval of a difference of two independent means with unequal variances (Welch 1947): first minus other."""
    if min(len(values), len(others)) < 2:
        return -math.inf, math.inf
    parts = np.array([np.var(values, ddof=1) / len(values), np.var(others, ddof=1) / len(others)])
    variance = float(parts.sum())
    centre = float(np.mean(values) - np.mean(others))
    if variance == 0.0:
        return centre, centre
    freedom = variance**2 / float((parts**2 / [len(values) - 1, len(others) - 1]).sum())
    half = _t(freedom) * math.sqrt(variance)
    return centre - half, centre + half


def _t(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
