"""What the tests of the log share: a log that writes soon, a wait for a condition, and every row there is to read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from ulid import ULID

from controlplane.domain.monitor import Columns, Window
from controlplane.log import InferenceLog
from controlplane.log.folder import Folder
from controlplane.log.frames import BATCH, Frame
from controlplane.log.making import Maker
from controlplane.log.parts import body_of
from controlplane.log.rows import Redaction, Request
from controlplane.log.writer import Writer
from controlplane.sources.log import Log


def opened(folder: Path, **options: Any) -> InferenceLog:
    """A log that closes a file every tenth of a second."""
    return InferenceLog(str(folder), **{"rotate_every": 0.1, **options})


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)


def rows_in(folder: Path | str, window: Window | None = None, **options: Any) -> pa.Table:
    """The rows as a monitor gets them."""
    source = Log(Log.Params(str(folder), **options), Columns("event_time"))
    found = [pa.Table.from_batches([batch]) for batch in source.fetch(window)]
    return pa.concat_tables(found, promote_options="default") if found else pa.table({})


def files_in(folder: Path) -> list[Path]:
    """The files that anybody sees."""
    return sorted(path for path in folder.rglob("*.parquet") if not path.name.startswith("."))


def write(log: InferenceLog, *numbers: int, **options: Any) -> None:
    """One request a number: its id, and a frame of one row."""
    for number in numbers:
        given = {"version": "1", "inputs": pd.DataFrame({"x": [number]}), "outputs": [number / 2], **options}
        log.write(request_id=f"r{number}", **given)


def adds_up(log: InferenceLog) -> bool:
    """Whether every row is counted as exactly one thing."""
    counts = log.counts
    settled = counts.sampled_out + counts.written + counts.dropped + counts.lost
    return counts.taken == settled + counts.waiting


def put(folder: Path, requests: list[Request], **options: Any) -> list[str]:
    """Write requests as a log does, in this process; returns the warnings."""
    warned: list[str] = []
    key, rate = options.pop("key", b""), options.pop("rate", 1.0)
    redaction = Redaction(**{name: frozenset(names) for name, names in options.items()}, key=key)
    maker = Maker(rate, redaction, lambda rows: None, lambda rows: None, warned.append)
    settings = {"stream": str(ULID()), "rate": 1.0, "rotate_every": 10, "rotate_bytes": 1 << 20, "resumed": False}
    troubles: list[Any] = []
    writer = Writer(Folder(str(folder)), settings, troubles.append)
    for number, batch in enumerate(maker.batches(requests), 1):
        writer.take(Frame(BATCH, number, 0, body_of(batch)))
    writer.write_due(everything=True)
    assert writer.empty, troubles
    return warned
