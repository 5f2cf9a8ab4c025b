"""How a server's process and the writer's talk: framed batches one way, lines of JSON the other."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

_HEAD = struct.Struct("<cQQQ")
SETTINGS, BATCH, END = b"S", b"B", b"E"


@dataclass(frozen=True, slots=True)
class Frame:
    """What is sent: settings as JSON, a batch as an Arrow stream, or the end, after which nothing comes.

    `dropped` is how many rows found no place in memory between the batch before and this one.
    """

    kind: bytes
    number: int = 0
    dropped: int = 0
    body: bytes = b""

    def pack(self) -> bytes:
        """The bytes that `frames` reads."""
        return _HEAD.pack(self.kind, self.number, self.dropped, len(self.body)) + self.body


def settings_frame(settings: Mapping[str, Any]) -> Frame:
    """What the writer is told first; it goes by its standard input because it may hold secrets."""
    return Frame(SETTINGS, body=json.dumps(settings).encode())


def frames(file: BinaryIO) -> Iterator[Frame]:
    """The frames of a stream, to its end; one that was cut off is not among them.

    >>> import io
    >>> [frame.number for frame in frames(io.BytesIO(Frame(BATCH, 7, 0, b"ab").pack() + b"cut"))]
    [7]
    """
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        kind, number, dropped, length = _HEAD.unpack(head)
        body = file.read(length)
        if len(body) < length:
            return
        yield Frame(kind, number, dropped, body)
