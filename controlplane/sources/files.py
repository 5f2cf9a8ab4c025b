"""Rows from Parquet and CSV files, local or behind any fsspec URL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Literal

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_compression

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError, masked
from controlplane.log.types import agree
from controlplane.sources import csv, parquet
from controlplane.sources.event_time import count_inside
from controlplane.sources.part import Wanted, ahead
from controlplane.sources.sentences import reading

_SCANS = {"parquet": parquet.scan, "csv": csv.scan}
_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}


class Files:
    """Files as a source: a path, a folder, a glob, or any fsspec URL of those.

    Every file that may hold rows of the window is looked at before the first row is given out, so that a column has
    one type over all batches of a fetch. Each batch holds the columns of its own file: a column gone from every file
    with rows in the window is gone, and one gone from some of them is null in those rows once the batches are
    concatenated. Dictionary columns arrive as their values.
    """

    @dataclass(frozen=True)
    class Params:
        """Which files: `path` is a file, a folder (read recursively) or a glob, local or an fsspec URL such as
        `s3://bucket/day=*/part.parquet`.

        `format` is told by each file's ending unless given; `columns` reads only those and the event time (empty:
        all of them); `storage_options` go to the fsspec file system and are never shown.
        """

        path: str
        format: Literal["parquet", "csv"] | None = None
        columns: tuple[str, ...] = ()
        storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a file, a folder, a glob or a URL")
            if self.format not in (None, *_SCANS):
                raise ValueError(f"unknown format {self.format!r}; valid: {', '.join(_SCANS)}")

        def __repr__(self) -> str:
            return f"Files.Params(path={masked(self.path)!r}, format={self.format!r}, columns={self.columns!r})"

    def __init__(self, params: Params, columns: Columns) -> None:
        self._params, self._columns = params, columns

    def fetch(self, window: Window | None, encoded: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None, in the order of the files' names.

        Text columns named in `encoded` may arrive as dictionaries: read so, and counted so, a column of few categories
        costs a tenth. Each batch has its own.

        The event time arrives as `timestamp[us, UTC]`; rows without one are in no window. Files need an event time
        column for a window, not for None. Nothing in the window is no batch; no file at all, an unreadable one and
        a column that is not a time are a SourceError.
        """
        yield from self._read(Wanted(self._columns.event_time, window, self._params.columns, frozenset(encoded)))

    def count(self, windows: Sequence[Window]) -> list[int]:
        """How many rows `fetch` gives of each window: one pass over the event times from the first to the last."""
        if not windows:
            return []
        event_time = self._columns.event_time
        span = Window(min(each.start for each in windows), max(each.end for each in windows))
        return count_inside(self._read(Wanted(event_time, span, (event_time,))), event_time, windows)

    def _read(self, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        shown = masked(self._params.path)
        with reading(shown):
            system, root = fsspec.core.url_to_fs(self._params.path, **self._params.storage_options)
            system.invalidate_cache()
            paths = self._paths(system, root)
        if not paths:
            raise SourceError(f"no file matches {shown}; valid: a Parquet or CSV file, a folder or a glob of them")
        parts = []
        for path in paths:
            where = masked(system.unstrip_protocol(path)).removeprefix("file://")
            opened = partial(_open, system, path)
            part = _SCANS[self._params.format or self._format(path, where)](opened, where, wanted)
            if part is not None:
                parts.append(part)
        agreed = agree(part.types for part in parts)
        for part in parts:
            yield from ahead(part.read(agreed))

    def _paths(self, system: Any, root: str) -> list[str]:
        if fsspec.core.has_magic(root) and not system.exists(root):
            return sorted(path for path in system.glob(root) if system.isfile(path))
        if system.isdir(root):
            names = {path: path.rsplit("/", 1)[-1] for path in system.find(root)}
            return sorted(
                path
                for path, name in names.items()
                if not name.startswith((".", "_")) and (self._params.format or _ending(name))
            )
        return [root] if system.exists(root) else []

    def _format(self, path: str, where: str) -> str:
        ending = _ending(path)
        if ending is None:
            raise SourceError(f"{where} ends in none of {', '.join(_ENDINGS)}; give its format: parquet or csv")
        return _ENDINGS[ending]


def _ending(path: str) -> str | None:
    return next((ending for ending in _ENDINGS if path.lower().endswith(ending)), None)


def _open(system: Any, path: str) -> BinaryIO:
    # Arrow's own files save a copy of every byte.
    native = type(system) is LocalFileSystem and infer_compression(path) is None
    file: BinaryIO = pa.OSFile(path, "rb") if native else system.open(path, "rb", compression="infer")
    return file
