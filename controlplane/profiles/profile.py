"""The mergeable summary of a window: every watched column counted, and the columns that came, went or changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from controlplane.profiles.bins import Bins
from controlplane.profiles.column import ColumnProfile, empty, summarise
from controlplane.profiles.digests import feed
from controlplane.profiles.kinds import readable


@dataclass(frozen=True, eq=False)
class Profile:
    """What was counted over `n` rows in the slots of `bins`.

    `missing_columns` are watched columns that some batch did not have, `type_changed` maps one that could not be
    counted to the Arrow type it came with, `new_columns` are those the reference never had.
    """

    bins: Bins
    columns: Mapping[str, ColumnProfile]
    n: int = 0
    missing_columns: tuple[str, ...] = ()
    type_changed: Mapping[str, str] = field(default_factory=dict)
    new_columns: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> ColumnProfile:
        """The summary of one column; raises KeyError."""
        return self.columns[name]

    def comparable(self, other: Profile) -> bool:
        """Whether both were counted into the same bins."""
        return self.bins is other.bins or self.bins.digest == other.bins.digest

    def merge(self, other: Profile) -> Profile:
        """The profile of the rows of both; raises ValueError where they were counted into different bins."""
        if not self.comparable(other):
            raise ValueError("profiles counted into different bins cannot be merged")
        return Profile(
            self.bins,
            {name: column.merge(other.columns[name]) for name, column in self.columns.items()},
            self.n + other.n,
            _union(self.missing_columns, other.missing_columns),
            {**other.type_changed, **self.type_changed},
            _union(self.new_columns, other.new_columns),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over the bins, every count and every range: what does not depend on where batches end.

        No version or time is in it, nor the moments, whose last bits depend on the order of adding.
        """
        digest = hashlib.sha256()
        changed = [[name, self.type_changed[name]] for name in sorted(self.type_changed)]
        feed(digest, [self.bins.digest, self.n, list(self.missing_columns), changed, list(self.new_columns)])
        for name, column in self.columns.items():
            counts = [getattr(column, count) for count in COUNTS]
            feed(digest, [name, column.slots, list(column.examples), *counts, column.low, column.high])
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """The profile as an Arrow stream that names its format and the libraries that wrote it."""
        from controlplane.profiles.codec import encode

        return encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """The inverse of `to_bytes`; raises ValueError for bytes that are no profile, or of another format."""
        from controlplane.profiles.codec import decode

        return decode(data)


def numbers_in(column: ColumnProfile) -> dict[str, int | float]:
    """The scalar counts and moments of a column by name, the part of it that a codec stores as numbers."""
    return {name: getattr(column, name) for name in (*COUNTS, *MOMENTS)}


COUNTS = ("n", "absent", "nulls", "nans", "neg_inf", "pos_inf", "unseen", "wrong_length")
MOMENTS = ("offset", "m2", "low", "high")

# Rows counted at once: numbers are sorted in a copy, which should stay in the cache. No threads: what numpy does not
# count without the interpreter's lock makes two of them slower than one, and the other core is decoding.
_PART = 1 << 17


class ProfileBuilder:
    """Counts batches into bins fitted on a reference, in one pass and bounded memory.

    >>> from controlplane.profiles import fit_bins
    >>> bins = fit_bins(lambda: iter([pa.record_batch({"age": [30, 40], "sex": ["f", "m"]})]))
    >>> profile = ProfileBuilder(bins).add(pa.record_batch({"age": [35, 99], "hat": ["x", "y"]})).build()
    >>> profile["age"].mean, profile["age"].out_of_range, profile.missing_columns, profile.new_columns
    (67.0, 1, ('sex',), ('hat',))
    """

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._columns = {column.name: empty(column) for column in bins.columns}
        self._known = {*self._columns, *bins.ignored}
        self._n = 0
        self._missing: set[str] = set()
        self._new: set[str] = set()
        self._changed: dict[str, str] = {}

    def add(self, batch: pa.RecordBatch) -> ProfileBuilder:
        """Count one batch; nothing in its columns can make this raise."""
        self._n += len(batch)
        found = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._new.update(found.keys() - self._known)
        for name, column in self._columns.items():
            array = found.get(name)
            if array is None:
                self._missing.add(name)
            elif not readable(array.type, column.bins.kind):
                self._changed.setdefault(name, str(array.type))
        for name, column in self._columns.items():
            self._columns[name] = _counted(column, found.get(name, len(batch)))
        return self

    def build(self) -> Profile:
        """The profile of what was added so far."""
        missing, new = tuple(sorted(self._missing)), tuple(sorted(self._new))
        return Profile(self._bins, dict(self._columns), self._n, missing, dict(self._changed), new)


def _counted(column: ColumnProfile, found: pa.Array | int) -> ColumnProfile:
    """The profile with one more array in it, or with so many rows that lack the column."""
    if isinstance(found, int):
        return column.merge(empty(column.bins, absent=found))
    for start in range(0, len(found), _PART):
        column = column.merge(summarise(found.slice(start, _PART), column.bins))
    return column


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*one, *other}))
