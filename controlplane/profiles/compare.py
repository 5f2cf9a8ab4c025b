"""How far one column profile is from another that was counted into the same bins."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.intervals import Figure, Z, cell_noise, chi_squared_bound, difference, dkw_radius, wilson
from controlplane.profiles.kinds import Floats, Ints

GROUPS = 20
MAX_CELLS = 50


def ks(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """Kolmogorov-Smirnov: the largest gap between the two distribution functions, with its DKW interval.

    For numbers; infinities count as the ends of the line, missing values not at all. Exact where every distinct
    value of the reference is an edge; otherwise never above the exact one, and `high` takes in what bins may hide.
    """
    one, two = _line(reference), _line(current)
    before, after = _cumulated(one), _cumulated(two)
    distance = float(np.abs(before - after).max())
    # Inside a slot between edges either function may rise first: the worst case of each order is the most hidden.
    hidden = max(float((before[1:] - after[:-1])[::2].max()), float((after[1:] - before[:-1])[::2].max()))
    n, m = int(two.sum()), int(one.sum())
    radius = dkw_radius(n, m)
    return Figure(distance, max(0.0, distance - radius), min(1.0, max(distance, hidden) + radius), n)


def total_variation(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """Total variation, half the sum of |p - q|: the share of rows that would have to change, less sampling noise.

    Categories beyond the 50 most frequent of the reference count as one, unseen ones as another; numbers are first put
    into up to 20 groups of equal reference share. The estimate leaves out what sampling alone would add on average
    (see `cell_noise`), for it grows with the number of categories.
    """
    return _total_variation(*cells(reference, current))


def _total_variation(one: Ints, two: Ints) -> Figure:
    m, n = int(one.sum()), int(two.sum())
    plug_in = tv_distance(one, two)
    noise, spread = cell_noise(one / m, m, two / n, n)
    estimate = max(0.0, plug_in - noise)
    return Figure(estimate, max(0.0, estimate - Z * spread), min(1.0, plug_in + Z * spread), n)


def presence(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """Total variation of holding a value at all, for a column with too few values left to compare."""
    one, two = (np.array([column.present, column.missing], np.int64) for column in (reference, current))
    return _total_variation(one, two)


def jensen_shannon(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """Jensen-Shannon distance: the root of the divergence in bits, in [0, 1], less sampling noise.

    Over the same cells as `total_variation`. The divergence of shares of n rows from their truth is about chi-squared
    over 8 n ln 2; its mean is taken off the estimate, and since the distance is a metric (Endres and Schindelin 2003)
    its two 97.5 % points bound the interval.
    """
    one, two = cells(reference, current)
    m, n = int(one.sum()), int(two.sum())
    per_row = 1 / (8 * math.log(2))
    plug_in = js_distance(one, two)
    noise = (len(one) - 1) * per_row * (1 / m + 1 / n)
    radius = math.sqrt(chi_squared_bound(len(one)) * per_row) * (n**-0.5 + m**-0.5)
    estimate = math.sqrt(max(0.0, plug_in**2 - noise))
    return Figure(estimate, min(estimate, max(0.0, plug_in - radius)), min(1.0, plug_in + radius), n)


def psi(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Population stability index, the sum of (q - p) ln(q / p) over the cells, each with half a row added."""
    one, two = cells(reference, current)
    p, q = (one + 0.5) / (one.sum() + 0.5 * len(one)), (two + 0.5) / (two.sum() + 0.5 * len(two))
    return float(np.sum((q - p) * np.log(q / p)))


def wasserstein(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Wasserstein-1 distance in standard deviations of the reference (in the column's unit where that is 0).

    The area between the two distribution functions over the finite values; values between two edges, or between the
    outermost edge and the window's own extreme, are taken to lie evenly there.
    """
    edges = reference.bins.edges
    if not reference.finite or not current.finite:
        return math.nan
    gaps = _cumulated(reference.slots) - _cumulated(current.slots)
    area = float(np.sum(np.diff(edges) * (np.abs(gaps[1:-2:2]) + np.abs(gaps[2:-1:2])) / 2))
    below, above = max(0.0, edges[0] - current.low), max(0.0, current.high - edges[-1])
    area += (below * float(current.slots[0]) + above * float(current.slots[-1])) / 2 / current.finite
    return float(area / (reference.std or 1.0))


def missing_rate(column: ColumnProfile) -> Figure:
    """The share of rows without a value (absent, null or NaN), with Wilson's interval."""
    return wilson(column.missing, column.n)


def missing_increase(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """How much larger the share of rows without a value became, with Newcombe's interval."""
    return difference(missing_rate(current), missing_rate(reference))


def infinite_rate(column: ColumnProfile) -> Figure:
    """The share of infinite values among those present."""
    return wilson(column.infinite, column.present)


def unseen_rate(column: ColumnProfile) -> Figure:
    """The share of values in categories that the reference never had, among those present."""
    return wilson(column.unseen, column.present)


def out_of_range_rate(column: ColumnProfile) -> Figure:
    """The share of finite values outside the reference's smallest and largest."""
    return wilson(column.out_of_range, column.finite)


def cells(reference: ColumnProfile, current: ColumnProfile) -> tuple[Ints, Ints]:
    """The counts of both in the same few cells, for distances that a finer grid would drown in noise."""
    if reference.bins.kind.counted:
        order = np.argsort(-reference.slots, kind="stable")
        kept, rest = order[:MAX_CELLS], order[MAX_CELLS:]
        both = [
            [*column.slots[kept], *([column.slots[rest].sum()] if len(rest) else []), column.unseen]
            for column in (reference, current)
        ]
        one, two = np.array(both[0], np.int64), np.array(both[1], np.int64)
    else:
        line = _line(reference)
        middle = np.cumsum(line) - line / 2
        group = np.minimum(middle * GROUPS / max(int(line.sum()), 1), GROUPS - 1).astype(np.intp)
        one = np.bincount(group, line, GROUPS).astype(np.int64)
        two = np.bincount(group, _line(current), GROUPS).astype(np.int64)
    held = (one + two) > 0
    return one[held], two[held]


def tv_distance(one: npt.ArrayLike, two: npt.ArrayLike) -> float:
    """Half the sum of the absolute differences of two sets of counts, each first made to sum to 1.

    >>> tv_distance([3, 1], [1, 3])
    0.5
    """
    p, q = _shares(one), _shares(two)
    return float(np.abs(p - q).sum() / 2)


def js_distance(one: npt.ArrayLike, two: npt.ArrayLike) -> float:
    """The root of the Jensen-Shannon divergence in bits of two sets of counts, each first made to sum to 1.

    >>> js_distance([1, 0], [0, 1])
    1.0
    """
    p, q = _shares(one), _shares(two)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(side > 0, side * np.log2(side / middle), 0.0).sum() for side in (p, q)]
    return math.sqrt(max(0.0, float(sum(parts)) / 2))


def _shares(counts: npt.ArrayLike) -> Floats:
    numbers = np.asarray(counts, np.float64)
    shares: Floats = numbers / numbers.sum()
    return shares


def _line(column: ColumnProfile) -> Ints:
    return np.concatenate(([column.neg_inf], column.slots, [column.pos_inf]))


def _cumulated(counts: Ints) -> Floats:
    total = int(counts.sum())
    return np.cumsum(counts) / max(total, 1)
