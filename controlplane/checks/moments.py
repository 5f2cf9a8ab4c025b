"""Means of many groups of rows at once, and the intervals of each and of their differences, at any confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Moments:
    """What an interval needs of n values: their mean and variance (n - 1 in the denominator).

    `share` says that the values are 0 or 1: then score intervals are due, which hold near both ends.
    """

    n: int
    mean: float
    variance: float
    share: bool = False

    def interval(self, confidence: float = 0.95) -> Interval:
        """Of the mean: Wilson's (1927) for a share, else Student's t.

        >>> low, high = Moments(263, 81 / 263, 0.214, share=True).interval()
        >>> round(low, 4), round(high, 4)
        (0.2553, 0.3662)
        """
        if not self.share:
            half = t_quantile(self.n - 1, confidence) * math.sqrt(self.variance / self.n)
            return self.mean - half, self.mean + half
        z = _normal_quantile(confidence)
        spread = z * z / self.n
        centre = (self.mean + spread / 2) / (1 + spread)
        half = z / (1 + spread) * math.sqrt(self.mean * (1 - self.mean) / self.n + spread / (4 * self.n))
        return min(max(0.0, centre - half), self.mean), max(min(1.0, centre + half), self.mean)

    def minus(self, other: Moments, confidence: float = 0.95) -> Interval:
        """Of the difference of two independent means: Newcombe's (1998, method 10) for shares, else Welch's (1947).

        >>> low, high = Moments(70, 0.8, 0.16, True).minus(Moments(80, 0.6, 0.24, True))
        >>> round(low, 4), round(high, 4)
        (0.0524, 0.3339)
        """
        gap = self.mean - other.mean
        if self.share and other.share:
            (low, high), (other_low, other_high) = self.interval(confidence), other.interval(confidence)
            below = math.hypot(self.mean - low, other_high - other.mean)
            above = math.hypot(high - self.mean, other.mean - other_low)
            return max(gap - below, -1.0), min(gap + above, 1.0)
        half = t_quantile(self.freedom(other), confidence) * self.error(other)
        return gap - half, gap + half

    def error(self, other: Moments) -> float:
        """The standard error of the difference of two independent means."""
        return math.sqrt(self.variance / self.n + other.variance / other.n)

    def freedom(self, other: Moments) -> float:
        """Welch's degrees of freedom of that error; without any spread those of the smaller side."""
        own, its = self.variance / self.n, other.variance / other.n
        if own + its == 0.0:
            return min(self.n, other.n) - 1.0
        return (own + its) ** 2 / (own**2 / (self.n - 1) + its**2 / (other.n - 1))


def moments_of(values: np.ndarray, share: bool = False) -> Moments:
    """The moments of at least two values, shape (n,)."""
    return Moments(len(values), float(values.mean()), float(values.var(ddof=1)), share)


def by_code(values: np.ndarray, codes: np.ndarray, size: int, share: bool = False) -> list[Moments]:
    """The moments of the values of each code in 0 to `size` - 1; of fewer than two values the variance is 0.

    >>> [(one.n, one.mean) for one in by_code(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), 3)]
    [(2, 2.0), (0, 0.0), (1, 5.0)]
    """
    counts = np.bincount(codes, minlength=size)
    # Taken from the mean of all, so that squares of large numbers far from 0 lose no digits.
    origin = float(values.mean()) if len(values) else 0.0
    apart = values - origin
    sums = np.bincount(codes, apart, size)
    squares = np.bincount(codes, apart * apart, size)
    found = []
    for n, total, square in zip(counts.tolist(), sums.tolist(), squares.tolist(), strict=True):
        mean = total / n if n else -origin
        variance = max(square - n * mean * mean, 0.0) / (n - 1) if n > 1 else 0.0
        found.append(Moments(n, origin + mean, variance, share))
    return found


def t_quantile(freedom: float, confidence: float) -> float:
    """How many standard errors a two-sided interval of this confidence reaches to each side."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))
