"""Statistics of many windows against one reference at once, as the peers define them.

Each follows its peer's own definition, quirks included, and `verify.py` holds them to the peers' own answers; they are
written for whole arrays of windows because the peers' own functions take milliseconds a column and window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, gammaln, kolmogorov, rel_entr
from streams import Floats

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True)
class Windows:
    """One column's present values in several windows: sorted within each, one after the other."""

    values: Floats
    sizes: Ints
    nulls: Ints

    @property
    def owner(self) -> Ints:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def starts(self) -> Ints:
        return np.cumsum(self.sizes) - self.sizes

    @property
    def rank(self) -> Ints:
        """Of each value, how many of its window come before it."""
        return np.arange(len(self.values)) - np.repeat(self.starts, self.sizes)


def windows(columns: list[Floats]) -> Windows:
    """Gather a column of several windows; raises ValueError where a window holds no value at all."""
    everything = np.concatenate(columns)
    owner = np.repeat(np.arange(len(columns)), [len(column) for column in columns])
    present = ~np.isnan(everything)
    sizes = np.bincount(owner[present], minlength=len(columns))
    if not sizes.all():
        raise ValueError("a window without any value has no distance")
    order = np.lexsort((everything[present], owner[present]))
    return Windows(everything[present][order], sizes, np.bincount(owner[~present], minlength=len(columns)))


class Exact:
    """Empirical distances to all of the reference's values."""

    def __init__(self, reference: Floats) -> None:
        self._sorted = np.sort(reference)
        self._sums = np.append(0.0, np.cumsum(self._sorted))

    def ks(self, found: Windows) -> Floats:
        """The two-sample Kolmogorov-Smirnov statistic."""
        n, size, values = len(self._sorted), np.repeat(found.sizes, found.sizes), found.values
        new = np.append(True, (values[1:] != values[:-1]) | (found.owner[1:] != found.owner[:-1]))
        below = np.searchsorted(self._sorted, values, "left") / n - found.rank / size
        upto = (found.rank + 1) / size - np.searchsorted(self._sorted, values, "right") / n
        gaps = np.maximum(np.where(new, np.abs(below), 0), np.where(np.append(new[1:], True), np.abs(upto), 0))
        return np.maximum.reduceat(gaps, found.starts)

    def wasserstein(self, found: Windows) -> Floats:
        """The area between the two quantile functions."""
        n, size, values = len(self._sorted), np.repeat(found.sizes, found.sizes), found.values
        low, high = found.rank / size, (found.rank + 1) / size
        cross = np.clip(np.searchsorted(self._sorted, values) / n, low, high)
        before = values * (cross - low) - self._integral(cross) + self._integral(low)
        after = self._integral(high) - self._integral(cross) - values * (high - cross)
        return np.add.reduceat(before + after, found.starts)

    def _integral(self, share: Floats) -> Floats:
        at = share * len(self._sorted)
        whole = np.minimum(at.astype(np.int64), len(self._sorted) - 1)
        return (self._sums[whole] + (at - whole) * self._sorted[whole]) / len(self._sorted)


