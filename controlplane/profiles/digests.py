"""One canonical byte stream for values of many types, so that equal content has an equal SHA-256 everywhere."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Value: TypeAlias = "str | int | float | npt.NDArray[np.float64] | npt.NDArray[np.int64] | Sequence[Value] | None"


class Digest(Protocol):
    """The part of a `hashlib` object that is used."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes in."""


def feed(digest: Digest, value: Value) -> None:
    """Feed a value to a digest: tagged, with its length, little-endian, so that no two values feed the same bytes.

    >>> import hashlib
    >>> one, two = hashlib.sha256(), hashlib.sha256()
    >>> feed(one, ["ab", "c"]), feed(two, ["a", "bc"])
    (None, None)
    >>> one.hexdigest() == two.hexdigest()
    False
    """
    if value is None:
        digest.update(b"n")
    elif isinstance(value, str):
        data = value.encode()
        digest.update(b"s" + struct.pack("<q", len(data)) + data)
    elif isinstance(value, int):
        data = str(value).encode()
        digest.update(b"i" + struct.pack("<q", len(data)) + data)
    elif isinstance(value, float):
        digest.update(b"f" + struct.pack("<d", value))
    elif isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes()
        digest.update(b"a" + value.dtype.kind.encode() + struct.pack("<q", len(data)) + data)
    else:
        digest.update(b"l" + struct.pack("<q", len(value)))
        for item in value:
            feed(digest, item)
