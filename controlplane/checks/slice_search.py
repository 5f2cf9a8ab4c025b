"""Weak slices: found among all ranges of one and two columns on one part of the rows, confirmed on the other.

Searching makes the best of thousands of slices look weak by luck alone. So what is found on the explored rows is only a
candidate, a handful are carried over, and each is tested on rows that had no say in finding it (Holm 1979 over the
handful): whatever the search does, at most 5 % of windows without a weak slice report any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from controlplane.checks.moments import Moments, moments_of
from controlplane.checks.slice_cuts import Cut, cut_of

ALPHA = 0.05
LEAST_ROWS = 30
MOST_CARRIED = 5
# Noise reaches four standard errors somewhere among a hundred thousand slices; what matters lies well above.
LEAST_SIGMAS = 4.0
# A slice of 2 % has thousands of rows among these, and a search in them costs less than reading the others.
MOST_EXPLORED = 1 << 17
_FINE, _COARSE = 64, 16
# Twice the logarithm of a likelihood ratio that tells two ends of a range apart no better than a coin does.
_AS_WELL = 2.0
_VALUES, _PAIRED_VALUES = 50, 12


@dataclass(frozen=True, slots=True)
class Condition:
    """A column whose code lies between two, both included."""

    cut: Cut
    low: int
    high: int

    def __str__(self) -> str:
        return self.cut.name(self.low, self.high)

    def holds(self, codes: np.ndarray) -> np.ndarray:
        """Which rows it holds for, shape (n,)."""
        return np.asarray((codes >= self.low) & (codes <= self.high))


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows for which one or two conditions hold."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(str(condition) for condition in self.conditions)

    def of(self, rows: pa.Table) -> np.ndarray:
        """Which rows lie in it, shape (n,); raises CheckError where a column came with another type."""
        held = [one.holds(one.cut.codes(rows[one.cut.column])) for one in self.conditions]
        return np.asarray(np.logical_and.reduce(held))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A weak slice: its losses and those of the rest, both on rows that had no say in finding it.

    `partly` says that rows of stronger candidates were left out of it.
    """

    slice: Slice
    inside: Moments
    rest: Moments
    partly: bool


def search(
    features: pa.Table, losses: np.ndarray, explored: np.ndarray, min_support: float, min_gap: float
) -> list[Confirmed]:
    """The slices whose mean loss is for sure above that of the rest, and by `min_gap` as measured; the surest first.

    `explored` marks the rows that slices are found on, shape (n,); the others confirm. A slice has at least
    `min_support` of the rows and 30, on either side, and at most half of them. One that another explains is left
    out: once a slice is found its rows are set aside, and the next must be weak without them.
    """
    share = bool(np.all((losses == 0) | (losses == 1)))
    unseen = ~explored
    earlier = np.zeros(len(losses), bool)
    tested = []
    for found in _Explorer(features.filter(pa.array(explored)), losses[explored], min_support).candidates(min_gap):
        members = found.of(features)
        own, rest = members & ~earlier & unseen, ~members & ~earlier & unseen
        partly = bool((members & earlier & unseen).any())
        if min(np.count_nonzero(own), np.count_nonzero(rest)) >= LEAST_ROWS:
            inside, outside = moments_of(losses[own], share), moments_of(losses[rest], share)
            tested.append(Confirmed(found, inside, outside, partly))
        earlier |= members
    chances = [_chance(one.inside, one.rest) for one in tested]
    order = sorted(range(len(tested)), key=lambda place: chances[place])
    confirmed = []
    for rank, place in enumerate(order):
        if chances[place] * (len(order) - rank) > ALPHA:
            break
        confirmed.append(tested[place])
    return [one for one in confirmed if one.inside.mean - one.rest.mean >= min_gap]


def _chance(inside: Moments, rest: Moments) -> float:
    """The one-sided p-value of a slice that is no weaker than the rest (Welch)."""
    from scipy.special import stdtr

    gap, error = inside.mean - rest.mean, inside.error(rest)
    if error == 0.0:
        return 0.0 if gap > 0 else 1.0
    return float(stdtr(inside.freedom(rest), -gap / error))


@dataclass(frozen=True, slots=True)
class _Axis:
    """A column of the explored rows: its codes, coarse ones made of them, and the ranges of each that are slices."""

    cut: Cut
    codes: np.ndarray
    ranges: tuple[np.ndarray, np.ndarray]
    firsts: np.ndarray
    coarse: np.ndarray
    coarse_ranges: tuple[np.ndarray, np.ndarray]

    @property
    def coarse_size(self) -> int:
        return len(self.firsts) - 1


