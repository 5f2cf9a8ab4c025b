"""One file's share of a fetch, and how the types of several shares become one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from controlplane.domain.monitor import Window
from controlplane.errors import SourceError
from controlplane.sources.event_time import EVENT_TIME, inside, normalise

Types = Mapping[str, pa.DataType]


@dataclass(frozen=True)
class Wanted:
    """What is asked of a file: its event time column, the window (None: every row), and which columns (empty: all).

    Text columns named in `encoded` may arrive as dictionaries, where the file holds them so.
    """

    event_time: str
    window: Window | None
    columns: tuple[str, ...] = ()
    encoded: frozenset[str] = frozenset()

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
        return [name for name in found if not self.columns or name in (*self.columns, self.event_time)]

    def rows(self, batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
        """The batch with its event time normalised, and only the rows of the window."""
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


def agree(parts: Iterable[Types]) -> dict[str, pa.DataType]:
    """One type for each column name over all parts: the wider number, or text where nothing else fits both.

    Readers of the batches can so concatenate them whatever the files hold, and a column whose type has changed
    arrives as text, where the quality check sees it, instead of ending the run.

    >>> agree([{"a": pa.int64(), "b": pa.int64()}, {"a": pa.float64(), "b": pa.string()}])
    {'a': DataType(double), 'b': DataType(string)}
    """
    agreed: dict[str, pa.DataType] = {}
    for types in parts:
        for name, kind in types.items():
            agreed[name] = _wider(agreed[name], kind) if name in agreed else kind
    return agreed


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    both = [pa.schema([("", one)]), pa.schema([("", other)])]
    try:
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return pa.string()


def retyped(batch: pa.RecordBatch, types: Types, encoded: Collection[str] = ()) -> pa.RecordBatch:
    """The batch with each column cast to its agreed type, and without the file's own metadata.

    Dictionaries of the agreed type are left as they are in the columns named in `encoded`.
    """
    arrays = [
        column if name in encoded and _encodes(column.type, types[name]) else _cast(column, types[name])
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, batch.schema.names)


def _encodes(found: pa.DataType, type_: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(found)) and found.value_type == type_


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array:
    return pa.nulls(len(column)) if pa.types.is_null(type_) else column.cast(type_)
