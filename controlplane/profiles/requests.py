"""Requests: what a serving side was asked, one row each, answered or failed; kept apart from the rows it answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.profiles.sampling import Sampler

FAILED = 400
LEAST_STATUS, MOST_STATUS = 100, 599
AT, STATUS, LATENCY, ROWS = "at", "status", "latency", "rows"
_ID = "id"
_RATE = b"controlplane.rate"
_STAMP = pa.timestamp("us", "UTC")
_Rows = TypeVar("_Rows", pa.RecordBatch, pa.Table)


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of one version, a sample by hash of their ids at `rate`.

    `table` has the columns `at` (timestamp), `status` (HTTP), `latency` (milliseconds) and `rows` (how many rows each
    had); null where it is not known.
    """

    table: pa.Table
    rate: float = 1.0

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def within(self, window: Window) -> Requests:
        """Those that happened in a window."""
        start, end = (pa.scalar(moment, _STAMP) for moment in (window.start, window.end))
        times = self.table[AT]
        return replace(self, table=self.table.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end))))

    def to_table(self) -> pa.Table:
        """The requests as one table that bears its rate."""
        return self.table.replace_schema_metadata({_RATE: repr(self.rate).encode()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Requests:
        """The inverse of `to_table`."""
        return cls(table, float((table.schema.metadata or {}).get(_RATE, b"1.0")))


def answered(rows: _Rows, columns: Columns) -> _Rows:
    """The rows whose request did not fail: those of a status below 400, and of none that can be read as one.

    >>> rows = pa.table({"at": [1, 2, 3], "code": [200, 500, None]})
    >>> answered(rows, Columns("at", status="code"))["at"].to_pylist()
    [1, 3]
    """
    if columns.status is None:
        return rows
    failed = pc.fill_null(pc.greater_equal(_statuses(rows, columns.status), FAILED), False)
    return rows.filter(pc.invert(failed)) if pc.any(failed).as_py() else rows


def told_by(columns: Columns, names: Collection[str]) -> Columns:
    """The columns, without the parts of a request that rows of these names do not bear; of a reference, which may be
    a plain file of rows. Without `status` it tells of no requests at all."""
    status, latency, request = (
        name if name in names else None for name in (columns.status, columns.latency, columns.request)
    )
    return replace(columns, status=status, latency=latency, request=request)


class RequestBuilder:
    """Gathers the requests of a stream of rows in bounded memory: `cap` of them by a hash of their ids.

    Rows that share a request id are one request, whose status is the highest among them and whose time the first. Where
    no column of ids is named, or a row bears none, each row is a request.

    >>> rows = pa.record_batch({"code": [200, 200, 503], "call": ["a", "a", "b"], "ms": [8.0, 8.0, 30.0]})
    >>> builder = RequestBuilder(Columns("at", status="code", request="call", latency="ms"), cap=100)
    >>> builder.add(rows).build().table.select(["status", "latency", "rows"]).to_pylist()[0]
    {'status': 200, 'latency': 8.0, 'rows': 2}
    """

    def __init__(self, columns: Columns, cap: int, seed: int = 0) -> None:
        self._columns = columns
        self._sampler = Sampler(cap, _ID, seed)
        self._seen = 0

    def add(self, batch: pa.RecordBatch) -> RequestBuilder:
        """Take in one batch; raises SourceError for a named column that is not there or cannot be read."""
        columns = self._columns
        assert columns.status is not None
        n = batch.num_rows
        known = {
            AT: _times(batch, columns.event_time),
            STATUS: _statuses(batch, columns.status),
            LATENCY: pa.nulls(n, pa.float64()) if columns.latency is None else _latencies(batch, columns.latency),
            ROWS: pa.array([1] * n, pa.int64()),
        }
        if columns.request is not None:
            known[_ID] = self._ids(_column(batch, columns.request, "request"))
        elif columns.row_id in batch.schema.names:
            known[_ID] = self._ids(batch.column(columns.row_id))
        self._seen += n
        found = pa.table(known)
        for part in (_grouped(found) if columns.request is not None else found).to_batches():
            self._sampler.add(part)
        return self

    def build(self) -> Requests:
        """The requests of what was added so far."""
        table, rate = self._sampler.table()
        if not table.num_rows:
            table = pa.schema([(AT, _STAMP), (STATUS, pa.int64()), (LATENCY, pa.float64()), (ROWS, pa.int64())])
            return Requests(table.empty_table(), rate)
        whole = _grouped(table) if self._columns.request is not None else table
        return Requests(whole.select([AT, STATUS, LATENCY, ROWS]).combine_chunks(), rate)

    def _ids(self, values: pa.Array) -> pa.Array:
        ids = _plain(values).cast(pa.string())
        if not ids.null_count:
            return ids
        return pc.coalesce(ids, pa.array([f"\0{self._seen + place}" for place in range(len(ids))]))


def _grouped(rows: pa.Table) -> pa.Table:
    """One row a request id, in the order of their first rows."""
    how = {AT: "min", STATUS: "max", LATENCY: "max", ROWS: "sum"}
    found = rows.group_by(_ID, use_threads=False).aggregate(list(how.items()))
    return found.select([*(f"{name}_{kind}" for name, kind in how.items()), _ID]).rename_columns([*how, _ID])


def _column(rows: pa.RecordBatch | pa.Table, name: str, part: str) -> pa.Array | pa.ChunkedArray:
    if name not in rows.schema.names:
        raise SourceError(f"the rows have no column {name!r}, named as columns.{part}")
    return rows.column(name)


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _times(batch: pa.RecordBatch, name: str) -> pa.Array:
    """When each row happened; null in a reference that does not say so."""
    if name not in batch.schema.names or not pa.types.is_timestamp(batch.schema.field(name).type):
        return pa.nulls(batch.num_rows, _STAMP)
    return batch.column(name).cast(_STAMP, safe=False)


def _statuses(rows: pa.RecordBatch | pa.Table, name: str) -> pa.Array | pa.ChunkedArray:
    """HTTP statuses as whole numbers; null for what lies outside their range."""
    values = _plain(_column(rows, name, "status"))
    if pa.types.is_boolean(values.type):
        raise SourceError(f"column {name!r} holds {values.type}, where an HTTP status such as 200 was expected")
    try:
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_finite(values), values, None)
        inside = values if pa.types.is_floating(values.type) else values.cast(pa.int64())
        known = pc.and_(pc.greater_equal(inside, LEAST_STATUS), pc.less_equal(inside, MOST_STATUS))
        return pc.if_else(known, inside, None).cast(pa.int64())
    except pa.ArrowException:
        said = f"column {name!r} holds {values.type} that is no whole number, where an HTTP status such as 200"
        raise SourceError(f"{said} was expected") from None


def _latencies(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Milliseconds; null for what is none: not finite, or below zero."""
    values = _plain(_column(batch, name, "latency"))
    try:
        numbers = values.cast(pa.float64())
    except pa.ArrowException:
        raise SourceError(f"column {name!r} holds {values.type}, where milliseconds were expected") from None
    return pc.if_else(pc.and_(pc.is_finite(numbers), pc.greater_equal(numbers, 0.0)), numbers, None)