class _Explorer:
    """Sums of losses by code of every column and pair of columns, kept up to date as slices are set aside."""

    def __init__(self, features: pa.Table, losses: np.ndarray, min_support: float) -> None:
        self.losses = losses
        self.alive = np.ones(len(losses), bool)
        self.least = max(LEAST_ROWS, math.ceil(min_support * len(losses)))
        axes = (self._axis(name, features[name]) for name in features.column_names)
        self.axes = [axis for axis in axes if axis is not None]
        self.pairs = list(combinations(self.axes, 2))
        self.tables: list[np.ndarray] = []

    def candidates(self, min_gap: float) -> Iterator[Slice]:
        """The strongest slice, then the strongest of the rows that are left, and so on, at most five."""
        if len(self.losses) < 2 * self.least:
            return
        self.tables = [self._pair(one, two, self.alive) for one, two in self.pairs]
        for _ in range(MOST_CARRIED):
            found = self._strongest(min_gap)
            if found is None:
                return
            members = np.logical_and.reduce([one.holds(self._axis_of(one).codes) for one in found.conditions])
            gone = self.alive & members
            # What is left over at the edge of a slice already found is no other one.
            if 2 * np.count_nonzero(gone) > np.count_nonzero(members):
                yield found
            self.alive &= ~gone
            for table, (one, two) in zip(self.tables, self.pairs, strict=True):
                table -= self._pair(one, two, gone)

    def _strongest(self, min_gap: float) -> Slice | None:
        rows, total = int(self.alive.sum()), float(self.losses[self.alive].sum())
        spread = float(self.losses[self.alive].std()) if rows else 0.0
        if rows < 2 * self.least or spread == 0.0:
            return None
        judged = _Judge(rows, total, spread, self.least, min_gap)
        single: tuple[float, Slice | None] = 0.0, None
        for axis in self.axes:
            low, high = axis.ranges
            strengths, _ = self._along(judged, axis, self.alive)
            best = int(np.argmax(strengths)) if len(low) else -1
            if best >= 0 and strengths[best] > single[0]:
                single = float(strengths[best]), Slice((Condition(axis.cut, int(low[best]), int(high[best])),))
        double = self._strongest_pair(judged)
        # A second column must explain more than the luckiest of as many ranges would, or it only carves up the first.
        lead = 2 * math.log(sum(len(axis.ranges[0]) for axis in self.axes))
        strength, found = double if double[0] ** 2 > single[0] ** 2 + lead else single
        return self._widened(judged, found) if found is not None and strength >= LEAST_SIGMAS else None

    def _strongest_pair(self, judged: _Judge) -> tuple[float, Slice | None]:
        best, place = 0.0, None
        for (one, two), table in zip(self.pairs, self.tables, strict=True):
            (low, high), (low_two, high_two) = one.coarse_ranges, two.coarse_ranges
            if not len(low) or not len(low_two):
                continue
            sums = np.pad(table.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
            rows = sums[:, high + 1] - sums[:, low]
            strengths = judged.strengths(rows[:, :, high_two + 1] - rows[:, :, low_two])
            top = int(np.argmax(strengths))
            if strengths.flat[top] > best:
                first, second = divmod(top, len(low_two))
                best = float(strengths.flat[top])
                place = (
                    Condition(one.cut, int(one.firsts[low[first]]), int(one.firsts[high[first] + 1]) - 1),
                    Condition(two.cut, int(two.firsts[low_two[second]]), int(two.firsts[high_two[second] + 1]) - 1),
                    one,
                    two,
                )
        if place is None:
            return 0.0, None
        return self._refined(judged, *place, best)

    def _refined(
        self, judged: _Judge, first: Condition, second: Condition, one: _Axis, two: _Axis, best: float
    ) -> tuple[float, Slice]:
        """The ends of a pair's ranges moved in fine steps, one column at a time, for as long as that helps."""
        for _ in range(4):
            before = best
            first, best = self._moved(judged, one, second.holds(two.codes), first, best)
            second, best = self._moved(judged, two, first.holds(one.codes), second, best)
            if best == before:
                break
        return best, Slice((first, second))

    def _moved(
        self, judged: _Judge, axis: _Axis, within: np.ndarray, now: Condition, best: float
    ) -> tuple[Condition, float]:
        low, high = axis.ranges
        strengths, _ = self._along(judged, axis, self.alive & within)
        top = int(np.argmax(strengths))
        if strengths[top] <= best:
            return now, best
        return Condition(axis.cut, int(low[top]), int(high[top])), float(strengths[top])

    def _widened(self, judged: _Judge, found: Slice) -> Slice:
        """The largest slice around a found one that explains the losses as well, to within what chance makes of it."""
        conditions = list(found.conditions)
        for place, now in enumerate(conditions):
            axis, within = self._axis_of(now), self.alive
            for other in conditions[:place] + conditions[place + 1 :]:
                within = within & other.holds(self._axis_of(other).codes)
            (low, high), (strengths, counts) = axis.ranges, self._along(judged, axis, within)
            around = (low <= now.low) & (high >= now.high)
            least = float(strengths[around].max()) ** 2 - _AS_WELL
            top = int(np.argmax(np.where(around & (strengths**2 >= least), counts, -1.0)))
            conditions[place] = Condition(axis.cut, int(low[top]), int(high[top]))
        return Slice(tuple(conditions))

    def _along(self, judged: _Judge, axis: _Axis, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The strength and the rows of each of the axis's ranges, among these rows."""
        low, high = axis.ranges
        sums = _cumulated(self._one(axis, rows))
        ranges = sums[:, high + 1] - sums[:, low]
        return judged.strengths(ranges), ranges[0]

    def _axis(self, name: str, column: pa.ChunkedArray) -> _Axis | None:
        cut = cut_of(name, column, _FINE, _VALUES, self.least)
        if cut is None:
            return None
        codes = cut.codes(column)
        if cut.edges is None:
            # The rarer of many values go to the code of all others when two columns are crossed.
            kept = min(len(cut.values), _PAIRED_VALUES)
            firsts = np.array([*range(kept), kept, cut.missing, cut.size])
            single = np.arange(len(cut.values))
            ranges = np.append(single, cut.missing), np.append(single, cut.missing)
            few = np.append(np.arange(kept), kept + 1)
            coarse_ranges = few, few
        else:
            slots = len(cut.edges) + 1
            # Groups of about as many rows each: fine codes are, but for numbers that many rows bear.
            shares = np.cumsum(np.bincount(codes, minlength=cut.size)[:slots])
            groups = np.minimum((shares - 1) * _COARSE // max(int(shares[-1]), 1), _COARSE - 1)
            firsts = np.append(np.flatnonzero(np.diff(groups, prepend=-1)), [slots, slots + 1])
            ranges, coarse_ranges = _ranges(slots), _ranges(len(firsts) - 2)
        coarse = np.searchsorted(firsts, np.arange(cut.size), side="right") - 1
        return _Axis(cut, codes, ranges, firsts, coarse[codes], coarse_ranges)

    def _axis_of(self, condition: Condition) -> _Axis:
        return next(axis for axis in self.axes if axis.cut is condition.cut)

    def _one(self, axis: _Axis, rows: np.ndarray) -> np.ndarray:
        codes = axis.codes[rows]
        counts = np.bincount(codes, minlength=axis.cut.size)
        return np.stack((counts, np.bincount(codes, self.losses[rows], axis.cut.size)))

    def _pair(self, one: _Axis, two: _Axis, rows: np.ndarray) -> np.ndarray:
        """How many rows, and the sum of their losses, by coarse code of either column; shape (2, k, l)."""
        size = one.coarse_size, two.coarse_size
        codes = one.coarse[rows] * size[1] + two.coarse[rows]
        counts = np.bincount(codes, minlength=size[0] * size[1]).astype(np.float64)
        sums = np.bincount(codes, self.losses[rows], size[0] * size[1])
        return np.stack((counts, sums)).reshape(2, *size)


@dataclass(frozen=True, slots=True)
class _Judge:
    """What makes a slice weak among so many rows, with such a total of losses and such a spread."""

    rows: int
    total: float
    spread: float
    least: int
    min_gap: float

    def strengths(self, sums: np.ndarray) -> np.ndarray:
        """Gap over standard error of slices with these counts and sums of losses, shape (2, ...); 0 for what is no
        slice: too small, more than half of the rows, or no weaker than matters."""
        counts, losses = sums
        apart = losses - self.total / self.rows * counts
        both = counts * (1 - counts / self.rows)
        fits = (counts >= self.least) & (counts <= self.rows / 2)
        fits &= apart >= self.min_gap * both
        return np.where(fits, apart / np.sqrt(np.maximum(both, 0.5)) / self.spread, 0.0)


def _cumulated(sums: np.ndarray) -> np.ndarray:
    return np.pad(sums.cumsum(-1), ((0, 0), (1, 0)))


def _ranges(slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Every range of the codes below `slots` but the whole; and, alone, the code after them."""
    low, high = np.triu_indices(slots)
    part = (low > 0) | (high < slots - 1)
    return np.append(low[part], slots), np.append(high[part], slots)


def explored_rows(hashes: np.ndarray) -> np.ndarray:
    """Which rows slices are found on, shape (n,), by uniform 64-bit hashes: half of them, and of very many fewer."""
    if not len(hashes):
        return np.zeros(0, bool)
    share = min(0.5, MOST_EXPLORED / len(hashes))
    return np.asarray(hashes < np.uint64(int(share * 2**64)))
