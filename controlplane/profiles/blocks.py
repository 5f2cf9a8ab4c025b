"""A reference cut into blocks as long as a window: what windows look like while nothing changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from controlplane.profiles.digests import Digest, feed
from controlplane.profiles.kinds import Floats, Ints
from controlplane.profiles.scores import Statistic

FORMAT = "controlplane-blocks-1"
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Key:
    """Which statistic: of which check, by which name, of which column."""

    check: str
    name: str
    column: str | None = None
    side: int = 0
    measure: str = ""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The statistics of each block of a reference, in time order.

    `starts` are seconds since 1970 in UTC, shape (B,); `values` and `counts` have shape (B, S), NaN and 0 where a block
    had too few rows for a statistic; `variances` (of one row) shape (S,). `length` is a window's, in seconds.
    """

    length: float
    starts: Ints
    keys: tuple[Key, ...]
    values: Floats
    counts: Floats
    variances: Floats

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, checks: Iterable[str]) -> Blocks:
        """The same blocks with the statistics of these checks alone."""
        wanted = set(checks)
        kept = np.array([key.check in wanted for key in self.keys], bool)
        keys = tuple(key for key in self.keys if key.check in wanted)
        return Blocks(self.length, self.starts, keys, self.values[:, kept], self.counts[:, kept], self.variances[kept])

    @property
    def phases(self) -> tuple[Ints, int] | None:
        """Each block's place in the week, and how many places there are: by day for windows of a day, by hour for
        shorter ones; None for other lengths or where the blocks span fewer than four of the cycle."""
        return phases_of(self.starts, self.length, self.span)

    @property
    def span(self) -> float:
        """From the first block's start to the last one's end, in seconds."""
        return float(self.starts[-1] - self.starts[0]) + self.length if len(self.starts) else 0.0

    def feed(self, digest: Digest) -> None:
        """Take the blocks into a digest."""
        feed(digest, [self.length, [[*astuple(key)] for key in self.keys]])
        feed(digest, [self.starts, self.values, self.counts, self.variances])

    def to_table(self) -> pa.Table:
        """The blocks as an Arrow table: one row a statistic, with the blocks' numbers as lists."""
        columns = {
            "key": [json.dumps([key.check, key.name, key.column, key.side, key.measure]) for key in self.keys],
            "values": pa.array(list(self.values.T), pa.list_(pa.float64())),
            "counts": pa.array(list(self.counts.T), pa.list_(pa.float64())),
            "variance": self.variances,
        }
        header = {"format": FORMAT, "length": self.length, "starts": self.starts.tolist()}
        return pa.table(columns).replace_schema_metadata({"controlplane": json.dumps(header)})

    @classmethod
    def from_table(cls, table: pa.Table) -> Blocks:
        """The inverse of `to_table`; raises ValueError for another format."""
        header = json.loads((table.schema.metadata or {}).get(b"controlplane", b"{}"))
        if header.get("format") != FORMAT:
            raise ValueError(f"blocks of format {header.get('format')!r} cannot be read; this one reads {FORMAT!r}")
        starts = np.array(header["starts"], np.int64)
        shape = (len(starts), len(table))
        keys = tuple(Key(*json.loads(text)) for text in table["key"].to_pylist())
        values, counts = (
            np.array(table[name].to_pylist(), np.float64).T.reshape(shape) for name in ("values", "counts")
        )
        return cls(header["length"], starts, keys, values, counts, table["variance"].to_numpy())


def phases_of(starts: Ints, length: float, span: float) -> tuple[Ints, int] | None:
    """See `Blocks.phases`."""
    day, week = DAY.total_seconds(), WEEK.total_seconds()
    if length == day:
        unit, cycle = day, week
    elif length < day and day % length == 0:
        unit, cycle = max(3600.0, length), week if span >= 4 * week else day
    else:
        return None
    if span < 4 * cycle:
        return None
    places = np.floor((starts % int(cycle)) / unit).astype(np.int64)
    return places, round(cycle / unit)


def collect(length: timedelta, starts: Sequence[float], found: Sequence[dict[str, list[Statistic]]]) -> Blocks:
    """Put together what was measured on each block: for each block, each check's statistics."""
    keys: dict[Key, int] = {}
    for block in found:
        for check, rows in block.items():
            for row in rows:
                keys.setdefault(Key(check, row.name, row.column, row.side, row.measure), len(keys))
    shape = (len(found), len(keys))
    values, counts, variances = np.full(shape, np.nan), np.zeros(shape), np.full(shape, np.nan)
    for index, block in enumerate(found):
        for check, rows in block.items():
            for row in rows:
                place = index, keys[Key(check, row.name, row.column, row.side, row.measure)]
                values[place], counts[place], variances[place] = row.value, row.n, row.variance
    per_row = np.array([np.nanmean(column) for column in variances.T]) if len(found) else np.empty(0)
    return Blocks(
        length.total_seconds(), np.array(starts, np.int64), tuple(keys), values, counts, per_row.reshape(len(keys))
    )
