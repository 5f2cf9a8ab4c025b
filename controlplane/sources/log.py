"""Rows from an inference log: the hours of the window, the files of those, and of these the row groups that matter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import pyarrow as pa

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError, masked
from controlplane.log.folder import Folder
from controlplane.log.layout import COLUMNS, visible
from controlplane.log.types import agree
from controlplane.sources import parquet
from controlplane.sources.event_time import count_inside
from controlplane.sources.part import Wanted, ahead
from controlplane.sources.sentences import reading

_PARTS = {
    "event_time": "event_time",
    "row_id": "row_id",
    "model_version": "model_version",
    "prediction": "prediction",
    "status": "status",
    "latency": "latency_ms",
    "request": "request_id",
}


class Log:
    """What a server logged with `InferenceLog`, each row once, also while its files are being merged.

    Rows that came after a fetch began may be missing in it. Columns whose type differs from file to file arrive as
    one type, as from `files`. A job need not say which column plays which part: `columns` knows.
    """

    columns: ClassVar[Mapping[str, str | tuple[str, ...]]] = MappingProxyType(
        {**_PARTS, "ignored": tuple(name for name in COLUMNS.names if name not in _PARTS.values())}
    )

    @dataclass(frozen=True)
    class Params:
        """Which log: `path` is the folder or fsspec URL that was given to `InferenceLog`.

        `roles` gives rows of these roles alone, such as `live`, `canary` or `shadow` (empty: every row); `read`
        reads only those columns and the event time (empty: all of them); `storage_options` go to the fsspec file
        system and are never shown.
        """

        path: str
        roles: tuple[str, ...] = ()
        read: tuple[str, ...] = ()
        storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name the folder or the URL of an inference log")

        def __repr__(self) -> str:
            return f"Log.Params(path={masked(self.path)!r}, roles={self.roles!r}, read={self.read!r})"

    def __init__(self, params: Params, columns: Columns) -> None:
        self._params, self._columns = params, columns

    def fetch(self, window: Window | None, encoded: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None, hour by hour.

        Text columns named in `encoded` may arrive as dictionaries, as from `files`. Nothing in the window is no batch;
        where there is no log, or a file of it cannot be read, that is a SourceError.
        """
        yield from self._read(self._wanted(window, self._params.read, frozenset(encoded)))

    def count(self, windows: Sequence[Window]) -> list[int]:
        """How many rows `fetch` gives of each window: one pass over the event times from the first to the last."""
        if not windows:
            return []
        event_time = self._columns.event_time
        span = Window(min(each.start for each in windows), max(each.end for each in windows))
        return count_inside(self._read(self._wanted(span, (event_time,))), event_time, windows)

    def _wanted(self, window: Window | None, read: tuple[str, ...], encoded: frozenset[str] = frozenset()) -> Wanted:
        only = {"role": frozenset(self._params.roles)} if self._params.roles else {}
        return Wanted(self._columns.event_time, window, read, encoded, only)

    def _read(self, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        shown = masked(self._params.path)
        window = wanted.window
        with reading(shown):
            folder = Folder(self._params.path, self._params.storage_options)
            hours = list(folder.hours(*((window.start, window.end) if window is not None else ())))
            files = visible(file for hour in hours for file in folder.files(hour))
            if not hours and next(folder.hours(), None) is None:
                raise SourceError(f"no inference log at {shown}; valid: the folder or URL that a server logs to")
        parts = []
        for file in files:
            where = masked(folder.system.unstrip_protocol(file.path)).removeprefix("file://")
            part = parquet.scan(partial(folder.open, file), where, wanted)
            if part is not None:
                parts.append(part)
        agreed = agree(part.types for part in parts)
        for part in parts:
            yield from ahead(part.read(agreed))
