"""Production rows arriving: one Parquet file a window, with made-up times of day."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.domain.monitor import Window

HOUR = timedelta(hours=1)


def last_hours(count: int, now: datetime) -> list[Window]:
    """The `count` full hours before `now` (UTC), oldest first.

    >>> from datetime import UTC
    >>> [str(window) for window in last_hours(1, datetime(2026, 1, 1, 9, 30, tzinfo=UTC))]
    ['2026-01-01T08:00:00Z/2026-01-01T09:00:00Z']
    """
    end = now.replace(minute=0, second=0, microsecond=0)
    return [Window(end - back * HOUR, end - (back - 1) * HOUR) for back in range(count, 0, -1)]


def publish(answered: pa.Table, version: str, window: Window, folder: Path) -> Path:
    """Write what one version answered in one window, whole or not at all; the file.

    Neither data set knows when its rows happened: `at` spreads them evenly over the window.
    """
    step = (window.end - window.start) / answered.num_rows
    moments = [window.start + step * row for row in range(answered.num_rows)]
    table = answered.append_column("at", pa.array(moments, pa.timestamp("us", tz="UTC")))
    table = table.append_column("model_version", pa.array(np.full(answered.num_rows, version)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{window.start:%Y-%m-%dT%H}.parquet"
    written = path.with_suffix(".part")
    pq.write_table(table, written)
    os.replace(written, path)
    return path
