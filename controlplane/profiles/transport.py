"""How far a column's values would have to be carried: Wasserstein's distance, from distribution functions alone."""

from __future__ import annotations

import math

import numpy as np

from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.compare import cumulated
from controlplane.profiles.intervals import Figure, Z
from controlplane.profiles.kinds import Floats


def wasserstein(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """Wasserstein-1 distance in standard deviations of the reference (in the column's own unit where that is 0).

    The area between the two distribution functions over the finite values. Between two edges each function may rise
    anywhere, so the estimate is the least area that the counts allow, or the distance of the two means where that is
    more, and `hidden` what the largest area adds. The interval takes the area that noise alone would add off its low
    end; by duality the distance is a mean of a function of slope 1 at most (Kantorovich and Rubinstein 1958), whose
    variance is then no more than that of the values. NaN where either holds no finite value.
    """
    n = current.finite
    if not reference.finite or not n:
        return Figure(math.nan, math.nan, math.nan, n)
    unit = reference.std if 0 < reference.std < math.inf else 1.0
    before, after = cumulated(reference.slots), cumulated(current.slots)
    with np.errstate(over="ignore", invalid="ignore"):
        widths = np.diff(reference.bins.edges) / unit
        least, most = _least_gap(before, after), _largest_gap(before, after)
        beyond = (_beyond(reference) + _beyond(current)) / unit
        highest = float(widths @ most) + beyond
        estimate = min(max(float(widths @ least), abs(current.mean - reference.mean) / unit), highest)
        noise = float(widths @ _noise(before[1:-2:2], reference.finite, after[1:-2:2], n))
        error = math.hypot(reference.std / math.sqrt(reference.finite), current.std / math.sqrt(n)) / unit
        return Figure(
            estimate, max(0.0, estimate - noise - Z * error), highest + Z * error, n, max(0.0, highest - estimate)
        )


def _least_gap(before: Floats, after: Floats) -> Floats:
    """The gap that the functions must keep between each two edges: 0 wherever their ranges there meet."""
    return np.maximum(np.maximum(before[1:-2:2] - after[2:-1:2], after[1:-2:2] - before[2:-1:2]), 0.0)


def _largest_gap(before: Floats, after: Floats) -> Floats:
    return np.maximum(before[2:-1:2] - after[1:-2:2], after[2:-1:2] - before[1:-2:2])


def _beyond(column: ColumnProfile) -> float:
    """The area at most under what lies outside the outermost edges."""
    edges, total = column.bins.edges, column.finite
    if not len(edges):
        return float(column.high - column.low)
    below, above = max(0.0, float(edges[0]) - column.low), max(0.0, column.high - float(edges[-1]))
    return (below * float(column.slots[0]) + above * float(column.slots[-1])) / total


def _noise(before: Floats, m: int, after: Floats, n: int) -> Floats:
    """How much sampling alone widens the gap between two distribution functions on average, at most.

    E(|d + N| - |d|) for a normal N, with Mills' ratio bounded from below; of d two standard errors are given away.
    """
    spread = np.sqrt(before * (1 - before) / m + after * (1 - after) / n)
    apart = np.divide(np.abs(before - after), spread, out=np.full_like(spread, 40.0), where=spread > 0)
    apart = np.maximum(apart - 2, 0.0)
    widened: Floats = 2 * spread * np.exp(-apart * apart / 2) / math.sqrt(2 * math.pi) / (1 + apart * apart)
    return widened
