"""How far one column profile is from another that was counted into the same bins."""

from __future__ import annotations

import math

import numpy as np

from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.distances import js_distance, tv_distance
from controlplane.profiles.intervals import Figure, Z, cell_noise, chi_squared_bound, difference, dkw_radius, wilson
from controlplane.profiles.kinds import Floats, Ints

GROUPS = 20
MAX_CELLS = 50


def ks(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """Kolmogorov-Smirnov: the largest gap between the two distribution functions, with its DKW interval.

    For numbers; infinities count as the ends of the line, missing values not at all. Exact where every distinct
    value of the reference is an edge; otherwise never above the exact one, and `high` takes in what bins may hide.
    """
    one, two = on_line(reference), on_line(current)
    before, after = cumulated(one), cumulated(two)
    distance = float(np.abs(before - after).max())
    # Inside a slot between edges either function may rise first: the worst case of each order is the most hidden.
    hidden = max(float((before[1:] - after[:-1])[::2].max()), float((after[1:] - before[:-1])[::2].max()))
    n, m = int(two.sum()), int(one.sum())
    radius, most = dkw_radius(n, m), max(distance, hidden)
    return Figure(distance, max(0.0, distance - radius), min(1.0, most + radius), n, most - distance)


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


def missing_rate(column: ColumnProfile) -> Figure:
    """The share of rows without a value (absent, null or NaN), with Wilson's interval."""
    return wilson(column.missing, column.n)


def missing_increase(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """How much larger the share of rows without a value became, with Newcombe's interval."""
    return difference(missing_rate(current), missing_rate(reference))


def unseen_increase(reference: ColumnProfile, current: ColumnProfile) -> Figure:
    """How much larger the share of values in categories that the reference never had became, with Newcombe's interval.

    The reference has none of them, and the interval grants that it might have had some by chance.
    """
    return difference(unseen_rate(current), unseen_rate(reference))


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
        line = on_line(reference)
        middle = np.cumsum(line) - line / 2
        group = np.minimum(middle * GROUPS / max(int(line.sum()), 1), GROUPS - 1).astype(np.intp)
        one = np.bincount(group, line, GROUPS).astype(np.int64)
        two = np.bincount(group, on_line(current), GROUPS).astype(np.int64)
    held = (one + two) > 0
    return one[held], two[held]


def on_line(column: ColumnProfile) -> Ints:
    """How many values are in each slot of the line, from minus infinity to plus infinity."""
    return np.concatenate(([column.neg_inf], column.slots, [column.pos_inf]))


def cumulated(counts: Ints) -> Floats:
    """The distribution function at the upper end of each slot; 0 all along where nothing was counted."""
    total = int(counts.sum())
    return np.cumsum(counts) / max(total, 1)
