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
        versions = _names(_column(batch, columns.model_version, "model_version"), columns.model_version)
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


def _names(values: pa.Array, column: str) -> pa.Array:
    """Versions and row ids as text: a whole number reads the same from every type; blank text and NaN name nobody."""
    try:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_floating(values.type):
            finite = pc.if_else(pc.is_finite(values), values, None)
            whole = pc.all(pc.equal(finite, pc.trunc(finite)), min_count=0).as_py()
            values = finite.cast(pa.int64()) if whole else finite
        text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    except pa.ArrowException as error:
        raise SourceError(f"column {column!r} holds {values.type}, where a number or text was expected") from error
    return pc.if_else(pc.equal(text, ""), None, text)


def _at(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", "UTC"))


def _join_labels(table: pa.Table, labels: Iterator[pa.RecordBatch], columns: Columns) -> pa.Table:
    """Put the labels beside the rows by row id; the first label of an id is kept, and null where there is none."""
    row_id, label = columns.row_id, columns.label
    if row_id is None or label is None:
        raise SourceError("labels from their own source need columns.row_id and columns.label")
    wanted = _names(_column(table, row_id, "row_id").combine_chunks(), row_id)
    found: list[pa.Table] = []
    for batch in labels:
        missing = [name for name in (row_id, label) if name not in batch.schema.names]
        if missing:
            raise SourceError(f"the labels have no column {missing[0]!r}; they have {', '.join(batch.schema.names)}")
        ids, values = _names(batch.column(row_id), row_id), batch.column(label)
        known = pc.and_(pc.is_in(ids, value_set=wanted, skip_nulls=True), pc.is_valid(values))
        found.append(pa.table({row_id: ids, label: values}).filter(known))
    names = [name for name in table.column_names if name != label]
    if not found:
        return table.select(names).append_column(label, pa.nulls(table.num_rows))
    try:
        joined = pa.concat_tables(found, promote_options="permissive").combine_chunks()
    except pa.ArrowTypeError as error:
        raise SourceError(f"the labels in column {label!r} are not of one type: {error}") from error
    first = pc.index_in(wanted, value_set=joined.column(row_id).combine_chunks())
    return table.select(names).append_column(label, joined.column(label).take(first))


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
