"""The frozen sample: a window's rows, split by the version that answered them, capped, and kept by digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.alias import Span
from controlplane.domain.monitor import Columns
from controlplane.engine.labels import Labels, join, names, row_ids
from controlplane.errors import SourceError
from controlplane.profiles import ProfileBuilder, Reference, Sampler
from controlplane.profiles.requests import RequestBuilder, answered


@dataclass(frozen=True, slots=True)
class Frozen:
    """What one version answered in a window: how many rows, which of them were kept, and the profile of all.

    Of the `kept` rows `labelled` bear a label from a source of their own, `changed` of which took another value later;
    None where labels come with the rows. `failed` counts the rows whose request failed, which are none of them;
    `requests_digest` names the requests, those among them (None: the rows tell of none).
    """

    version: str
    n_rows: int
    sample_digest: str
    sample_rate: float
    profile: bytes | None = None
    kept: int = 0
    labelled: int | None = None
    changed: int = 0
    failed: int = 0
    requests_digest: str | None = None


@dataclass(slots=True)
class _Part:
    sampler: Sampler
    builder: ProfileBuilder | None
    requests: RequestBuilder | None
    schema: pa.Schema
    n_rows: int = 0
    failed: int = 0

    def add(self, batch: pa.RecordBatch, columns: Columns) -> None:
        """Take in rows: those of failed requests are requests, and nothing else."""
        rows = answered(batch, columns)
        self.failed += batch.num_rows - rows.num_rows
        if self.requests is not None:
            self.requests.add(batch)
        if not rows.num_rows:
            return
        self.n_rows += rows.num_rows
        self.sampler.add(rows)
        if self.builder is not None:
            self.builder.add(rows)


def freeze(
    batches: Iterable[pa.RecordBatch],
    columns: Columns,
    spans: Sequence[Span],
    cap: int,
    seed: int,
    reference_of: Callable[[str], Reference | None],
    labels: Labels | None,
    path_of: Callable[[str], Path],
) -> tuple[list[Frozen], int]:
    """Take one pass over the batches in bounded memory; returns the parts and how many rows nobody can be named for.

    A row's version is its `model_version` where the rows carry one, else the holder of the alias at its event time. A
    version whose every request failed is a part without rows.
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
                requests = None if columns.status is None else RequestBuilder(columns, cap, seed)
                parts[version] = _Part(Sampler(cap, columns.row_id, seed), builder, requests, rows.schema)
            parts[version].add(rows, columns)
    frozen = []
    for version, part in sorted(parts.items()):
        table, rate = part.sampler.table() if part.n_rows else (part.schema.empty_table(), 1.0)
        joined = None
        if labels is not None:
            joined = join(table, labels.of(row_ids(table, columns)), columns)
            table = joined.table
        found = Frozen(
            version,
            part.n_rows,
            write_table(table, path_of),
            rate,
            None if part.builder is None else part.builder.build().to_bytes(),
            table.num_rows,
            failed=part.failed,
            requests_digest=None if part.requests is None else write_table(part.requests.build().to_table(), path_of),
        )
        frozen.append(found if joined is None else replace(found, labelled=joined.labelled, changed=joined.changed))
    return frozen, unknown


def _split(
    batch: pa.RecordBatch, columns: Columns, spans: Sequence[Span]
) -> Iterator[tuple[str | None, pa.RecordBatch]]:
    if batch.num_rows == 0:
        return
    if columns.model_version is not None:
        versions = names(_column(batch, columns.model_version, "model_version"), columns.model_version)
        for version in pc.unique(versions).to_pylist():
            mask = pc.is_null(versions) if version is None else pc.equal(versions, version)
            yield version, batch.filter(pc.fill_null(mask, False))
        return
    times = _column(batch, columns.event_time, "event_time")
    for span in spans:
        rows = batch.filter(pc.and_(pc.greater_equal(times, _at(span.start)), pc.less(times, _at(span.end))))
        if rows.num_rows:
            yield span.version, rows


def _column(rows: pa.RecordBatch | pa.Table, name: str, part: str) -> pa.Array | pa.ChunkedArray:
    if name not in rows.schema.names:
        raise SourceError(f"the rows have no column {name!r}, named as columns.{part}")
    return rows.column(name)


def _at(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", "UTC"))


def write_table(table: pa.Table, path_of: Callable[[str], Path]) -> str:
    """Write a table as an Arrow file named by the SHA-256 of its bytes; whole or not at all. Returns the digest."""
    folder = path_of("x").parent
    folder.mkdir(parents=True, exist_ok=True)
    table = _settled(table)
    with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        part = Path(file.name)
    try:
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with part.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        os.replace(part, path_of(digest))
    finally:
        part.unlink(missing_ok=True)
    return digest


def _settled(table: pa.Table) -> pa.Table:
    """One batch, and categories in order of first use: the bytes do not depend on how the rows arrived."""
    table = table.combine_chunks()
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            values = table.column(index).cast(field.type.value_type)
            table = table.set_column(index, field.name, values.dictionary_encode())
    return table


def read_table(path: Path) -> pa.Table:
    """The rows of an Arrow file, memory-mapped: many children share one copy."""
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()
