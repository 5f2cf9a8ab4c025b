"""The summary of one column: counts that merge exactly, and moments that merge to rounding."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.profiles.bins import ColumnBins
from controlplane.profiles.kinds import Floats, Ints, numbers_of, readable, tally
from controlplane.profiles.lattice import slots_on

EXAMPLES = 5
# Below this, sorting costs no more than the cells of a lattice.
_LONG = 1 << 14


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """What was counted of one column over `n` rows, in the slots of its `bins`.

    Every row is in exactly one of: `absent` (the batch had no such column, or one of another type), `nulls`, `nans`,
    `neg_inf`, `pos_inf`, `unseen` (categories the reference lacks; the first few by name are `examples`), or
    `slots`. `offset` (the mean less the bins' origin) and `m2` (sum of squared distances from the mean) are over the
    finite values, `low` and `high` their range (NaN where there is none). `wrong_length` counts vectors of another
    length than the reference's.
    """

    bins: ColumnBins
    slots: Ints
    n: int = 0
    absent: int = 0
    nulls: int = 0
    nans: int = 0
    neg_inf: int = 0
    pos_inf: int = 0
    unseen: int = 0
    wrong_length: int = 0
    offset: float = 0.0
    m2: float = 0.0
    low: float = field(default=float("nan"))
    high: float = field(default=float("nan"))
    examples: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Rows that hold no value: absent, null or NaN."""
        return self.absent + self.nulls + self.nans

    @property
    def present(self) -> int:
        """Rows that hold a value, infinite and unseen ones included."""
        return self.n - self.missing

    @property
    def infinite(self) -> int:
        """Rows that hold plus or minus infinity."""
        return self.neg_inf + self.pos_inf

    @cached_property
    def finite(self) -> int:
        """Rows that hold a finite number (0 for categories)."""
        return 0 if self.bins.kind.counted else int(self.slots.sum())

    @property
    def out_of_range(self) -> int:
        """Finite values below the reference's smallest or above its largest."""
        return 0 if self.bins.kind.counted else int(self.slots[0] + (self.slots[-1] if len(self.slots) > 1 else 0))

    @property
    def mean(self) -> float:
        """Mean of the finite values; the bins' origin where there are none."""
        return self.bins.origin + self.offset

    @property
    def std(self) -> float:
        """Standard deviation of the finite values with n in the denominator; 0 where there are none."""
        return float(np.sqrt(self.m2 / self.finite)) if self.finite else 0.0

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """The profile of both parts' rows (Chan, Golub and LeVeque 1979 for the moments)."""
        n, m = self.finite, other.finite
        delta = other.offset - self.offset
        total = n + m
        return ColumnProfile(
            self.bins,
            self.slots + other.slots,
            self.n + other.n,
            self.absent + other.absent,
            self.nulls + other.nulls,
            self.nans + other.nans,
            self.neg_inf + other.neg_inf,
            self.pos_inf + other.pos_inf,
            self.unseen + other.unseen,
            self.wrong_length + other.wrong_length,
            self.offset + delta * m / total if total else 0.0,
            self.m2 + other.m2 + delta * delta * n * m / total if total else 0.0,
            float(np.fmin(self.low, other.low)),
            float(np.fmax(self.high, other.high)),
            tuple(sorted({*self.examples, *other.examples})[:EXAMPLES]),
        )


def empty(bins: ColumnBins, absent: int = 0) -> ColumnProfile:
    """A profile of no values: of no rows, or of rows in which the column was absent."""
    return ColumnProfile(bins, np.zeros(bins.slots, np.int64), n=absent, absent=absent)


def summarise(array: pa.Array, bins: ColumnBins) -> ColumnProfile:
    """Count one array into `bins`, in one pass; a type that cannot be counted there makes every row absent."""
    if not readable(array.type, bins.kind):
        return empty(bins, absent=len(array))
    if bins.kind.counted:
        return _count_names(array, bins)
    values, lengths = numbers_of(array, bins.kind)
    wrong = int((lengths != bins.length).sum()) if lengths is not None and bins.length is not None else 0
    return _count_numbers(values, bins, len(array), len(array) - len(values), wrong)


def _count_names(array: pa.Array, bins: ColumnBins) -> ColumnProfile:
    names, counts = tally(array)
    where = pc.fill_null(pc.index_in(names, pa.array(bins.categories, pa.string())), -1).to_numpy()
    known = where >= 0
    slots = np.bincount(where[known], counts[known], bins.slots).astype(np.int64)
    strange = names.filter(pa.array(~known)).unique()
    few = strange.take(pc.select_k_unstable(strange, EXAMPLES, [("", "ascending")])) if len(strange) else strange
    nulls, unseen = len(array) - int(counts.sum()), int(counts[~known].sum())
    return ColumnProfile(bins, slots, len(array), nulls=nulls, unseen=unseen, examples=tuple(few.to_pylist()))


def _count_numbers(values: Floats, bins: ColumnBins, n: int, nulls: int, wrong_length: int) -> ColumnProfile:
    long = bool(bins.step) and len(values) >= _LONG
    low, high = (values.min(), values.max()) if long else (np.nan, np.nan)
    if np.isfinite(low) and np.isfinite(high):
        start, end, stop, finite = 0, len(values), len(values), values
        slots = slots_on(values, low, high, bins.edges, bins.step)
    else:
        # Sorted, a line tells all at once: -inf stands first, NaN last, and k edges cost k searches instead of n.
        line = np.sort(values)
        start, end, stop = (int(line.searchsorted(*place)) for place in ((-np.inf, "right"), (np.inf,), (np.nan,)))
        finite = line[start:end]
        slots = slots_of(finite, bins.edges, bins.step)
        low, high = (finite[0], finite[-1]) if len(finite) else (np.nan, np.nan)
    offset, m2 = _moments(finite, bins.origin) if len(finite) else (0.0, 0.0)
    return ColumnProfile(
        bins,
        slots,
        n,
        nulls=nulls,
        nans=len(values) - stop,
        neg_inf=start,
        pos_inf=stop - end,
        wrong_length=wrong_length,
        offset=offset,
        m2=m2,
        low=float(low) + 0.0,
        high=float(high) + 0.0,
    )


def _moments(values: Floats, origin: float) -> tuple[float, float]:
    """The mean less the origin, and the sum of squared distances from the mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = values - origin
        offset = float(np.mean(apart))
        squares = float(np.sum(np.square(apart, out=apart)))
        m2 = squares - offset * offset * len(values)
        if not m2 > squares / 2:
            # Far from the origin the difference of two large sums says little.
            m2 = float(np.sum(np.square(values - origin - offset)))
    return offset, m2


def slots_of(line: Floats, edges: Floats, step: float = 0.0) -> Ints:
    """How many values of a sorted line are in each slot: below the first edge, *at* it, between it and the next, ...

    >>> slots_of(np.array([0.5, 1.0, 1.0, 1.5, 9.0]), np.array([1.0, 2.0]))
    array([1, 2, 1, 0, 1])
    """
    ends = np.full(2 * len(edges) + 1, len(line))
    ends[:-1:2] = left = line.searchsorted(edges)
    ends[1::2] = left
    # Few edges of a long line are met exactly, and only those end elsewhere on the right.
    met = np.flatnonzero(line.take(left, mode="clip") == edges) if len(line) else np.empty(0, np.intp)
    if step:
        met = met[(met == 0) | (met == len(edges) - 1)]
    ends[2 * met + 1] = line.searchsorted(edges[met], "right")
    return np.diff(ends, prepend=0)
