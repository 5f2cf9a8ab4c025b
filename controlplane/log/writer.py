"""The process that writes a log's files: `python -m controlplane.log.writer`, started by the server's process.

It takes numbered batches from its standard input and says on its standard output which of them are on disk for good.
It ends with its parent, after writing what it has. Nothing but Arrow and fsspec is imported, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.log.compaction import compact, prune
from controlplane.log.folder import Folder
from controlplane.log.frames import BATCH, Frame, frames
from controlplane.log.layout import HOUR, LogFile, file_name
from controlplane.log.parts import Part, Waiting, batch_of, by_hour, metadata_of, tables_of, write
from controlplane.log.types import agree

# Rows of an hour may come some time after it.
_GRACE = timedelta(minutes=1)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_ORPHAN_SECONDS = 30.0

Tell = Callable[[dict[str, Any]], None]


class Writer:
    """Keeps rows by hour, and closes a file for each by time and size.

    What cannot be written stays and is tried again, with growing pauses; `tell` hears of it. A batch is told as durable
    once all of its rows are in files under their final names. `resumed` says that another process began the stream:
    what its files hold already is then not written again.
    """

    def __init__(self, folder: Folder, settings: dict[str, Any], tell: Tell) -> None:
        self._folder, self._tell = folder, tell
        self._stream, self._rate = str(settings["stream"]), float(settings["rate"])
        self._every, self._bytes = float(settings["rotate_every"]), int(settings["rotate_bytes"])
        self._resumed = bool(settings["resumed"])
        self._waiting: dict[datetime, Waiting] = {}
        self._open: dict[int, int] = {}
        self._held: dict[datetime, list[tuple[int, int]]] = {}
        self._types: dict[str, pa.DataType] = {}
        self._pause, self._again = 0.0, 0.0

    def take(self, frame: Frame) -> None:
        """Take in a batch."""
        pieces = list(by_hour(batch_of(frame.body)))
        self._open[frame.number] = len(pieces)
        dropped = frame.dropped
        for hour, rows in pieces:
            waiting = self._waiting.setdefault(hour, Waiting(time.monotonic()))
            waiting.add(Part(frame.number, rows, dropped))
            dropped = 0

    def write_due(self, everything: bool = False) -> None:
        """Write the hours whose time or size has come, or all."""
        now = time.monotonic()
        if now < self._again:
            return
        full = sum(waiting.size for waiting in self._waiting.values()) >= self._bytes
        for hour in sorted(self._waiting):
            if everything or full or now - self._waiting[hour].since >= self._every:
                try:
                    self._write(hour)
                except Exception as error:
                    # Plugins raise what they like, and whatever it is, the rows are kept and tried again.
                    self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                    self._again = time.monotonic() + self._pause
                    self._tell({"trouble": f"{type(error).__name__}: {error}"})
                    return
        if self._pause:
            self._pause = self._again = 0.0
            self._tell({"trouble": ""})

    def _write(self, hour: datetime) -> None:
        held = self._held_of(hour)
        parts = self._waiting[hour].parts
        new = [part for part in parts if not any(first <= part.number <= last for first, last in held)]
        if new:
            tables, types = tables_of(new, self._types)
            metadata = metadata_of(self._rate, sum(part.dropped for part in new))
            first, last = new[0].number, new[-1].number
            name = file_name(self._stream, first, last)
            self._folder.put(hour, name, lambda file: write(file, tables, metadata))
            held.append((first, last))
            self._types = agree([self._types, types])
        del self._waiting[hour]
        durable = []
        for part in parts:
            self._open[part.number] -= 1
            if not self._open[part.number]:
                del self._open[part.number]
                durable.append(part.number)
        self._tell({"durable": durable})

    def _held_of(self, hour: datetime) -> list[tuple[int, int]]:
        if hour not in self._held:
            files = self._folder.files(hour) if self._resumed else []
            mine = [file for file in files if file.stream == self._stream]
            self._held[hour] = [(file.first, file.last) for file in mine if self._is_whole(file)]
        return self._held[hour]

    def _is_whole(self, file: LogFile) -> bool:
        """Whether all of a file arrived; where a store shows one that did not, it is removed."""
        try:
            with self._folder.open(file) as opened:
                pq.ParquetFile(opened)
        except pa.ArrowInvalid:
            self._folder.remove(file)
            return False
        return True

    @property
    def empty(self) -> bool:
        """Whether everything taken is on disk."""
        return not self._waiting

    def wait_seconds(self) -> float:
        """How long nothing is due, at most a second."""
        due = [waiting.since + self._every for waiting in self._waiting.values()]
        soonest = max(min(due, default=float("inf")), self._again)
        return min(max(soonest - time.monotonic(), 0.0), 1.0)


class Tidy:
    """Merges the files of hours that are over and removes what is older than the log keeps, once an hour."""

    def __init__(self, folder: Folder, settings: dict[str, Any], tell: Tell) -> None:
        self._folder, self._stream, self._tell = folder, str(settings["stream"]), tell
        kept = settings["retain"]
        self._retain = None if kept is None else timedelta(seconds=kept)
        self._done: datetime | None = None
        self._thread: threading.Thread | None = None

    def begin(self, now: datetime) -> None:
        """Begin, if an hour is over; in a thread of its own, for the current hour's rows must not wait for it."""
        hour = (now - _GRACE).replace(minute=0, second=0, microsecond=0)
        if (self._done is not None and hour <= self._done) or (self._thread is not None and self._thread.is_alive()):
            return
        self._done = hour
        self._thread = threading.Thread(target=self._run, args=(hour, now), daemon=True)
        self._thread.start()

    def _run(self, hour: datetime, now: datetime) -> None:
        try:
            compact(self._folder, now, hour - 48 * HOUR, hour, self._stream)
            if self._retain is not None:
                prune(self._folder, now - self._retain)
        except Exception as error:
            self._tell({"untidy": f"{type(error).__name__}: {error}"})