class Binned:
    """NannyML's distances for references of 10,000 rows and more: on 10,000 bins of equal width."""

    def __init__(self, reference: Floats, bins: int = 10_000) -> None:
        counts, self._edges = np.histogram(reference, bins=bins)
        self._cdf = np.cumsum(counts / len(reference))
        self._sums = np.append(0.0, np.cumsum(self._cdf))

    def both(self, found: Windows) -> tuple[Floats, Floats]:
        """Kolmogorov-Smirnov and Wasserstein.

        Where a window has values below the reference's least, NannyML adds one row too many to its distribution
        function before it takes the Wasserstein distance; so do we.
        """
        bins, values, owner = len(self._cdf), found.values, found.owner
        index = np.searchsorted(self._edges, values, "right") - 1
        index[values == self._edges[-1]] = bins - 1
        segments = np.arange(len(values)) + owner
        last = np.cumsum(found.sizes + 1) - 1
        start, stop = np.zeros(len(values) + len(last), np.int64), np.full(len(values) + len(last), bins)
        start[segments + 1] = np.clip(index, 0, bins)
        stop[segments] = np.clip(index, 0, bins)
        whose = np.repeat(np.arange(len(last)), found.sizes + 1)
        rank = np.arange(len(start)) - np.repeat(found.starts + np.arange(len(last)), found.sizes + 1)
        level = rank / found.sizes[whose]
        filled = stop > start
        first, final = self._cdf[np.minimum(start, bins - 1)], self._cdf[np.maximum(stop - 1, 0)]
        gaps = np.where(filled, np.maximum(np.abs(first - level), np.abs(final - level)), 0)
        firsts = found.starts + np.arange(len(last))
        ks = np.maximum.reduceat(gaps, firsts)

        lower, upper = self._edges[0] - values, values - self._edges[-1]
        smaller = np.bincount(owner, lower > 0, minlength=len(last)) > 0
        level = level + (smaller / found.sizes)[whose]
        cross = np.clip(np.searchsorted(self._cdf, level), start, np.maximum(stop, start))
        area = level * (2 * cross - start - stop) - 2 * self._sums[cross] + self._sums[start] + self._sums[stop]
        within = np.add.reduceat(np.where(filled, area, 0), firsts) * (self._edges[1] - self._edges[0])
        outside = np.add.reduceat(np.maximum(lower, 0) + np.maximum(upper, 0), found.starts) / found.sizes
        return ks, within + outside


def histograms(found: Windows, edges: Floats) -> Ints:
    """Counts of each window in bins as `numpy.histogram` counts, and in one more last column what is outside."""
    index = np.searchsorted(edges, found.values, "right") - 1
    index[found.values == edges[-1]] = len(edges) - 2
    index[(index < 0) | (index > len(edges) - 2)] = len(edges) - 1
    return _table(found, index, len(edges))


def categories(found: Windows, known: Floats) -> Ints:
    """Counts of each window in the sorted `known` values, and in one more last column all others."""
    index = np.minimum(np.searchsorted(known, found.values), len(known) - 1)
    return _table(found, np.where(known[index] == found.values, index, len(known)), len(known) + 1)


def _table(found: Windows, index: Ints, width: int) -> Ints:
    flat = np.bincount(found.owner * width + index, minlength=len(found.sizes) * width)
    return flat.reshape(len(found.sizes), width)


def jensen_shannon(reference: Floats, counts: Ints, base: float = np.e) -> Floats:
    """The distance of each row of counts from the reference's counts (which lack the last column)."""
    p = np.append(reference, 0) / reference.sum()
    q = counts / counts.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2
    return np.sqrt(np.maximum(divergence, 0) / np.log(base))


def ks_surprise(statistic: Floats, n: int, sizes: Ints) -> Floats:
    """-log10 of the asymptotic p-value of the two-sample statistic, with Stephens' correction for small samples."""
    root = np.sqrt(n * sizes / (n + sizes))
    scaled = (root + 0.12 + 0.11 / root) * statistic
    far = (2 * scaled**2 - np.log(2)) / np.log(10)
    return np.where(scaled > 3, far, -np.log10(np.maximum(kolmogorov(np.minimum(scaled, 3)), 1e-300)))


def chi_square_surprise(reference: Floats, counts: Ints) -> Floats:
    """-log10 of the p-value of Pearson's test that each row of counts has the reference's shares."""
    before = np.append(reference, 0).astype(float)
    total, rows = before + counts, counts.sum(axis=1, keepdims=True)
    share = total / (before.sum() + rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = (counts - rows * share) ** 2 / (rows * share) + (before - before.sum() * share) ** 2 / (
            before.sum() * share
        )
    statistic = np.where(total > 0, terms, 0).sum(axis=1)
    half = np.maximum((total > 0).sum(axis=1) - 1, 1) / 2
    x = np.maximum(statistic, 1e-300) / 2
    exact = gammaincc(half, x)
    far = x - (half - 1) * np.log(x) + gammaln(half)
    return np.where(exact > 1e-290, -np.log10(np.maximum(exact, 1e-300)), far / np.log(10))
