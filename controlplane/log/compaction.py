"""Hours that are over: their small files become one, and what is older than a log keeps is removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import BinaryIO

import pyarrow as pa
from pyarrow.parquet import ParquetFile, ParquetWriter

from controlplane.log.folder import Folder
from controlplane.log.layout import HOUR, LogFile, file_name, visible
from controlplane.log.parts import GROUP_ROWS, Misfit, fitted, metadata_of, types_of
from controlplane.log.types import Types, agree

_GROUP_BYTES = 16 << 20


def compact(
    folder: Folder,
    now: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
    stream: str | None = None,
) -> int:
    """Merge the files of each stream and hour that is over by `end` (else by now) into one; how many were merged.

    Readers see every row once at any moment, also if this ends half-way: a file whose batches another one holds is
    passed over. Files that were merged are put aside and removed by a later call, once nobody can be reading them.
    """
    merged = 0
    for hour in list(folder.hours(start, end if end is not None else now)):
        if hour + HOUR > (end if end is not None else now):
            continue
        folder.sweep(hour, now)
        for own, files in groupby(sorted(folder.files(hour), key=lambda file: file.stream), lambda file: file.stream):
            if stream in (None, own):
                merged += _merge(folder, list(files))
    return merged


def prune(folder: Folder, before: datetime) -> int:
    """Remove the hours that were over by `before`; how many files that were. Files of other kinds are left alone."""
    return sum(folder.clear(hour) for hour in list(folder.hours(end=before)) if hour + HOUR <= before)


def _merge(folder: Folder, files: list[LogFile]) -> int:
    kept = visible(files)
    if len(kept) > 1:
        name = file_name(kept[0].stream, kept[0].first, max(file.last for file in kept))
        folder.put(kept[0].hour, name, lambda out: _write(out, folder, kept))
    else:
        name = kept[0].name
    gone = [file for file in files if file.name != name]
    for file in gone:
        folder.retire(file)
    return len(gone)


def _write(out: BinaryIO, folder: Folder, files: list[LogFile]) -> None:
    types, dropped, rate = [], 0, 1.0
    for each in files:
        with folder.open(each) as file:
            footer = ParquetFile(file)
            said = footer.schema_arrow.metadata or {}
            types.append(types_of(footer.schema_arrow))
            dropped += int(said.get(b"controlplane.dropped", 0))
            rate = float(said.get(b"controlplane.rate", 1.0))
    whole, metadata = agree(types), metadata_of(rate, dropped)
    while True:
        schema = fitted(pa.table({}), whole).schema.with_metadata(metadata)
        try:
            with ParquetWriter(out, schema, compression="zstd") as writer:
                for table in _grouped(folder, files, whole):
                    writer.write_table(table.replace_schema_metadata(schema.metadata), GROUP_ROWS)
            return
        except Misfit as misfit:
            whole[misfit.name] = pa.string()
            out.seek(0)
            out.truncate()


def _grouped(folder: Folder, files: list[LogFile], types: Types) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = size = 0
    for each in files:
        with folder.open(each) as file:
            for batch in ParquetFile(file, pre_buffer=False).iter_batches(8192):
                table = fitted(batch, types)
                waiting.append(table)
                rows, size = rows + len(table), size + table.nbytes
                if rows >= GROUP_ROWS or size >= _GROUP_BYTES:
                    yield pa.concat_tables(waiting)
                    waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)