def serve(source: BinaryIO, tell: Tell) -> None:
    """Write what comes until it ends; what cannot be written is tried again while there is a parent to count it."""
    received: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
    incoming = frames(source)
    settings = json.loads(next(incoming).body)

    def receive() -> None:
        for frame in incoming:
            received.put(frame)
        received.put(None)

    threading.Thread(target=receive, daemon=True).start()
    folder = Folder(settings["url"], settings["storage_options"])
    writer, tidy = Writer(folder, settings, tell), Tidy(folder, settings, tell)
    parent, ending, until = os.getppid(), False, float("inf")
    while not (ending and writer.empty) and time.monotonic() < until:
        orphan = os.getppid() != parent
        try:
            frame = received.get(timeout=max(writer.wait_seconds(), 0.001))
            if frame is not None and frame.kind == BATCH:
                writer.take(frame)
            else:
                ending, orphan = True, orphan or frame is None
        except queue.Empty:
            # Another child of the parent may hold the pipe open, so that its end is never seen.
            ending = ending or orphan
        if orphan and until == float("inf"):
            until = time.monotonic() + _ORPHAN_SECONDS
        writer.write_due(ending)
        if not ending:
            tidy.begin(datetime.now(UTC))


def main() -> None:
    """Run until the parent's end."""
    for each in (signal.SIGINT, signal.SIGTERM):
        # What ends the server must not end its log before the server has.
        signal.signal(each, signal.SIG_IGN)
    speaking = threading.Lock()

    def tell(said: dict[str, Any]) -> None:
        with speaking, suppress(OSError):
            # Where the parent is gone there is nobody to tell, and its rows are still to be written.
            os.write(1, json.dumps(said).encode() + b"\n")

    serve(sys.stdin.buffer, tell)
    # The thread that reads may be waiting for what never comes.
    os._exit(0)


if __name__ == "__main__":
    main()
