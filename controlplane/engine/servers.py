"""Servers that cannot serve what their alias holds: an incident of the monitors that watch that alias."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from controlplane.domain.incident import Event, Severity, Transition
from controlplane.domain.monitor import Monitor
from controlplane.engine import transitions
from controlplane.engine.context import Context
from controlplane.store import Session, incidents, servers
from controlplane.store.tables_acts import ServerRow

CAUSE = "serving"
HEARD = timedelta(minutes=2)
"""How long a server's word stands; it repeats itself four times as often."""


def watch(context: Context) -> None:
    """Open an incident where a server says that it does not serve what its alias holds, and close it once all do.

    A server that falls silent opens nothing: machines come and go, and whether one is up is not asked here.
    """
    with context.store.begin() as session:
        told = servers.words(session, context.workspace, context.now() - HEARD)
        for name, monitor in sorted(context.monitors.items()):
            key = context.registry.key(monitor.model)
            _settle(context, session, monitor, [row for row in told if row.registry_key == key], name)


def _settle(context: Context, session: Session, monitor: Monitor, told: Sequence[ServerRow], name: str) -> None:
    incident = incidents.open_incidents(session, context.workspace, name).get(CAUSE)
    troubled = [row for row in told if row.why]
    run = incidents.newest_run(session, context.workspace, name)
    if run is None or bool(troubled) == (incident is not None) or not told:
        return
    if incident is None:
        text = "; ".join(f"{row.server} answers with version {row.served}: {row.why}" for row in troubled)
        change = Transition(CAUSE, Event.OPENED, text, Severity.CRITICAL)
    else:
        text = f"every server of {monitor.model} serves what it holds: version {told[0].served}"
        change = Transition(CAUSE, Event.CLOSED, text, incident.severity, incident.id)
    occasion = f"{troubled[0].since.isoformat()}" if troubled else incident.id if incident else ""
    transitions.store(session, monitor, change, context.now(), run, version=told[0].wanted, occasion=occasion)
