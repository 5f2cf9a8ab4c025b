"""What became of each row, and how much memory the rows take that are not on disk yet. Every method is thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.log.frames import BATCH, Frame


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by what became of them: `taken` is the sum of all others.

    `sampled_out` were left out by the rate, `dropped` found no place in memory or could not be put as rows, `lost`
    were not on disk when the log was closed, and `waiting` still may be `written`, which means on disk for good.
    """

    taken: int = 0
    sampled_out: int = 0
    written: int = 0
    dropped: int = 0
    lost: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch that is not known to be on disk."""

    frame: Frame
    rows: int


class Ledger:
    """Rows taken and what became of them; at most `limit` bytes wait at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._taken = self._sampled_out = self._written = self._dropped = self._lost = 0
        self._held = self._number = self._undeclared = 0
        self._unwritten: dict[int, Sent] = {}

    def counts(self) -> Counts:
        """What became of the rows so far."""
        with self._lock:
            settled = self._sampled_out + self._written + self._dropped + self._lost
            return Counts(
                *(self._taken, self._sampled_out, self._written, self._dropped, self._lost, self._taken - settled)
            )

    @property
    def held(self) -> int:
        """How many bytes wait."""
        return self._held

    def take(self, rows: int, size: int) -> bool:
        """Count a request's rows; False where they find no place and are dropped."""
        with self._lock:
            self._taken += rows
            if self._held + size > self.limit:
                self._dropped += rows
                self._undeclared += rows
                return False
            self._held += size
            return True

    def release(self, size: int) -> None:
        """Give back the place of requests that became batches."""
        with self._lock:
            self._held -= size

    def sample_out(self, rows: int) -> None:
        """Count rows that the rate leaves out."""
        with self._lock:
            self._sampled_out += rows

    def drop(self, rows: int) -> None:
        """Count rows that were taken and cannot be kept."""
        with self._lock:
            self._dropped += rows
            self._undeclared += rows

    def add(self, body: bytes, rows: int) -> Frame | None:
        """Number a batch and keep it until it is on disk; None where it finds no place and is dropped."""
        with self._lock:
            if self._held + len(body) > self.limit:
                self._dropped += rows
                self._undeclared += rows
                return None
            self._held += len(body)
            self._number += 1
            frame = Frame(BATCH, self._number, self._undeclared, body)
            self._undeclared = 0
            self._unwritten[frame.number] = Sent(frame, rows)
            return frame

    def wrote(self, numbers: Iterable[int]) -> None:
        """Count batches that are on disk for good."""
        with self._lock:
            for number in numbers:
                if (sent := self._unwritten.pop(number, None)) is not None:
                    self._written += sent.rows
                    self._held -= len(sent.frame.body)

    def unwritten(self) -> list[Sent]:
        """The batches that are not known to be on disk, in order."""
        with self._lock:
            return list(self._unwritten.values())

    def settle(self, found: Mapping[int, int]) -> None:
        """At the end: of each batch still unwritten, so many rows were found on disk; every other row is lost.

        What is taken from here on finds no place.
        """
        with self._lock:
            self.limit = -1
            for sent in self._unwritten.values():
                self._written += found.get(sent.frame.number, 0)
            self._unwritten.clear()
            self._lost = self._taken - self._sampled_out - self._written - self._dropped
            self._held = 0
