"""Production rows arriving, as the demo's services and the drills' sandboxes make them: one Parquet file a window."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.domain.monitor import Columns, Window


def publish(answered: pa.Table, columns: Columns, version: str, span: Window, folder: Path) -> Path:
    """Write what one version answered in `span`, whole or not at all; the file.

    Rows that do not know when they happened are spread evenly over the span.
    """
    step = (span.end - span.start) / max(answered.num_rows, 1)
    moments = [span.start + step * row for row in range(answered.num_rows)]
    table = answered.append_column(columns.event_time, pa.array(moments, pa.timestamp("us", tz="UTC")))
    if columns.model_version is not None:
        table = table.append_column(columns.model_version, pa.array(np.full(answered.num_rows, version)))
    return write(table, folder / f"{span.start:%Y-%m-%dT%H%M}.parquet")


def write(table: pa.Table, path: Path) -> Path:
    """Write a Parquet file, whole or not at all; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".part")
    pq.write_table(table, written)
    os.replace(written, path)
    return path
