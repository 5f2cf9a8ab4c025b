"""What was handed in, as columns: a frame or Arrow data in memory, or files that are read batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from controlplane.domain.monitor import Columns
from controlplane.errors import SourceError

VALID = "a pandas or polars DataFrame, an Arrow table or its batches, or a path to Parquet or CSV files"
_LOOKED_AT = 10_000


@dataclass(frozen=True)
class InMemory:
    """Columns that are all at hand. `broken` names those that Arrow cannot hold, and says why."""

    what: str
    columns: Mapping[str, pa.ChunkedArray]
    n: int
    broken: Mapping[str, str] = field(default_factory=dict)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The columns that could be read, in batches."""
        yield from pa.table(dict(self.columns)).to_batches()


@dataclass(frozen=True)
class OnDisk:
    """Files at a path, of which `batches` reads the wanted columns anew each time, in bounded memory."""

    what: str
    path: str
    wanted: tuple[str, ...] = ()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of all files; raises SourceError."""
        yield from _fetched(self.path, self.wanted)

    def names(self) -> list[str]:
        """Every column of the first rows, wanted or not."""
        first = next(_fetched(self.path, ()), None)
        return [] if first is None else list(first.schema.names)


def opened(data: Any, what: str, columns: tuple[str, ...] | None) -> InMemory | OnDisk:
    """The columns of `data`; `what` is how sentences call it. Raises SourceError for what is not a table."""
    if isinstance(data, str | os.PathLike):
        path = os.fsdecode(data)
        if not path:
            raise SourceError(f"{what} is an empty path; valid: {VALID}")
        return OnDisk(what, path, columns or ())
    if isinstance(data, list | tuple) and data and all(isinstance(part, pa.RecordBatch) for part in data):
        return _arrow(lambda: pa.Table.from_batches(data), what)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return _by_column(
            what, [(str(name), data.iloc[:, place]) for place, name in enumerate(data.columns)], len(data)
        )
    if type(data).__module__.startswith("polars") and hasattr(data, "__arrow_c_stream__"):
        return _polars(data, what)
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return _arrow(lambda: pa.table(data), what)
    raise SourceError(f"{what} is a {type(data).__name__}; valid: {VALID}")


def _fetched(path: str, wanted: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    from controlplane.sources.files import Files

    # No column is called so: nothing here is ordered by time, and any column may hold what it likes.
    return Files(Files.Params(path, columns=wanted), Columns(event_time="\0")).fetch(None)


def _arrow(read: Callable[[], pa.Table], what: str) -> InMemory:
    try:
        table = read()
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{what} cannot be read as a table: {' '.join(str(error).split())[:200]}") from error
    _once(what, table.schema.names)
    return InMemory(what, dict(zip(table.schema.names, table.columns, strict=True)), len(table))


def _polars(data: Any, what: str) -> InMemory:
    # Columns of Python objects are handed to Arrow as their addresses in memory.
    objects = [name for name, type_ in getattr(data, "schema", {}).items() if str(type_) == "Object"]
    if not objects:
        return _arrow(lambda: pa.table(data), what)
    plain = _arrow(lambda: pa.table(data.drop(objects)), what)
    odd = _by_column(what, [(name, data[name].to_list()) for name in objects], len(data))
    return InMemory(what, {**plain.columns, **odd.columns}, len(data), odd.broken)


def _by_column(what: str, columns: list[tuple[str, Any]], n: int) -> InMemory:
    _once(what, [name for name, _ in columns])
    found, broken = {}, {}
    for name, values in columns:
        try:
            array = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError, OverflowError):
            kinds = sorted({type(value).__name__ for value in values[:_LOOKED_AT]} - {"NoneType"})
            broken[name] = f"mixed types: {', '.join(kinds)}" if len(kinds) > 1 else f"values of type {''.join(kinds)}"
        else:
            found[name] = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return InMemory(what, found, n, broken)


def _once(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SourceError(f"{what} has more than one column named {', '.join(map(repr, twice[:5]))}")
