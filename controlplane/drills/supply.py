"""Healthy rows for a sandbox's windows: the reference's own, drawn with a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.monitor import Columns, Window

DAY = timedelta(days=1)
FEWEST = 30


@dataclass(frozen=True, slots=True)
class Supply:
    """Reference rows and how many of them a window takes; the same seed draws the same windows."""

    rows: pa.Table
    columns: Columns
    usual: int
    seed: int = 0

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that models are asked with."""
        return self.columns.features_of(self.rows.column_names)

    @property
    def labelled(self) -> bool:
        """Whether any row bears a label."""
        label = self.columns.label
        return label in self.rows.column_names and self.rows[label].null_count < self.rows.num_rows

    def draw(self, span: Window, number: int) -> pa.Table:
        """The rows of window `number`, each once, with ids of their own; without times, answers and versions.

        Each is a request that was answered, in the time that its row in the reference took, or else in a millisecond.

        Where the reference knows when its rows happened, they are those of the same hours of the week, or of the day,
        so that a season is where the calibration expects it.
        """
        pool = self._same_hours(span)
        n = len(pool)
        chosen = np.random.default_rng([self.seed, number]).choice(n, min(self.usual, n), replace=False)
        columns = self.columns
        gone = {columns.event_time, columns.model_version, columns.prediction, columns.probability, columns.row_id}
        gone |= {columns.status, columns.request}
        kept = [name for name in self.rows.column_names if name not in gone]
        rows = self.rows.select(kept).take(pa.array(pool[np.sort(chosen)]))
        ids = pa.array([f"drill-{number}-{row}" for row in range(len(chosen))])
        made = {columns.row_id: ids, columns.request: ids, columns.status: pa.array([200] * len(ids), pa.int64())}
        if columns.latency not in kept:
            made[columns.latency] = pa.array([1.0] * len(ids))
        for name, values in made.items():
            if name is not None:
                rows = rows.append_column(name, values)
        return rows

    def _same_hours(self, span: Window) -> np.ndarray:
        """The places of the rows that may be drawn for a span: those of its hours where there are enough, else all."""
        everything = np.arange(self.rows.num_rows)
        micros = _micros(self.rows, self.columns.event_time)
        if micros is None:
            return everything
        covered = timedelta(microseconds=int(micros.max() - micros.min()))
        for period in (7 * DAY, DAY):
            if covered >= period and span.end - span.start <= period:
                into = (micros - _stamp(span.start)) % (period // timedelta(microseconds=1))
                found = everything[into < (span.end - span.start) // timedelta(microseconds=1)]
                if len(found) >= max(FEWEST, min(self.usual, len(everything)) // 2):
                    return found
        return everything


def rows_in(rows: pa.Table, event_time: str, length: timedelta) -> int | None:
    """How many of the rows happened in a stretch so long, on average; None where they do not say when."""
    micros = _micros(rows, event_time)
    if micros is None:
        return None
    covered = timedelta(microseconds=int(micros.max() - micros.min()))
    return max(1, round(float(rows.num_rows) / max(1.0, covered / length)))


def shifted(rows: pa.Table, reference: pa.Table, names: Sequence[str], size: float) -> pa.Table:
    """The rows with each named column moved up by `size` standard deviations of the reference; types stay."""
    for name in names:
        spread = float(np.nanstd(_numbers(reference[name]))) or 1.0
        moved = _numbers(rows[name]) + size * spread
        kind = rows.schema.field(name).type
        if pa.types.is_integer(kind):
            step = round(size * spread) or int(np.sign(size))
            moved = _numbers(rows[name]) + step
        values = pa.array(moved, from_pandas=True).cast(kind, safe=False)
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)
    return rows


def numeric(rows: pa.Table, features: Sequence[str]) -> list[str]:
    """The features that hold numbers of more than two values, of which a shift makes no new kind of value."""
    numbers = [name for name in features if _is_number(rows.schema.field(name).type)]
    many = [name for name in numbers if pc.count_distinct(rows[name]).as_py() > 2]
    return many or numbers


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _micros(rows: pa.Table, event_time: str) -> np.ndarray | None:
    if event_time not in rows.column_names or not pa.types.is_temporal(rows.schema.field(event_time).type):
        return None
    times = rows[event_time]
    if times.null_count or not rows.num_rows or pa.types.is_time(times.type):
        return None
    return np.asarray(times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy())


def _stamp(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
