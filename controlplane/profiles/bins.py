"""Where a reference's values are counted: edges and categories, fitted once and used for every window after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from controlplane.profiles.digests import feed
from controlplane.profiles.kinds import Floats, Kind, kind_of, numbers_of, tally
from controlplane.profiles.lattice import snapped

Batches = Callable[[], Iterator[pa.RecordBatch]]

# A thousand quantiles hide at most a thousandth of the rows, less than sampling blurs in any window below a million.
MAX_BINS = 1024
MAX_CATEGORIES = 1000
# Good-Turing: the share of values seen once estimates the share of tomorrow's values never seen. Strings past this
# share, with more than a handful of spellings, are no closed set; every window would look full of unseen categories.
OPEN_SET_SHARE = 0.05
OPEN_SET_SPELLINGS = 20
_THINNED = 1 << 16


@dataclass(frozen=True, eq=False)
class ColumnBins:
    """Where one column's values are counted.

    On a line, k sorted `edges` make 2k + 1 slots: below the first edge, then in turn *at* an edge and *between* it and
    the next, then above the last. The outermost edges are the reference's smallest and largest value. The others are
    observed values too, so that atoms such as zero keep a slot of their own and a distribution function is known
    exactly at every edge from both sides; or, where no value is common, multiples of a `step` that is not 0. Then what
    lies at such an edge counts with what is above it, and the function is known exactly just below. Otherwise one slot
    a category.
    """

    name: str
    kind: Kind
    type: str
    edges: Floats = field(default_factory=lambda: np.empty(0))
    categories: tuple[str, ...] = ()
    length: int | None = None
    step: float = 0.0

    @property
    def origin(self) -> float:
        """The middle edge, from which moments are taken: near the mean, so that little is lost to rounding."""
        return float(self.edges[len(self.edges) // 2]) if len(self.edges) else 0.0

    @property
    def slots(self) -> int:
        """How many counts a profile of this column holds."""
        return len(self.categories) if self.kind.counted else 2 * len(self.edges) + 1


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of every watched column of a reference, and the names of its other columns.

    `ignored` are columns that are known but not summarised: times, ids, and those in `unreadable`, which were asked
    for and whose Arrow type, named there, cannot be summarised.
    """

    columns: tuple[ColumnBins, ...]
    ignored: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ColumnBins:
        """The bins of the column of that name; raises KeyError."""
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, ColumnBins]:
        return {column.name: column for column in self.columns}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every edge, category and name, in hexadecimal; only profiles of one digest can be compared."""
        digest = hashlib.sha256()
        feed(digest, list(self.ignored))
        for column in self.columns:
            feed(digest, [column.name, column.kind.value, column.type, column.length, list(column.categories)])
            feed(digest, column.edges)
            feed(digest, column.step)
        return digest.hexdigest()


def fit_bins(
    batches: Batches, columns: Sequence[str] | None = None, max_bins: int = MAX_BINS, ignored: Sequence[str] = ()
) -> Bins:
    """Fit the bins of `columns` (None: every one but the `ignored`) in one pass over a reference.

    Up to `max_bins` distinct numbers each become an edge, and then every statistic on the bins is exact; past that
    the edges are that many of the reference's quantiles, or stand close by them. Memory stays bounded however long the
    reference is.

    >>> bins = fit_bins(lambda: iter([pa.record_batch({"age": [30, 40, 40], "sex": ["f", "m", "f"]})]))
    >>> bins["age"].edges, bins["sex"].categories
    (array([30., 40.]), ('f', 'm'))
    """
    fits: dict[str, _Fit] = {}
    left_out, unreadable = set(ignored), {}
    wanted = None if columns is None else set(columns)
    for batch in batches():
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            if name in left_out or (wanted is not None and name not in wanted):
                left_out.add(name)
                continue
            known = fits.get(name)
            if known is None or (known.empty and pa.types.is_null(known.type)):
                kind = kind_of(array.type)
                if kind is None:
                    left_out.add(name)
                    unreadable[name] = str(array.type)
                    continue
                known = fits[name] = _Fit(name, array.type, kind, max_bins)
            known.add(array)
    return Bins(tuple(fit.bins() for fit in fits.values()), tuple(sorted(left_out)), unreadable)


class _Fit:
    """What the first pass learns of one column, in bounded memory."""

    def __init__(self, name: str, type_: pa.DataType, kind: Kind, max_bins: int) -> None:
        self.name, self.type, self.kind, self.max_bins = name, type_, kind, max_bins
        self.names: dict[str, int] | None = {} if kind is Kind.CATEGORICAL else None
        self.lengths: dict[int, int] = {}
        self.line = _Line(max_bins)
        self.seen = 0

    @property
    def empty(self) -> bool:
        return self.seen == 0

    def add(self, array: pa.Array) -> None:
        kind = kind_of(array.type)
        if kind is not self.kind:
            return
        self.seen += len(array) - array.null_count
        if self.kind is Kind.BOOLEAN:
            return
        if self.kind is not Kind.CATEGORICAL:
            values, lengths = numbers_of(array, self.kind)
            self.line.add(values)
            if lengths is not None:
                for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
                    self.lengths[int(length)] = self.lengths.get(int(length), 0) + int(count)
            return
        if not pa.types.is_null(array.type):
            self.line.add(numbers_of(array, Kind.TEXT)[0])
        if self.names is not None:
            names, counts = tally(array)
            if len(names) <= MAX_CATEGORIES:
                for name, count in zip(names.to_pylist(), counts.tolist(), strict=True):
                    self.names[name] = self.names.get(name, 0) + count
            if max(len(names), len(self.names)) > MAX_CATEGORIES:
                self.names = None

    def bins(self) -> ColumnBins:
        type_ = str(self.type)
        if self.kind is Kind.BOOLEAN:
            return ColumnBins(self.name, self.kind, type_, categories=("false", "true"))
        if self.kind is Kind.CATEGORICAL:
            if self.names is not None and not self._open(self.names):
                return ColumnBins(self.name, self.kind, type_, categories=tuple(sorted(self.names)))
            edges, step = self.line.edges()
            return ColumnBins(self.name, Kind.TEXT, type_, edges, step=step)
        length = max(self.lengths, key=lambda size: (self.lengths[size], size), default=None)
        edges, step = self.line.edges()
        return ColumnBins(self.name, self.kind, type_, edges, length=length, step=step)

    def _open(self, names: dict[str, int]) -> bool:
        once = sum(count == 1 for count in names.values())
        return len(names) > OPEN_SET_SPELLINGS and once > OPEN_SET_SHARE * self.seen


class _Line:
    """The distinct numbers of a stream while they are few, else evenly thinned ones, with the range kept exact."""

    def __init__(self, max_bins: int) -> None:
        self.max_bins = max_bins
        self.distinct: Floats | None = np.empty(0)
        self.parts: list[Floats] = []
        self.held, self.stride, self.position = 0, 1, 0
        self.low, self.high = np.inf, -np.inf

    def add(self, values: Floats) -> None:
        values = values[np.isfinite(values)] + 0.0
        if not len(values):
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if self.distinct is not None:
            distinct = np.union1d(self.distinct, values)
            self.distinct = distinct if len(distinct) <= self.max_bins else None
        kept = values[-self.position % self.stride :: self.stride].copy()
        self.position += len(values)
        self.parts.append(kept)
        self.held += len(kept)
        while self.held > _THINNED:
            self.parts = [np.concatenate(self.parts)[::2]]
            self.held, self.stride = len(self.parts[0]), 2 * self.stride

    def edges(self) -> tuple[Floats, float]:
        """The edges, and their step where they stand on a lattice."""
        if self.distinct is not None:
            return self.distinct, 0.0
        values = np.sort(np.concatenate(self.parts))
        inner = values[np.linspace(0, len(values) - 1, self.max_bins - 2).round().astype(np.intp)]
        on_lattice = snapped(values, inner, self.low, self.high)
        return on_lattice or (np.unique(np.concatenate(([self.low], inner, [self.high]))), 0.0)
