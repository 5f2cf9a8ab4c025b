"""Quarantine: a version that was rolled back from says so in the registry, for everybody who releases models."""

from __future__ import annotations

import logging

from controlplane.domain.monitor import ModelRef, Monitor
from controlplane.engine.context import Context
from controlplane.errors import RegistryError
from controlplane.store.tables_acts import ActionRow

TAG = "controlplane.quarantine"
_log = logging.getLogger(__name__)


def mark(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Tag the version that was left, and take the tag from the one that came back; where the registry is away, neither.

    What bars a version is our own history of moves. The tag tells others, so that it is never worth failing a move for.
    """
    model = ModelRef(row.model, row.alias)
    said = f"rolled back from by {monitor.name}, rollback {row.id}"
    try:
        context.registry.tag(model.name, row.from_version or "", TAG, said)
        context.registry.tag(model.name, row.to_version or "", TAG, None)
    except RegistryError as error:
        _log.warning("the quarantine of version %s of %s is not shown: %s", row.from_version, model.name, error)
