"""What waits to be written of one hour, and how it becomes a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.log.layout import COLUMNS, FORMAT, HOUR, arranged
from controlplane.log.types import Types, agree, as_text, cast

GROUP_ROWS = 65_536
_HOUR_MICROS = int(HOUR.total_seconds()) * 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one hour out of one numbered batch, and how many rows were dropped just before it."""

    number: int
    rows: pa.RecordBatch
    dropped: int


@dataclass
class Waiting:
    """The parts of one hour that are in no file yet, in the order of their numbers."""

    since: float
    parts: list[Part] = field(default_factory=list)
    size: int = 0

    def add(self, part: Part) -> None:
        """Take in the next one."""
        self.parts.append(part)
        self.size += part.rows.nbytes


def by_hour(batch: pa.RecordBatch) -> Iterator[tuple[datetime, pa.RecordBatch]]:
    """The batch cut by the hour of its event times, in UTC, earliest first."""
    hours = batch.column("event_time").cast(pa.int64()).to_numpy() // _HOUR_MICROS
    for hour in np.unique(hours).tolist():
        moment = datetime.fromtimestamp(hour * 3600, UTC)
        mine = hours == hour
        yield moment, batch if mine.all() else batch.filter(pa.array(mine))


def types_of(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Each column's type."""
    return dict(zip(schema.names, schema.types, strict=True))


class Misfit(Exception):
    """A column's type cannot hold one of its values: text has to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def fitted(rows: pa.RecordBatch | pa.Table, types: Types) -> pa.Table:
    """The rows with all these columns, in the order of a log; those they lack are null. Raises Misfit."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    columns = {}
    for name in arranged(types):
        kind = types[name]
        if name not in table.column_names:
            columns[name] = pa.nulls(len(table), kind)
            continue
        found = table.column(name).combine_chunks()
        try:
            columns[name] = cast(found, kind)
        except pa.ArrowException as error:
            if pa.types.is_string(kind):
                columns[name] = as_text(found.to_pylist())
            elif pa.types.is_floating(kind) and pa.types.is_integer(found.type):
                columns[name] = found.cast(kind, safe=False)
            else:
                raise Misfit(name) from error
    return pa.table(columns)


def metadata_of(rate: float, dropped: int) -> dict[str, str]:
    """What a file's footer says of the log."""
    return {
        "controlplane.format": str(FORMAT),
        "controlplane.rate": repr(rate),
        "controlplane.dropped": str(dropped),
    }


def write(file: BinaryIO, tables: list[pa.Table], metadata: Mapping[str, str]) -> None:
    """Tables of one schema as one Parquet file; what Parquet cannot hold becomes text, for it must stop nothing."""
    table = pa.concat_tables(tables).replace_schema_metadata(metadata)
    try:
        pq.write_table(table, file, row_group_size=GROUP_ROWS, compression="zstd")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        file.seek(0)
        file.truncate()
        pq.write_table(_plain(table), file, row_group_size=GROUP_ROWS, compression="zstd")


def _plain(table: pa.Table) -> pa.Table:
    for place, name in enumerate(table.column_names):
        if name not in COLUMNS.names and not pa.types.is_primitive(table.schema.field(name).type):
            table = table.set_column(place, name, as_text(table.column(name).to_pylist()))
    return table


def tables_of(parts: list[Part], known: Types) -> tuple[list[pa.Table], dict[str, pa.DataType]]:
    """The parts as tables of one schema, and its types; columns that the stream had before fit its earlier rows too."""
    found = agree(types_of(part.rows.schema) for part in parts)
    both = agree([known, found])
    types = {name: both[name] for name in found}
    while True:
        try:
            return [fitted(part.rows, types) for part in parts], types
        except Misfit as misfit:
            types[misfit.name] = pa.string()


def body_of(batch: pa.RecordBatch) -> bytes:
    """A batch as an Arrow stream."""
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_batch(batch)
    body: bytes = out.getvalue().to_pybytes()
    return body


def batch_of(body: bytes) -> pa.RecordBatch:
    """The batch that `body_of` spelled."""
    with pa.ipc.open_stream(body) as stream:
        return stream.read_next_batch()
