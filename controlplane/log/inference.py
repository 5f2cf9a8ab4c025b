"""`InferenceLog`: what a server tells of each request, kept as Parquet files without ever making it wait."""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from fsspec import get_filesystem_class
from fsspec.core import split_protocol
from ulid import ULID

from controlplane.errors import ConfigError
from controlplane.log.feeder import Feeder
from controlplane.log.layout import COLUMNS
from controlplane.log.ledger import Counts as Counts
from controlplane.log.rows import Redaction, request_of


class InferenceLog:
    """Keeps what was asked and answered, for monitors to read: one for each process of a server.

    `url` is a folder or any fsspec URL of one; `storage_options` go to its file system. A request is logged where a
    hash of its id falls below `rate`, so that the same requests are logged by everybody. Columns, named as they are in
    the log, are left out (`drop`) or kept as an HMAC-SHA256 with `hash_key` (`hash`). At most `memory` bytes wait to be
    written; what comes beyond is dropped and counted. A file is closed every `rotate_every` seconds, or once its rows
    take `rotate_bytes` in memory; the files of an hour that is over become one; hours older than `retain` are removed.

    Rows are made on a thread and written by a process of its own, which takes what this process has in hand to disk
    before it ends with it. Raises ConfigError for settings that cannot be.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with InferenceLog(folder) as log:
    ...         log.write(version="3", inputs=[{"age": 41}, {"age": 35}], outputs=[0, 1], request_id="r1")
    ...     log.counts
    Counts(taken=2, sampled_out=0, written=2, dropped=0, lost=0, waiting=0)
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float = 1.0,
        drop: Collection[str] = (),
        hash: Collection[str] = (),
        hash_key: bytes | str | None = None,
        memory: int = 64 << 20,
        rotate_every: float = 10.0,
        rotate_bytes: int = 64 << 20,
        retain: timedelta | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        key = hash_key.encode() if isinstance(hash_key, str) else hash_key or b""
        check_settings(url, rate, frozenset(drop), frozenset(hash), bool(key), retain)
        for name, value in (("memory", memory), ("rotate_every", rotate_every), ("rotate_bytes", rotate_bytes)):
            if not value > 0:
                raise ConfigError(f"{name} is {value!r}; it must be above 0")
        settings = {
            # Where the server stands later on must not move the log of a writer that is started then.
            "url": url if "://" in url else os.path.abspath(url),
            "storage_options": dict(storage_options or {}),
            "stream": str(ULID()),
            "rate": rate,
            "rotate_every": rotate_every,
            # What waits for its file takes memory here, so a file is closed before memory is full.
            "rotate_bytes": min(rotate_bytes, memory // 4),
            "retain": None if retain is None else retain.total_seconds(),
        }
        try:
            json.dumps(settings)
        except TypeError as error:
            raise ConfigError(f"storage_options must be plain values, as JSON has them: {error}") from None
        self._closed = False
        self._feeder = Feeder(settings, rate, Redaction(frozenset(drop), frozenset(hash), key), memory)
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        *,
        version: str,
        inputs: Any,
        outputs: Any = None,
        request_id: str,
        role: str = "live",
        event_time: datetime | None = None,
        latency: float | None = None,
        status: int = 200,
        error: str = "",
    ) -> None:
        """Log one request; returns at once and raises nothing, whatever state the log is in.

        `inputs` is a DataFrame, a mapping of columns, a list of rows as mappings, an array with one row along its first
        axis, or None where nothing could be parsed; `outputs` is the same, one for each row. Both belong to the log
        from here on: whoever goes on changing them gives a copy. `event_time` is now unless given, one without a zone
        is UTC; `latency` is in seconds.
        """
        when = time.time_ns() // 1000 if event_time is None else event_time
        request = request_of(version, inputs, outputs, request_id, role, when, latency, status, error)
        if self._feeder.ledger.take(request.rows, request.size):
            self._feeder.queue.append(request)

    @property
    def counts(self) -> Counts:
        """Rows by what became of them."""
        return self._feeder.ledger.counts()

    @property
    def trouble(self) -> str:
        """Why nothing can be written just now; empty where all is well."""
        return self._feeder.trouble

    @property
    def writer_pid(self) -> int | None:
        """The process that writes, None while there is none."""
        return self._feeder.writer_pid

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits, for at most `timeout` seconds; what is not on disk then is lost, and counted as that.

        A log that is closed drops what it is still given.
        """
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            self._feeder.close(timeout)


def check_settings(
    url: str, rate: float, drop: frozenset[str], hashed: frozenset[str], keyed: bool, retain: timedelta | None
) -> None:
    """Raise ConfigError for settings that no log can be opened with; nothing is opened."""
    protocol = split_protocol(url)[0] or "file"
    try:
        get_filesystem_class(protocol)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"an inference log cannot be kept at a URL of {protocol}: {error}") from None
    if not 0.0 <= rate <= 1.0:
        raise ConfigError(f"rate is {rate!r}; it must lie within 0 and 1")
    reserved = sorted((drop | hashed) & set(COLUMNS.names))
    if reserved:
        raise ConfigError(f"{reserved[0]!r} belongs to every row of a log; drop and hash are for inputs and answers")
    if both := sorted(drop & hashed):
        raise ConfigError(f"{both[0]!r} is in drop and in hash; one of them is enough")
    if hashed and not keyed:
        raise ConfigError(
            "hash needs a hash_key, which `controlplane serve` takes from CONTROLPLANE_LOG_KEY: without one, values "
            "can be found out by trying them"
        )
    if retain is not None and retain <= timedelta(0):
        raise ConfigError(f"retain is {retain}; it must be above 0")
