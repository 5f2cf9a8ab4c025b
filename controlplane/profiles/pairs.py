"""One column before and after, counted so that every statistic can be taken: exactly from memory, or from bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from controlplane.profiles.bins import ColumnBins, fit_bins
from controlplane.profiles.column import ColumnProfile, empty, summarise
from controlplane.profiles.compare import cells
from controlplane.profiles.kinds import Floats, Ints, Kind, kind_of, numbers_of, readable, tally


@dataclass(frozen=True, eq=False)
class Pair:
    """A column's two profiles in the same bins, and the counts of both in the same few cells.

    `cells` are what distances of shares are taken over: each category on its own, numbers in groups.
    """

    before: ColumnProfile
    after: ColumnProfile
    cells: tuple[Ints, Ints]


def binned_pair(before: ColumnProfile, after: ColumnProfile) -> Pair:
    """Of two profiles: numbers in 20 groups of equal reference share, unseen categories together as one."""
    if not before.bins.kind.counted:
        return Pair(before, after, cells(before, after))
    one, two = (np.append(column.slots, column.unseen) for column in (before, after))
    held = (one + two) > 0
    return Pair(before, after, (one[held], two[held]))


def exact_pair(name: str, before: Sequence[pa.Array], after: Sequence[pa.Array]) -> Pair | None:
    """Of values in memory, given as the arrays of their chunks; None of a type that cannot be summarised.

    Every distinct number of either side is an edge, and every category of either side a cell, so that no statistic
    hides anything. The cells of numbers are Evidently's: one for each value where the reference has at most 20,
    otherwise of equal width, as many as Sturges' rule (1926) says for all values of both sides together.
    """
    bins = _bins(name, before, after)
    if bins is None:
        return None
    if bins.kind.counted:
        return _counted(bins, before, after)
    one, two = _numbers(before, bins.kind), _numbers(after, bins.kind)
    finite = np.concatenate((one[np.isfinite(one)], two[np.isfinite(two)]))
    line = replace(bins, kind=Kind.NUMERIC, edges=np.unique(finite) + 0.0, step=0.0)
    sides = []
    for values, arrays in ((one, before), (two, after)):
        counted = summarise(pa.array(values), line)
        rows, absent = sum(map(len, arrays)), _absent(bins.kind, arrays)
        nulls = rows - absent - len(values)
        wrong = sum(_wrong_length(array, bins) for array in arrays)
        sides.append(
            replace(
                counted,
                bins=replace(line, kind=bins.kind),
                n=rows,
                nulls=nulls,
                absent=absent,
                wrong_length=wrong,
            )
        )
    whole = all(pa.types.is_integer(array.type) and not array.null_count for array in (*before, *after))
    return Pair(sides[0], sides[1], _histograms(sides[0], sides[1], whole))


def _bins(name: str, before: Sequence[pa.Array], after: Sequence[pa.Array]) -> ColumnBins | None:
    # A reference of nulls alone has no type of its own; its column is what the other side makes of it.
    held = [array for array in before if not pa.types.is_null(array.type)] or list(after) or list(before)
    kind = kind_of(held[0].type) if held else None
    if kind is None:
        return None
    if kind in (Kind.NUMERIC, Kind.DATETIME):
        return ColumnBins(name, kind, str(held[0].type))
    own = held if any(array is held[0] for array in before) else [array.slice(0, 0) for array in held]
    return fit_bins(lambda: (pa.record_batch([array], [name]) for array in own)).columns[0]


def _numbers(arrays: Sequence[pa.Array], kind: Kind) -> Floats:
    parts = [numbers_of(array, kind)[0] for array in arrays if readable(array.type, kind)]
    return np.concatenate([np.empty(0), *parts])


def _absent(kind: Kind, arrays: Sequence[pa.Array]) -> int:
    return sum(len(array) for array in arrays if not readable(array.type, kind))


def _wrong_length(array: pa.Array, bins: ColumnBins) -> int:
    if bins.kind is not Kind.VECTOR or bins.length is None or not readable(array.type, bins.kind):
        return 0
    lengths = numbers_of(array, bins.kind)[1]
    return 0 if lengths is None else int((lengths != bins.length).sum())


def _counted(bins: ColumnBins, before: Sequence[pa.Array], after: Sequence[pa.Array]) -> Pair:
    sides, names = [], []
    for arrays in (before, after):
        counted: dict[str, int] = {}
        profile = empty(bins)
        for array in arrays:
            profile = profile.merge(summarise(array, bins))
            if readable(array.type, bins.kind):
                values, counts = tally(array)
                for value, count in zip(values.to_pylist(), counts.tolist(), strict=True):
                    counted[value] = counted.get(value, 0) + count
        sides.append(profile)
        names.append(counted)
    union = sorted({*names[0], *names[1]})
    one, two = (np.array([counted.get(value, 0) for value in union], np.int64) for counted in names)
    return Pair(sides[0], sides[1], (one, two))


def _histograms(before: ColumnProfile, after: ColumnProfile, whole: bool) -> tuple[Ints, Ints]:
    values = before.bins.edges
    one, two = before.slots[1::2], after.slots[1::2]
    if np.count_nonzero(one) <= 20:
        return one, two
    low, high = float(values[0]), float(values[-1])
    if not np.isfinite(high - low):
        return cells(before, after)
    width = (high - low) / (np.log2(one.sum() + two.sum()) + 1)
    count = int(np.ceil((high - low) / (max(width, 1.0) if whole else width)))
    bounds = np.linspace(low, high, count + 1)
    places = np.append(np.searchsorted(values, bounds[:-1]), len(values))
    sides = (np.diff(np.concatenate(([0], np.cumsum(side)))[places]) for side in (one, two))
    first, second = sides
    return first, second
