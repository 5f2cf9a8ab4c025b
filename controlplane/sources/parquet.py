"""Parquet files: row groups outside the window are never touched, the others arrive batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, date, datetime, time
from typing import BinaryIO

import pyarrow as pa
from pyarrow.parquet import FileMetaData, ParquetFile

from controlplane.domain.monitor import Window
from controlplane.log.types import Types
from controlplane.sources.event_time import EVENT_TIME, normalise
from controlplane.sources.part import Part, Wanted, retyped
from controlplane.sources.sentences import reading

# Long batches are decoded and counted quickest; wide ones stay at 128 MB of numbers.
BATCH_ROWS, BATCH_VALUES = 131_072, 1 << 24
# Columns are read in pieces, not whole: a long file takes no more memory than a short one, and decoding stays in the
# cache.
BUFFER_BYTES = 1 << 16


def scan(opened: Callable[[], BinaryIO], where: str, wanted: Wanted) -> Part | None:
    """What the file holds for the window, judged by its footer alone; None where that is nothing.

    Read with `iter_batches(pre_buffer=False)`, which holds about one row group, where `pyarrow.dataset` reads
    many ahead.
    """
    with reading(where), opened() as file:
        footer = ParquetFile(file)
        names = wanted.names(footer.schema_arrow.names, where)
        schema, metadata = footer.schema_arrow, footer.metadata
        if wanted.event_time in names:
            normalise(pa.array([], schema.field(wanted.event_time).type), wanted.event_time, where)
        groups = [group for group in range(metadata.num_row_groups) if _may_hold(metadata, group, wanted)]
    if not groups:
        return None
    text = [name for name in names if name in wanted.encoded and _is_text(schema.field(name).type)]
    types = {name: _plain(schema.field(name).type) for name in names if not wanted.hides(name)}
    if wanted.event_time in types:
        types[wanted.event_time] = EVENT_TIME

    def read(agreed: Types) -> Generator[pa.RecordBatch, None, None]:
        with reading(where), opened() as file:
            parquet = ParquetFile(
                file, metadata=metadata, pre_buffer=False, buffer_size=BUFFER_BYTES, read_dictionary=text
            )
            longest = min(BATCH_ROWS, BATCH_VALUES // max(len(names), 1))
            # One core decodes while another counts; decoding on both would keep the counting from its own.
            for batch in parquet.iter_batches(max(longest, 1), row_groups=groups, columns=names, use_threads=False):
                rows = wanted.rows(batch, where)
                if rows.num_rows:
                    yield retyped(rows, agreed, wanted.encoded)

    return Part(types, read)


def _plain(kind: pa.DataType) -> pa.DataType:
    # Dictionaries differ from row group to row group, and an Arrow file takes one dictionary a column only.
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _may_hold(metadata: FileMetaData, group: int, wanted: Wanted) -> bool:
    rows = metadata.row_group(group)
    for index in range(rows.num_columns):
        column = rows.column(index)
        found, words = column.statistics, wanted.only.get(column.path_in_schema)
        if found is None or not found.has_min_max:
            continue
        if words is not None and found.min == found.max and found.min not in words:
            return False
        if wanted.window is not None and column.path_in_schema == wanted.event_time:
            if not _overlaps(found.min, found.max, wanted.window):
                return False
    return True


def _overlaps(low: object, high: object, window: Window) -> bool:
    first, last = _moment(low), _moment(high)
    return first is None or last is None or (first < window.end and last >= window.start)


def _moment(bound: object) -> datetime | None:
    if isinstance(bound, datetime):
        return bound.replace(tzinfo=UTC) if bound.tzinfo is None else bound
    # Text is ordered by its letters, not by time: its bounds say nothing that is safe to act on.
    return datetime.combine(bound, time(), UTC) if isinstance(bound, date) else None
