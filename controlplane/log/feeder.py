"""The thread between a server and its log's writer: it makes rows, sends them, and sends them again where that is due.

A batch is kept until the writer says that it is on disk. When the writer's process ends, a new one is started and
given what is kept; the names of the files tell it what is on disk already, so that no row is written twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from controlplane.errors import masked
from controlplane.log.folder import Folder
from controlplane.log.frames import END, Frame
from controlplane.log.ledger import Ledger, Sent
from controlplane.log.making import Maker
from controlplane.log.parts import batch_of, body_of, by_hour
from controlplane.log.process import WriterProcess
from controlplane.log.rows import Redaction, Request
from controlplane.log.shapes import array

_LOOK = 0.05
# A batch of few requests costs as much as one of many: few wait a while for more.
_FEW, _FEW_WAIT = 64, 0.25
_SLICE, _SLICE_BYTES = 128, 8 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_SETTLE_SECONDS = 2.0
_log = logging.getLogger("controlplane.log")


class Feeder:
    """Takes what waits in `queue` every 50 to 250 ms until it is closed.

    `trouble` is why nothing can be written just now; empty where all is well.
    """

    def __init__(self, settings: Mapping[str, Any], rate: float, redaction: Redaction, memory: int) -> None:
        self._settings = settings
        self.queue: deque[Request] = deque()
        self.ledger = Ledger(memory)
        self.trouble = ""
        self._maker = Maker(rate, redaction, self.ledger.drop, self.ledger.sample_out, self._warn)
        self._closing, self._deadline = threading.Event(), float("inf")
        self._writer: WriterProcess | None = None
        self._lives, self._pause, self._again, self._fed = 0, 0.0, 0.0, 0.0
        self._dropped, self._before = 0, -1
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="inference-log", daemon=True)
        self._thread.start()

    @property
    def writer_pid(self) -> int | None:
        """The writer's process id, while there is one."""
        writer = self._writer
        return None if writer is None or writer.ended else writer.pid

    def close(self, timeout: float) -> None:
        """Write what waits, for at most `timeout` seconds; what is not on disk then is counted as lost."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._thread.join(timeout + 2 * _SETTLE_SECONDS)
        self.ledger.settle({})

    def _run(self) -> None:
        # The first array loads pandas, which is not to happen under the first request.
        array([0], None)
        ending = False
        while not ending:
            ending = self._closing.wait(_LOOK)
            try:
                self._turn()
            except Exception as error:
                self._warn(f"the inference log stumbled and goes on: {type(error).__name__}: {error}")
        self._finish()

    def _turn(self) -> None:
        self._revive()
        now = time.monotonic()
        if len(self.queue) >= _FEW or now - self._fed >= _FEW_WAIT or self._closing.is_set():
            self._fed = now
            while self.queue and not self._late():
                self._feed()
                # Longer than an instant, so that the server's threads are not kept waiting for the interpreter.
                time.sleep(0.0005)
        self._speak()

    def _feed(self) -> None:
        taken: list[Request] = []
        size = 0
        while self.queue and len(taken) < _SLICE and size < _SLICE_BYTES:
            taken.append(self.queue.popleft())
            size += taken[-1].size
        try:
            bodies = [(body_of(batch), len(batch)) for batch in self._maker.batches(taken)]
        finally:
            self.ledger.release(size)
        for body, rows in bodies:
            frame = self.ledger.add(body, rows)
            if frame is not None and self._writer is not None:
                self._writer.send(frame, self._go_on)

    def _revive(self) -> None:
        """Start the writer where there is none, and give it all that is not on disk."""
        if self._writer is not None and not self._writer.ended:
            return
        if self._writer is not None:
            self._writer.end(0.0)
            self._writer = None
            self._fall("the writer's process ended")
        if time.monotonic() < self._again or self._late():
            return
        try:
            writer = WriterProcess({**self._settings, "resumed": self._lives > 0}, self._hear, self._go_on)
        except OSError as error:
            self._fall(f"no writer's process can be started: {error}")
            return
        self._lives += 1
        for sent in self.ledger.unwritten():
            if not writer.send(sent.frame, self._go_on):
                break
        self._writer = writer

    def _fall(self, why: str) -> None:
        self._again = time.monotonic() + self._pause
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._tell_trouble(why)

    def _hear(self, said: Mapping[str, Any]) -> None:
        if "durable" in said:
            self.ledger.wrote(said["durable"])
            self._pause = 0.0
            self._tell_trouble("")
        elif "trouble" in said:
            self._tell_trouble(said["trouble"])
        elif "untidy" in said:
            _log.warning("inference log: hours that are over stay in small files: %s", masked(said["untidy"]))

    def _tell_trouble(self, why: str) -> None:
        before, self.trouble = self.trouble, masked(why)
        if why and not before:
            _log.warning("inference log: rows are kept in memory, for nothing can be written: %s", self.trouble)
        elif before and not why:
            _log.info("inference log: rows are written again")

    def _warn(self, what: str) -> None:
        """Say a thing once, however often it happens."""
        kind = what.partition(":")[0]
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("%s (said once)", masked(what)[:300])

    def _speak(self) -> None:
        """Say when rows begin to be dropped, and when that is over."""
        dropped = self.ledger.counts().dropped
        if dropped > self._dropped and self._before < 0:
            self._before = self._dropped
            _log.warning("inference log: rows are being dropped; %d bytes wait. %s", self.ledger.held, self.trouble)
        elif dropped == self._dropped and self._before >= 0 and self.ledger.held <= self.ledger.limit // 2:
            _log.warning("inference log: no more rows are dropped; %d were", dropped - self._before)
            self._before = -1
        self._dropped = dropped

    def _go_on(self) -> bool:
        """Asked every 50 ms while the writer takes nothing in."""
        self._speak()
        return not self._late()

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _finish(self) -> None:
        asked: WriterProcess | None = None
        while self.ledger.unwritten() and not self._late():
            self._revive()
            if self._writer is not None and self._writer is not asked:
                asked = self._writer
                asked.send(Frame(END), self._go_on)
            time.sleep(0.005)
        if self._writer is not None:
            if self._writer is not asked:
                self._writer.send(Frame(END), self._go_on)
            self._writer.end(self._deadline - time.monotonic())
        unwritten = self.ledger.unwritten()
        self.ledger.settle(self._on_disk(unwritten) if unwritten else {})

    def _on_disk(self, unwritten: list[Sent]) -> dict[int, int]:
        """How many rows of each batch are in files of which the writer could not tell us any more."""
        found: dict[int, int] = {}
        looking = threading.Thread(target=self._look, args=(unwritten, found), daemon=True)
        looking.start()
        looking.join(_SETTLE_SECONDS)
        return dict(found)

    def _look(self, unwritten: list[Sent], found: dict[int, int]) -> None:
        held: dict[Any, list[tuple[int, int]]] = {}
        try:
            folder = Folder(self._settings["url"], self._settings["storage_options"])
            for sent in unwritten:
                for hour, rows in by_hour(batch_of(sent.frame.body)):
                    if hour not in held:
                        mine = [file for file in folder.files(hour) if file.stream == self._settings["stream"]]
                        held[hour] = [(file.first, file.last) for file in mine]
                    if any(first <= sent.frame.number <= last for first, last in held[hour]):
                        found[sent.frame.number] = found.get(sent.frame.number, 0) + len(rows)
        except Exception as error:
            _log.warning("inference log: what is on disk cannot be seen: %s", masked(str(error)))
