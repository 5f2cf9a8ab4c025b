"""One file's share of a fetch, and how the types of several shares become one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.monitor import Window
from controlplane.errors import SourceError
from controlplane.log.types import Types, cast
from controlplane.sources.event_time import EVENT_TIME, inside, normalise


@dataclass(frozen=True)
class Wanted:
    """What is asked of a file: its event time column, the window (None: every row), and which columns (empty: all).

    Text columns named in `encoded` may arrive as dictionaries, where the file holds them so. Of the columns in `only`
    rows with one of these words are wanted; a file without such a column holds none.
    """

    event_time: str
    window: Window | None
    columns: tuple[str, ...] = ()
    encoded: frozenset[str] = frozenset()
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def names(self, found: list[str], where: str) -> list[str]:
        """The columns to read out of those found, in the file's order.

        Raises SourceError for a name that stands twice, and where a window is asked of a file without event time.
        """
        twice = sorted({name for name in found if found.count(name) > 1}) if len(set(found)) < len(found) else []
        if twice:
            raise SourceError(f"{where} has more than one column named {', '.join(map(repr, twice))}")
        if self.window is not None and self.event_time not in found:
            raise SourceError(
                f"{where} has no event time column {self.event_time!r}; its columns: {', '.join(found[:20])}"
            )
        return [name for name in found if not self.columns or name in (*self.columns, self.event_time, *self.only)]

    def hides(self, name: str) -> bool:
        """Whether a column is read for its words alone, and not given out."""
        return name in self.only and bool(self.columns) and name not in self.columns

    def rows(self, batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
        """The batch with its event time normalised, and only the rows of the window that are wanted."""
        for name, words in self.only.items():
            batch = batch.filter(pc.is_in(batch.column(name).cast(pa.string()), pa.array(sorted(words))))
            if self.hides(name):
                batch = batch.drop_columns([name])
        index = batch.schema.get_field_index(self.event_time)
        if index < 0:
            return batch
        times = normalise(batch.column(index), self.event_time, where)
        batch = batch.set_column(index, pa.field(self.event_time, EVENT_TIME), times)
        return batch if self.window is None else batch.filter(inside(times, self.window))


@dataclass(frozen=True)
class Part:
    """A file that may hold rows of the window: the types of its columns, and its rows once all types are agreed."""

    types: Types
    read: Callable[[Types], Generator[pa.RecordBatch, None, None]]


def ahead(batches: Generator[pa.RecordBatch, None, None]) -> Iterator[pa.RecordBatch]:
    """The same batches, each read while the one before it is being used.

    One batch is held beside the one in use. Whoever stops early waits for that one alone.

    >>> [len(batch) for batch in ahead(pa.record_batch({"a": range(n)}) for n in (2, 1))]
    [2, 1]
    """
    with closing(batches), ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def retyped(batch: pa.RecordBatch, types: Types, encoded: Collection[str] = ()) -> pa.RecordBatch:
    """The batch with each column cast to its agreed type, and without the file's own metadata.

    Dictionaries of the agreed type are left as they are in the columns named in `encoded`.
    """
    arrays = [
        column if name in encoded and _encodes(column.type, types[name]) else cast(column, types[name])
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, batch.schema.names)


def _encodes(found: pa.DataType, type_: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(found)) and found.value_type == type_
