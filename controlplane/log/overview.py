"""What a log holds: rows, files and bytes, from when to when, by version, role and status, and what it dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile

from controlplane.log.folder import Folder
from controlplane.log.layout import LogFile, visible

_COUNTED = ("model_version", "role", "status")


@dataclass
class Overview:
    """A log summed up. `dropped` is what its files tell of; `first` and `last` are event times, None of an empty log.

    `mergeable` files lie within another one or share their hour and stream with others; `unreadable` ones are not
    counted further.
    """

    rows: int = 0
    files: int = 0
    bytes: int = 0
    hours: int = 0
    streams: int = 0
    mergeable: int = 0
    dropped: int = 0
    first: datetime | None = None
    last: datetime | None = None
    versions: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)


def look(folder: Folder) -> Overview:
    """Sum a log up; reads the footers and three columns of each file."""
    found, streams = Overview(), set()
    for hour in folder.hours():
        files = folder.files(hour)
        kept = visible(files)
        own = {file.stream for file in kept}
        streams |= own
        found.hours += bool(files)
        found.files += len(files)
        found.bytes += sum(file.size for file in files)
        found.mergeable += len(files) - len(own)
        for file in kept:
            try:
                _add(found, folder, file)
            except (OSError, ValueError, KeyError):
                found.unreadable.append(file.path)
    found.streams = len(streams)
    return found


def _add(found: Overview, folder: Folder, file: LogFile) -> None:
    with folder.open(file) as opened:
        footer = ParquetFile(opened, pre_buffer=False)
        table = footer.read([*_COUNTED, "event_time"])
        dropped = int((footer.schema_arrow.metadata or {}).get(b"controlplane.dropped", 0))
    found.rows += len(table)
    found.dropped += dropped
    for name, counter in zip(_COUNTED, (found.versions, found.roles, found.statuses), strict=True):
        for each in pc.value_counts(table[name]).to_pylist():
            counter[str(each["values"])] += each["counts"]
    span = pc.min_max(table["event_time"]).as_py()
    if span["min"] is not None:
        found.first = min(filter(None, (found.first, span["min"])))
        found.last = max(filter(None, (found.last, span["max"])))
