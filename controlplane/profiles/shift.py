"""What changed in a column, in one line that a tired person understands."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.compare import cumulated
from controlplane.profiles.kinds import Kind
from controlplane.profiles.words import duration, moment, numbers, percents, quoted

_WHAT = {Kind.TEXT: "length", Kind.VECTOR: "vector mean"}
# A second change is named too once it takes this share of the rows.
_WORTH_SAYING = 0.05
_ENOUGH = 0.7
_ALL_BUT = 0.9
_COMMON = 0.2
_FEW = 0.05
_WIDE = 0.1
# Kolmogorov: the 95 % point of the distance of two samples of one distribution, times the root of their size.
_NOISE = 1.36


def describe_shift(before: ColumnProfile, after: ColumnProfile) -> str:
    """The change that explains most of how `after` differs from `before`, with where it came from and went to.

    Every candidate (missing, infinite or unseen values, a category's share, location, spread, shape) is weighed by
    the share of rows that it moved; location and spread by the share that a normal column would have moved with them.
    Both profiles must be counted into the same bins. It measures and has no opinion: a small change is told as well.

    >>> import pyarrow as pa
    >>> from controlplane.profiles import ProfileBuilder, fit_bins
    >>> one, two = (pa.record_batch({"x": [float(i + by) for i in range(100)]}) for by in (0, 30))
    >>> bins = fit_bins(lambda: iter([one]))
    >>> describe_shift(*(ProfileBuilder(bins).add(batch).build()["x"] for batch in (one, two)))
    'mean 49.5 -> 79.5 (+1 sd)'
    """
    if not before.n or not after.n:
        return "no rows" if not after.n else "no rows before"
    if after.absent == after.n:
        return "column gone or of another type"
    if not after.present:
        return "all rows missing" + (f", before {_share(before.missing / before.n)}" if before.present else "")
    if not before.present:
        return f"values in {percents(after.present / after.n)[0]} of rows, before none"
    found = sorted(_candidates(before, after), key=lambda candidate: -candidate[0])
    said = [sentence for share, sentence in found[:1] if share > 0]
    least = _WORTH_SAYING + _NOISE * math.sqrt(1 / before.present + 1 / after.present)
    said += [sentence for share, sentence in found[1:] if share >= least]
    return "; ".join(said[:2]) or _unchanged(before)


def _candidates(before: ColumnProfile, after: ColumnProfile) -> Iterator[tuple[float, str]]:
    """What may have changed, each with the share of rows that it concerns."""
    was, is_ = before.missing / before.n, after.missing / after.n
    yield abs(is_ - was), f"{_share(is_, was)} missing, before {_share(was, is_)}"
    if before.bins.kind.counted:
        yield from _categories(before, after)
        return
    was, is_ = before.infinite / before.present, after.infinite / after.present
    yield abs(is_ - was), f"{_share(is_, was)} infinite, before {_share(was, is_)}"
    was, is_ = before.wrong_length / before.present, after.wrong_length / after.present
    yield abs(is_ - was), f"vectors of another length than {before.bins.length} in {percents(is_)[0]} of rows"
    if before.finite and after.finite:
        yield _values(before, after)


def _unchanged(column: ColumnProfile) -> str:
    if column.finite and column.low == column.high:
        return f"no change, always {_value(column, column.low)}"
    return "no change"


def _categories(before: ColumnProfile, after: ColumnProfile) -> Iterator[tuple[float, str]]:
    names = before.bins.categories
    was, is_ = (column.slots / column.present for column in (before, after))
    if len(names):
        # Of two that mirror each other, the one that grew; of a flag, how often it is set.
        apart = np.abs(is_ - was) + 1e-9 * (is_ > was)
        largest = names.index("true") if before.bins.kind is Kind.BOOLEAN else int(np.argmax(apart))
        old, new = percents(float(was[largest]), float(is_[largest]))
        name = names[largest] if before.bins.kind is Kind.BOOLEAN else quoted(names[largest])
        yield abs(float(is_[largest] - was[largest])), f"share of {name} {old} -> {new}"
    unseen = after.unseen / after.present
    examples = ", ".join(quoted(name) for name in after.examples[:3]) + (", ..." if len(after.examples) > 3 else "")
    # What is new explains a category's loss at least as well as the loss itself.
    yield unseen * 1.001, f"unseen values ({examples}) in {percents(unseen)[0]} of rows"


def _values(before: ColumnProfile, after: ColumnProfile) -> tuple[float, str]:
    """How the finite values moved: the share of rows that did, and the simplest words that account for it."""
    gaps = cumulated(after.slots) - cumulated(before.slots)
    place = int(np.argmax(np.abs(gaps)))
    gap, what = abs(float(gaps[place])), _what(before)
    if before.low == before.high != after.low == after.high:
        old, new = _values_of(before, before.low, after.low)
        return gap, f"{what}always {old}, now always {new}"
    if before.low == before.high:
        return gap, f"{what}always {_value(before, before.low)}, now {_ends(after)}"
    if after.low == after.high:
        return gap, f"{what}always {_value(before, after.low)}, before {_ends(before)}"
    noise = _NOISE * math.sqrt(1 / before.finite + 1 / after.finite)
    location, spread = _normal_gaps(before, after)
    reach = 2 * gap + 0.02
    # Moments that moved far more than the rows did: a few values far out, or far out no longer.
    moved_ends = (before.low, before.high) != (after.low, after.high)
    if max(location, spread) > reach and gap < _FEW + noise and moved_ends:
        return gap, f"{what}{_ends(after)}, before {_ends(before)}"
    if before.bins.kind is Kind.NUMERIC and len(before.bins.edges) == 2 and not after.slots[::2].any():
        return gap, _atom(before, after, 1)
    # A common value that came or went says more than the moments it drags along.
    atoms = np.abs(after.slots / after.finite - before.slots / before.finite)[1::2]
    if before.bins.kind is Kind.NUMERIC and gap > noise and atoms.max() >= max(_COMMON, _ALL_BUT * gap):
        return gap, _atom(before, after, int(np.argmax(atoms)))
    location, spread = (share if share <= reach else 0.0 for share in (location, spread))
    if gap > noise and spread > location and spread >= _ENOUGH * gap:
        return gap, _spread(before, after)
    if location >= _ENOUGH * gap or (gap <= noise and location):
        return gap, _location(before, after)
    return gap, _shape(before, after, place, gap)


def _normal_gaps(before: ColumnProfile, after: ColumnProfile) -> tuple[float, float]:
    """Kolmogorov-Smirnov distances that the change of the mean, and of the spread, would make of a normal column."""
    if not all(map(math.isfinite, (before.mean, after.mean, before.std, after.std))) or not before.std:
        return math.inf, math.inf
    location = math.erf(abs(after.mean - before.mean) / before.std / 2 / math.sqrt(2))
    ratio = min(max(after.std / before.std, 1e-9), 1e9)
    if abs(ratio - 1) < 1e-6:
        return location, 0.0
    at = math.sqrt(2 * math.log(ratio) / (1 - ratio**-2))
    return location, abs(math.erf(at / math.sqrt(2)) - math.erf(at / ratio / math.sqrt(2))) / 2


def _location(before: ColumnProfile, after: ColumnProfile) -> str:
    old, new = _values_of(before, before.mean, after.mean)
    apart = after.mean - before.mean
    if before.bins.kind is Kind.DATETIME:
        return f"mean {old} -> {new} ({duration(apart)})"
    what = {Kind.TEXT: "mean length", Kind.VECTOR: "mean of the vectors"}.get(before.bins.kind, "mean")
    return f"{what} {old} -> {new} ({apart / before.std:+.2g} sd)"


def _spread(before: ColumnProfile, after: ColumnProfile) -> str:
    what = "spread" + (f" of the {_WHAT[before.bins.kind]}" if before.bins.kind in _WHAT else "")
    if before.bins.kind is Kind.DATETIME:
        old, new = duration(before.std)[1:], duration(after.std)[1:]
    else:
        old, new = numbers(before.std, after.std)
    return f"{what} {old} -> {new} (x{after.std / before.std:.2g})"


def _shape(before: ColumnProfile, after: ColumnProfile, place: int, gap: float) -> str:
    """What moved when neither the mean nor the spread accounts for the gap, which is widest at the end of slot `place`.

    Values beyond all earlier ones, else one value whose own share makes up the gap, else the median, else the share on
    one side of the widest gap.
    """
    what = _what(before)
    edges = before.bins.edges
    was, is_ = before.slots / before.finite, after.slots / after.finite
    if place == 0 or (place == len(was) - 2 and was[-1] == 0):
        share, word, least = (is_[0], "below", "smallest") if place == 0 else (is_[-1], "above", "largest")
        bound = _value(before, float(edges[-1] if place else edges[0]))
        return f"{what}{word} {bound}, the {least} before, in {percents(float(share))[0]} of rows"
    atoms = np.abs(is_ - was)[1::2]
    most = int(np.argmax(atoms))
    if atoms[most] >= _ENOUGH * gap:
        return _atom(before, after, most)
    medians = _median(before), _median(after)
    # Where hardly any value lies, a few rows move the median far.
    if gap >= _WIDE and abs(medians[1] - medians[0]) >= 0.2 * before.std:
        old, new = _values_of(before, *medians)
        return f"median {what}{old} -> {new}"
    # Slot 2i + 1 is *at* edge i; an even one ends just below the edge after it.
    old, new = percents(float(was[: place + 1].sum()), float(is_[: place + 1].sum()))
    return f"share {'up to' if place % 2 else 'below'} {what}{_value(before, float(edges[place // 2]))} {old} -> {new}"


def _atom(before: ColumnProfile, after: ColumnProfile, edge: int) -> str:
    slot = 2 * edge + 1
    old, new = percents(*(float(column.slots[slot] / column.finite) for column in (before, after)))
    return f"share of {_what(before)}{_value(before, float(before.bins.edges[edge]))} {old} -> {new}"


def _median(column: ColumnProfile) -> float:
    edges = column.bins.edges
    place = int(np.searchsorted(np.cumsum(column.slots), column.finite / 2))
    if place % 2:
        return float(edges[place // 2])
    low = column.low if place == 0 else float(edges[place // 2 - 1])
    return (low + (column.high if place == 2 * len(edges) else float(edges[place // 2]))) / 2


def _ends(column: ColumnProfile) -> str:
    return " to ".join(_values_of(column, column.low, column.high))


def _what(column: ColumnProfile) -> str:
    """What the numbers are, where they are not the column's own values."""
    return f"{_WHAT[column.bins.kind]} " if column.bins.kind in _WHAT else ""


def _share(share: float, *others: float) -> str:
    return percents(share, *others)[0] if share else "none"


def _value(column: ColumnProfile, value: float) -> str:
    return moment(value) if column.bins.kind is Kind.DATETIME else numbers(value)[0]


def _values_of(column: ColumnProfile, *values: float) -> tuple[str, ...]:
    return tuple(map(moment, values)) if column.bins.kind is Kind.DATETIME else numbers(*values)
