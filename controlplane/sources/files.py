"""Rows from Parquet and CSV files, local or behind any fsspec URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from controlplane.domain.monitor import Columns, Window


class Files:
    """Files as a source: a path, a folder, a glob, or any fsspec URL of those."""

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

    def __init__(self, params: Params, columns: Columns) -> None:
        self._params, self._columns = params, columns

    def fetch(self, window: Window | None) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None."""
        raise NotImplementedError
