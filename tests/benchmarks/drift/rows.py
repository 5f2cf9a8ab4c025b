"""Rows that the speed and memory programs count: numbers of four shapes, and categories of 3 to 200 names."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 131_072
NAMES = (3, 5, 8, 12, 20, 30, 50, 80, 100, 200)


def table(rows: int, numeric: int, categorical: int, seed: int) -> pa.Table:
    """Normal, log-normal, gamma, and exponential with a third of zeros, in turn; category k is 1/k as frequent."""
    rng = np.random.default_rng(seed)
    shapes: list[Callable[[], np.ndarray]] = [
        lambda: rng.normal(50, 10, rows),
        lambda: rng.lognormal(3, 1, rows),
        lambda: rng.gamma(2, 5, rows),
        lambda: np.where(rng.random(rows) < 0.3, 0.0, rng.exponential(100, rows)),
    ]
    columns = {f"number {index}": pa.array(shapes[index % len(shapes)]()) for index in range(numeric)}
    for index in range(categorical):
        size = NAMES[index % len(NAMES)]
        share = 1 / np.arange(1, size + 1)
        names = pa.array([f"category {name}" for name in range(size)])
        columns[f"category {index}"] = names.take(pa.array(rng.choice(size, rows, p=share / share.sum())))
    return pa.table(columns)


def write(path: Path, rows: int, numeric: int, categorical: int, seed: int) -> Path:
    """The same as a Parquet file of row groups of 131,072, made a group at a time."""
    with pq.ParquetWriter(path, table(0, numeric, categorical, seed).schema) as writer:
        for first in range(0, rows, GROUP):
            writer.write_table(table(min(GROUP, rows - first), numeric, categorical, seed + first), GROUP)
    return path


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(works: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each of `works` returned in `repeats` rounds, each called once a round."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            found[name].append(work())
    return found


def median(values: list[float]) -> float:
    """The middle one, or the mean of the middle two."""
    return statistics.median(values)
