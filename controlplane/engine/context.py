"""What the engine is handed: the wired adapters, and nothing that knows where they came from."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from controlplane.domain.monitor import Fleet, Monitor, SourceSpec
from controlplane.ports import Notifier, Source
from controlplane.registry import Registry
from controlplane.store import Store
from controlplane.workers import Workers

_TOKEN = uuid4().hex[:8]


@dataclass(frozen=True)
class Context:
    """One wired installation. `observe` is told the name of each step as it ends; `now` is the clock."""

    store: Store
    registry: Registry
    workers: Workers
    home: Path
    monitors: Mapping[str, Monitor]
    open_source: Callable[[Monitor, SourceSpec], Source]
    open_notifier: Callable[[str], Notifier]
    now: Callable[[], datetime]
    observe: Callable[[str], None]
    stopping: Callable[[], bool]
    lease: timedelta
    fleet: Fleet = field(default_factory=Fleet)
    serving_secret: str | None = field(default=None, repr=False)
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{_TOKEN}")

    @property
    def workspace(self) -> str:
        """The workspace that every row belongs to."""
        return self.store.workspace

    def sample_path(self, digest: str) -> Path:
        """Where the frozen rows of that digest lie."""
        return self.home / "samples" / f"{digest}.arrow"

    def reference_path(self, digest: str) -> Path:
        """Where the reference of that digest lies, once it was built or fetched."""
        return self.home / "references" / f"{digest}.reference"

    def is_gone(self, owner: str) -> bool:
        """Whether the owner of a claim is a process of this host that has ended."""
        host, _, rest = owner.rpartition(":")[0].partition(":")
        if host != socket.gethostname() or not rest.isdigit():
            return owner == ""
        if int(rest) == os.getpid():
            return not owner.endswith(f":{_TOKEN}")
        try:
            os.kill(int(rest), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
