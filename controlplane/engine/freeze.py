"""The frozen sample: a window's rows, split by the version that answered them, capped, and kept by digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.alias import Span
from controlplane.domain.monitor import Columns
from controlplane.errors import SourceError
from controlplane.profiles import ProfileBuilder, Reference, Sampler


@dataclass(frozen=True, slots=True)
class Frozen:
    """What one version answered in a window: how many rows, which of them were kept, and the profile of all."""

    version: str
    n_rows: int
    sample_digest: str
    sample_rate: float
    profile: bytes | None = None


@dataclass(slots=True)
class _Part:
    sampler: Sampler
    builder: ProfileBuilder | None
    n_rows: int = 0


def freeze(
    batches: Iterable[pa.RecordBatch],
    columns: Columns,
    spans: Sequence[Span],
    cap: int,
    seed: int,
    reference_of: Callable[[str], Reference | None],
    labels: Callable[[], Iterator[pa.RecordBatch]] | None,
    path_of: Callable[[str], Path],
) -> tuple[list[Frozen], int]:
    """Take one pass over the batches in bounded memory; returns the parts and how many rows nobody can be named for.

    A row's version is its `model_version` where the rows carry one, else the holder of the alias at its event time.
    Raises SourceError where a named column is not there.
    """
    parts: dict[str, _Part] = {}
    unknown = 0
    for batch in batches:
        for version, rows in _split(batch, columns, spans):
            if version is None:
                unknown += rows.num_rows
                continue
            if version not in parts:
                reference = reference_of(version)
                builder = None if reference is None else ProfileBuilder(reference.profile.bins)
                parts[version] = _Part(Sampler(cap, columns.row_id, seed), builder)
            part = parts[version]
            part.n_rows += rows.num_rows
            part.sampler.add(rows)
            if part.builder is not None:
                part.builder.add(rows)
    frozen = []
    for version, part in sorted(parts.items()):
        table, rate = part.sampler.table()
        if labels is not None:
            table = _join_labels(table, labels(), columns)
        digest = write_table(table, path_of)
        profile = None if part.builder is None else part.builder.build().to_bytes()
        frozen.append(Frozen(version, part.n_rows, digest, rate, profile))
    return frozen, unknown


def _split(
    batch: pa.RecordBatch, columns: Columns, spans: Sequence[Span]
) -> Iterator[tuple[str | None, pa.RecordBatch]]:
    if batch.num_rows == 0:
        return
    if columns.model_version is not None:
        if columns.model_version not in batch.schema.names:
            raise SourceError(f"the rows have no column {columns.model_version!r}, named as columns.model_version")
        versions = batch.column(columns.model_version).cast(pa.string())
        for version in pc.unique(versions).to_pylist():
            mask = pc.is_null(versions) if version is None else pc.equal(versions, version)
            yield version, batch.filter(pc.fill_null(mask, False))
        return
    times = batch.column(columns.event_time)
    for span in spans:
        rows = batch.filter(pc.and_(pc.greater_equal(times, _at(span.start)), pc.less(times, _at(span.end))))
        if rows.num_rows:
            yield span.version, rows


def _at(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", "UTC"))


def _join_labels(table: pa.Table, labels: Iterator[pa.RecordBatch], columns: Columns) -> pa.Table:
    """Put the labels beside the rows by row id; the first label of an id is kept, a missing one is null."""
    row_id, label = columns.row_id, columns.label
    if row_id is None or label is None:
        raise SourceError("labels from their own source need columns.row_id and columns.label")
    wanted = table.column(row_id).cast(pa.string()).combine_chunks()
    found: list[pa.Table] = []
    for batch in labels:
        missing = [name for name in (row_id, label) if name not in batch.schema.names]
        if missing:
            raise SourceError(f"the labels have no column {missing[0]!r}; they have {', '.join(batch.schema.names)}")
        ids = batch.column(row_id).cast(pa.string())
        rows = pa.table({row_id: ids, label: batch.column(label)})
        found.append(rows.filter(pc.is_in(ids, value_set=wanted)))
    names = [name for name in table.column_names if name != label]
    if not found:
        return table.select(names).append_column(label, pa.nulls(table.num_rows))
    known = pa.concat_tables(found, promote_options="default").combine_chunks()
    first = pc.index_in(wanted, value_set=known.column(row_id).combine_chunks())
    return table.select(names).append_column(label, known.column(label).take(first))


def write_table(table: pa.Table, path_of: Callable[[str], Path]) -> str:
    """Write a table as an Arrow file named by the SHA-256 of its bytes; whole or not at all. Returns the digest."""
    folder = path_of("x").parent
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            # One batch, so that the bytes do not depend on how the rows arrived.
            writer.write_table(table.combine_chunks())
        name = file.name
    try:
        with open(name, "rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        os.replace(name, path_of(digest))
    finally:
        Path(name).unlink(missing_ok=True)
    return digest


def read_table(path: Path) -> pa.Table:
    """The rows of an Arrow file, memory-mapped: many children share one copy."""
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()
