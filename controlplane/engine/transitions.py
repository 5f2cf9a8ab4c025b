"""Changes of incidents: stored with their outbox rows, and kept as evidence."""

from __future__ import annotations

from datetime import datetime, timedelta

from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Event, Severity, Transition
from controlplane.domain.monitor import Monitor
from controlplane.store import Session, incidents, records
from controlplane.store.tables import IncidentRow
from controlplane.store.tables_acts import ActionRow

EVIDENCE_KEPT = timedelta(days=90)


def store(
    session: Session,
    monitor: Monitor,
    transition: Transition,
    now: datetime,
    run_id: str,
    action_id: str | None = None,
    version: str | None = None,
    occasion: str = "",
) -> None:
    """Change the incident, put the change into every receiver's outbox, and record that it happened."""
    incident = incidents.store_transition(session, monitor, transition, now, run_id, action_id, version, occasion)
    rows = [_record("incident_records", monitor, incident, transition, transition.text, now)]
    if transition.event is Event.CLOSED:
        opened = session.get_one(IncidentRow, incident).opened_at
        took = timedelta(seconds=round((now - opened).total_seconds()))
        said = f"{transition.cause} was over {took} after it was opened"
        rows.append(_record("incident_time", monitor, incident, transition, said, now))
    records.store_evidence(session, monitor.workspace, rows)


def tell(
    session: Session, monitor: Monitor, action: ActionRow, event: Event, text: str, severity: Severity, now: datetime
) -> None:
    """Say in an action's incident what became of the action; an incident that is critical stays so."""
    incident = session.get_one(IncidentRow, action.incident_id)
    kept = Severity.CRITICAL if Severity(incident.severity) is Severity.CRITICAL else severity
    told = Transition(incident.cause, event, text, kept, action.incident_id)
    store(session, monitor, told, now, action.run_id, action.id)


def _record(
    kind: str, monitor: Monitor, incident: str, transition: Transition, summary: str, now: datetime
) -> Evidence:
    outcome = transition.event.value.upper()
    return Evidence(kind, monitor.name, f"incident:{incident}", outcome, summary, now, now + EVIDENCE_KEPT)
