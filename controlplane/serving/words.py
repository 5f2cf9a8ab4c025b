"""What a server tells the store of the aliases it follows: a version that cannot be served opens an incident."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Self

from controlplane.errors import ControlPlaneError
from controlplane.registry import Registry
from controlplane.serving.fleet import Following
from controlplane.serving.plan import Role
from controlplane.store import Session, Store, servers

_log = logging.getLogger(__name__)


class Words:
    """A server's words, taken back when it ends in good order: a server that was stopped is no trouble.

    The store is opened for each word anew, because workers are forked at any time and must find no connection. A
    store that is away costs the words and nothing else.
    """

    def __init__(self, registry: Registry, open_store: Callable[[], Store]) -> None:
        self._registry, self._open = registry, open_store
        self._server = f"{socket.gethostname()}:{os.getpid()}"
        self._away = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store(lambda session, workspace: servers.forget(session, workspace, self._server))

    def tell(self, following: Mapping[Role, Following]) -> None:
        """Keep how each alias is followed now."""

        def keep(session: Session, workspace: str) -> None:
            now = datetime.now(UTC)
            for role, one in following.items():
                key = self._registry.key(one.alias)
                servers.store_word(
                    session, workspace, self._server, key, role.value, one.wanted, one.served, one.why, now
                )

        self._store(keep)

    def _store(self, write: Callable[[Session, str], None]) -> None:
        try:
            with closing(self._open()) as store, store.begin() as session:
                write(session, store.workspace)
            self._away = False
        except ControlPlaneError as error:
            if not self._away:
                _log.warning("what is served is not stored: %s", error)
            self._away = True
