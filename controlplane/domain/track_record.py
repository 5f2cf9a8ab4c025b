"""How estimates made without labels did once the labels came: each window's estimate against its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from controlplane.domain.student import student

Z = NormalDist().inv_cdf(0.975)
LEAST = 2
"""Windows from which on an average error has an interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was estimated of a window before its labels, with the 95 % interval it claimed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Truth:
    """What the labels of the same window showed, over `n` labelled rows."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Over `windows` windows: the mean absolute error `off` and the mean error `bias` (estimate minus truth), each with
    its 95 % interval (None below two windows), and how many truths lay `inside` the estimates' own intervals.

    `coverage` is the 95 % interval of the share inside (Wilson 1927).
    """

    windows: int
    off: float
    off_interval: tuple[float, float] | None
    bias: float
    bias_interval: tuple[float, float] | None
    inside: int
    coverage: tuple[float, float]

    def __str__(self) -> str:
        if not self.windows:
            return "no window with an estimate has labels yet"
        many = "1 window" if self.windows == 1 else f"{self.windows} windows"
        between = "" if self.off_interval is None else f" ({self.off_interval[0]:.3f} to {self.off_interval[1]:.3f})"
        told = f"over {many} with labels since, off by {self.off:.3f} on average{between}; {self.inside} of "
        told += f"{self.windows} {'truth' if self.windows == 1 else 'truths'} inside its interval"
        if self.bias_interval is not None and not self.bias_interval[0] <= 0 <= self.bias_interval[1]:
            told += f"; too {'high' if self.bias > 0 else 'low'} by {abs(self.bias):.3f}"
        return told


def track_record(pairs: Sequence[tuple[Estimate, Truth]]) -> TrackRecord:
    """The record of estimates whose windows have labels since; pairs with a number that is not finite, or without
    labelled rows, are left out.

    Windows weigh the same. Intervals of means are Student's t over windows, so that windows must be distinct.

    >>> said = Estimate(0.8, 0.75, 0.85)
    >>> print(track_record([(said, Truth(0.81, 300)), (said, Truth(0.7, 300))]))
    over 2 windows with labels since, off by 0.055 on average (0.000 to 0.627); 1 of 2 truths inside its interval
    """
    known = [(said, so) for said, so in pairs if so.n > 0 and _finite(said.value, said.low, said.high, so.value)]
    if not known:
        return TrackRecord(0, 0.0, None, 0.0, None, 0, (0.0, 1.0))
    errors = [said.value - so.value for said, so in known]
    off = [abs(error) for error in errors]
    inside = sum(said.low <= so.value <= said.high for said, so in known)
    between = _interval(off)
    if between is not None:
        between = max(0.0, between[0]), between[1]
    return TrackRecord(
        len(known), fmean(off), between, fmean(errors), _interval(errors), inside, _wilson(inside, len(known))
    )


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's t interval of the mean; None below two values."""
    if len(values) < LEAST:
        return None
    half = student(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _wilson(hits: int, n: int) -> tuple[float, float]:
    share, spread = hits / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == n else centre + half)
