"""Edges at whole multiples of a power of two: where they can stand for quantiles, counting needs no search."""

from __future__ import annotations

import math

import numpy as np

from controlplane.profiles.kinds import Floats, Ints

CELLS = 8192
# A slot that would hold more of the reference than this, an atom or the peak of a long tail, is not worth the speed.
LARGEST_SHARE = 0.004
TAIL = 0.001
_PIECE = 1 << 16
_WHOLE = 2.0**52
_WHOLE_BITS = np.float64(_WHOLE).view(np.int64)


def snapped(values: Floats, quantiles: Floats, low: float, high: float) -> tuple[Floats, float] | None:
    """Quantiles moved down to multiples of `step` between the line's ends, and `step`; None where that is too coarse.

    `values` is the sorted sample that the quantiles were taken from, `low` and `high` the ends. Multiplying by a power
    of two is exact, so that a value is told from an edge without rounding: v < e if and only if floor(v / step) <
    e / step.
    """
    first, last = values[int(TAIL * len(values))], values[int((1 - TAIL) * len(values))]
    # The logarithm keeps a width from overflowing; beyond 2 ** 52 steps from zero there is nothing between multiples.
    width = float(last / CELLS - first / CELLS)
    if not 2.0**-1000 < width < 2.0**1000 or max(abs(first), abs(last)) > width * 2.0**50:
        return None
    step = 2.0 ** math.floor(math.log2(width))
    inside = quantiles[(quantiles >= first) & (quantiles <= last)]
    points = np.unique(np.floor(inside / step)) * step + 0.0
    # A step above 1 divides the smallest of all numbers to zero, so that no edge may stand there.
    points = points[(points > low) & (points < high) & ((points != 0) | (step <= 1))]
    # The ends have slots of their own.
    inner = int(values.searchsorted(low, "right")), int(values.searchsorted(high))
    shares = np.diff(values.searchsorted(points), prepend=inner[0], append=inner[1]) / len(values)
    if len(points) < 2 or shares.max() > LARGEST_SHARE:
        return None
    return np.concatenate(([low], points, [high])), step


def slots_on(values: Floats, low: float, high: float, edges: Floats, step: float) -> Ints:
    """The slots of finite values in any order, for edges and `step` from `snapped`; as `column.slots_of` counts them.

    `low` and `high` are the smallest and the largest of the values.

    >>> slots_on(np.array([4.0, 0.5, 2.5, 1.0, 2.0]), 0.5, 4.0, np.array([0.5, 1.0, 2.0, 4.0]), 1.0)
    array([0, 1, 0, 0, 1, 0, 2, 1, 0])
    """
    first, last = int(edges[1] / step), int(edges[-2] / step)
    counts = np.zeros(last - first + 2, np.int64)
    cells = np.empty(min(len(values), _PIECE))
    with np.errstate(over="ignore"):
        for start in range(0, len(values), _PIECE):
            piece = values[start : start + _PIECE]
            cell = np.multiply(piece, 1 / step, out=cells[: len(piece)])
            np.floor(cell, out=cell)
            np.clip(cell, first - 1, last, out=cell)
            # The bits of 2 ** 52 + k are those of 2 ** 52, plus k: numpy has no quicker way to whole numbers.
            cell += _WHOLE - (first - 1)
            whole = cell.view(np.int64)
            whole -= _WHOLE_BITS
            counts += np.bincount(whole, minlength=len(counts))
    ends = np.empty(2 * len(edges) + 1, np.int64)
    below = np.cumsum(counts)[(edges[1:-1] / step).astype(np.int64) - first]
    ends[2:-3:2] = ends[3:-3:2] = below
    # Few windows reach past an end of the reference: where none does, nothing is compared.
    ends[0] = np.count_nonzero(values < edges[0]) if low < edges[0] else 0
    ends[1] = np.count_nonzero(values <= edges[0]) if low <= edges[0] else 0
    ends[-3] = np.count_nonzero(values < edges[-1]) if high >= edges[-1] else len(values)
    ends[-2] = np.count_nonzero(values <= edges[-1]) if high > edges[-1] else len(values)
    ends[-1] = len(values)
    return np.diff(ends, prepend=0)
