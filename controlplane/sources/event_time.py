"""Event time, however it is spelled, as UTC microseconds; and which rows a window holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.monitor import Window
from controlplane.errors import SourceError
from controlplane.sources.sentences import one_line

EVENT_TIME = pa.timestamp("us", "UTC")
VALID = "a timestamp, a date, or text in ISO 8601 such as 2026-01-01T00:00:00Z"
_ZONED = r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$"


def normalise(values: pa.Array, column: str, where: str) -> pa.Array:
    """The event times as `timestamp[us, UTC]`, nulls kept; raises SourceError for what is not a time.

    A time without a zone is read as UTC, a date as its midnight in UTC, and digits finer than a microsecond are cut
    off, so that a row never moves into a later window.

    >>> normalise(pa.array(["2026-01-01T02:00:00+02:00", "2026-01-01"]), "at", "rows.csv").to_pylist()[0].isoformat()
    '2026-01-01T00:00:00+00:00'
    >>> normalise(pa.array([3]), "at", "rows.csv")
    Traceback (most recent call last):
    ...
    controlplane.errors.SourceError: event time column 'at' of rows.csv is int64; valid: a timestamp, a date, or text \
in ISO 8601 such as 2026-01-01T00:00:00Z
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    try:
        if pa.types.is_timestamp(kind):
            zoned = values.cast(pa.timestamp(kind.unit, "UTC"))
            return (pc.floor_temporal(zoned, unit="microsecond") if kind.unit == "ns" else zoned).cast(
                EVENT_TIME, safe=kind.unit != "ns"
            )
        if pa.types.is_date(kind):
            return values.cast(pa.timestamp("us")).cast(EVENT_TIME)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return _parse(values.cast(pa.string()))
        if pa.types.is_null(kind):
            return values.cast(EVENT_TIME)
    except pa.ArrowInvalid as error:
        raise SourceError(f"event time column {column!r} of {where}: {one_line(error)}; valid: {VALID}") from error
    raise SourceError(f"event time column {column!r} of {where} is {kind}; valid: {VALID}")


def inside(times: pa.Array, window: Window) -> pa.Array:
    """A mask of the rows with `start <= time < end`; a row without a time is in no window."""
    start, end = pa.scalar(window.start, EVENT_TIME), pa.scalar(window.end, EVENT_TIME)
    return pc.and_(pc.greater_equal(times, start), pc.less(times, end))


def count_inside(batches: Iterable[pa.RecordBatch], event_time: str, windows: Sequence[Window]) -> list[int]:
    """How many rows of batches as `fetch` gives them lie in each window; windows may overlap."""
    edges = [pa.array([getattr(each, end) for each in windows], EVENT_TIME) for end in ("start", "end")]
    first, last = (edge.cast(pa.int64()).to_numpy() for edge in edges)
    counts = np.zeros(len(windows), np.int64)
    for batch in batches:
        times = np.sort(batch.column(event_time).drop_null().cast(pa.int64()).to_numpy())
        counts += np.searchsorted(times, last) - np.searchsorted(times, first)
    return [int(count) for count in counts]


def _parse(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"(\.\d{6})\d+", r"\1")
    zoned = pc.match_substring_regex(text, _ZONED)
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(zoned, text, nothing).cast(EVENT_TIME)
    without = pc.if_else(zoned, nothing, text).cast(pa.timestamp("us")).cast(EVENT_TIME)
    return pc.coalesce(with_zone, without)
