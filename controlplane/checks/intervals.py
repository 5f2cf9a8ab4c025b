"""95 % intervals for the numbers that checks measure: proportions, means, and their differences.

Proportions get score intervals, because near 0 and 1, where a good model lives, the plain normal interval is far too
short. Means get Student's t on per-row values; any smooth statistic (such as RMSE) joins them through its per-row
influence values (delta method), and one that lies between 0 and 1 (such as ROC AUC) gets a score interval by way of its
effective number of rows.
"""

from __future__ import annotations

import math

import numpy as np

from controlplane.profiles.intervals import Z
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


def apart(estimate: float, interval: Interval, other: float, other_interval: Interval) -> Interval:
    """The interval of a difference of two independent estimates, from the interval of each: first minus other.

    Newcombe's hybrid (1998, method 10), which holds for any two estimates and keeps their intervals' lean to one side
    (Zou and Donner 2008); for what lies between 0 and 1.

    >>> low, high = apart(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    low, high = between(estimate, interval, other, other_interval)
    return max(-1.0, low), min(1.0, high)


def between(estimate: float, interval: Interval, other: float, other_interval: Interval) -> Interval:
    """The same for estimates of any size, such as two quantiles."""
    delta = estimate - other
    low = delta - math.hypot(estimate - interval[0], other_interval[1] - other)
    high = delta + math.hypot(interval[1] - estimate, other - other_interval[0])
    return low, high


def fewest(share: float) -> int:
    """How many values the interval of a quantile takes: with fewer, no value is surely on either side of it.

    >>> fewest(0.5), fewest(0.95), fewest(0.99)
    (6, 72, 368)
    """
    return math.ceil(math.log(0.025) / math.log(max(share, 1 - share)))


def quantile(ordered: np.ndarray, share: float) -> tuple[float, Interval]:
    """A quantile of sorted values, one of them, and its interval between two others (binomial order statistics).

    It holds for any distribution, and with ties is the wider for them. Takes at least `fewest(share)` values.

    >>> quantile(np.arange(1.0, 101.0), 0.5)
    (50.0, (40.0, 61.0))
    """
    from scipy.special import bdtr

    n = len(ordered)
    centre, spread = n * share, 8 * math.sqrt(n * share * (1 - share)) + 8
    counts = np.arange(max(0, math.floor(centre - spread)), min(n - 1, math.ceil(centre + spread)) + 1)
    # At most so many of the values lie below the quantile.
    chance = bdtr(counts, n, share)
    below = int(counts[0] + np.count_nonzero(chance <= 0.025))
    above = int(counts[np.searchsorted(chance, 0.975)]) + 1
    return float(ordered[math.ceil(centre) - 1]), (float(ordered[below - 1]), float(ordered[above - 1]))


def poisson(count: int) -> Interval:
    """The exact interval of the mean of a count (Garwood 1936).

    >>> low, high = poisson(10)
    >>> round(low, 3), round(high, 3)
    (4.795, 18.39)
    """
    from scipy.special import gammaincinv

    return float(gammaincinv(count, 0.025)) if count else 0.0, float(gammaincinv(count + 1, 0.975))


def mean_of_shares(hits: np.ndarray, rows: np.ndarray) -> Interval:
    """The interval of the plain mean of independent shares, such as the recalls of classes.

    Wilson's intervals of the shares are put together as estimates of their variances, below and above (Zou and Donner
    2008), so that a class of few rows that were all right still leaves its doubt. Of one share it is Wilson's.

    >>> low, high = mean_of_shares(np.array([5, 950]), np.array([5, 1000]))
    >>> round(low, 2), round(high, 2)
    (0.76, 0.98)
    """
    figures = [share(int(hit), int(n)) for hit, n in zip(hits, rows, strict=True)]
    centre = float(np.mean([figure.estimate for figure in figures]))
    below = math.hypot(*(figure.estimate - figure.low for figure in figures)) / len(figures)
    above = math.hypot(*(figure.high - figure.estimate for figure in figures)) / len(figures)
    return max(centre - below, 0.0), min(centre + above, 1.0)


def bounded(values: np.ndarray, support: float) -> Interval:
    """The interval of a mean of influence values that lies between 0 and 1, such as an area under a curve.

    Wilson's interval with the effective number of rows, that is as many as would give a plain share this variance (Kish
    1965; Dean and Pagano 2015 for the score interval). At 0 or 1, where no spread is left to learn from, `support` is
    that number: of how many rows the metric is made.
    """
    n = len(values)
    centre = min(max(float(np.mean(values)), 0.0), 1.0)
    room = centre * (1 - centre)
    variance = float(np.var(values, ddof=1)) / n if n > 1 else 0.0
    rows = min(room / variance, n) if variance > 0 and room > 1e-12 else support
    spread = Z * Z / rows
    middle = (centre + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(room / rows + spread / (4 * rows))
    return min(max(middle - half, 0.0), centre), max(min(middle + half, 1.0), centre)


def mcnemar(only_first: int, only_other: int) -> float:
    """The p-value of McNemar's exact test (1947): whether the rows where two versions differ fall to either side alike.

    >>> round(mcnemar(12, 2), 4)
    0.0129
    """
    from scipy.special import bdtr

    fewer, rows = min(only_first, only_other), only_first + only_other
    return min(1.0, 2 * float(bdtr(fewer, rows, 0.5)))


def paired(gaps: np.ndarray, step: float = 0.0) -> Interval:
    """Student's t interval of the mean of differences over the same rows.

    `step` is what one answer turned over changes. It is added to the spread as one such change, half of it each way,
    which is what Agresti and Min (2005) do to paired shares: two versions that never disagree leave room for doubt.
    """
    if len(gaps) < 2:
        return -math.inf, math.inf
    half = _t(len(gaps) - 1) * math.hypot(float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps)), step)
    centre = float(np.mean(gaps))
    return centre - half, centre + half


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
    return paired(values)


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
