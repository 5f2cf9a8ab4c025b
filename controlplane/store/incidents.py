"""Incidents and their outbox: a transition is stored in the transaction that caused it, and delivered later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from controlplane.domain.incident import Event, Incident, IncidentState, Severity, Silence, Transition
from controlplane.domain.monitor import Monitor
from controlplane.store.rows import new_id, won
from controlplane.store.runs import RECORDED, natural_key
from controlplane.store.tables import DeliveryRow, IncidentRow, RunRow, SilenceRow, TransitionRow

PENDING, SENT, MUTED, UNDELIVERABLE = "pending", "sent", "muted", "undeliverable"


def open_incidents(session: Session, workspace: str, monitor: str) -> dict[str, Incident]:
    """The incidents of a monitor that are not closed, by cause."""
    query = select(IncidentRow).where(
        IncidentRow.workspace == workspace,
        IncidentRow.monitor == monitor,
        IncidentRow.state != IncidentState.CLOSED,
    )
    return {row.cause: incident_of(row) for row in session.scalars(query)}


def incident_of(row: IncidentRow) -> Incident:
    """The domain's incident of a row."""
    return Incident(
        row.id,
        row.monitor,
        row.cause,
        IncidentState(row.state),
        Severity(row.severity),
        row.title,
        row.opened_at,
        row.version,
    )


def store_transition(
    session: Session,
    monitor: Monitor,
    transition: Transition,
    now: datetime,
    run_id: str,
    action_id: str | None = None,
    version: str | None = None,
    occasion: str = "",
) -> str:
    """Change the incident and put the change into the outbox, once for each receiver; returns the incident's id.

    A run changes an incident in each way once; `occasion` tells changes apart that no run makes.
    """
    incident_id = transition.incident or new_id()
    if transition.event is Event.OPENED:
        session.add(
            IncidentRow(
                id=incident_id,
                workspace=monitor.workspace,
                monitor=monitor.name,
                cause=transition.cause,
                state=IncidentState.OPEN.value,
                severity=transition.severity.value,
                title=transition.text,
                version=version,
                opened_run=run_id,
                opened_at=now,
            )
        )
    else:
        values: dict[str, object] = {}
        if transition.event is Event.CLOSED:
            values = {"state": IncidentState.CLOSED.value, "closed_at": now, "closed_run": run_id}
        elif transition.severity is Severity.CRITICAL:
            values = {"severity": Severity.CRITICAL.value}
        if values:
            session.execute(update(IncidentRow).where(IncidentRow.id == incident_id).values(**values))
    session.flush()
    row = TransitionRow(
        id=new_id(),
        workspace=monitor.workspace,
        key=natural_key(transition.cause, transition.event, monitor.name, run_id, action_id, occasion),
        incident_id=incident_id,
        run_id=run_id,
        action_id=action_id,
        event=transition.event.value,
        severity=transition.severity.value,
        text=transition.text,
        at=now,
    )
    session.add(row)
    session.flush()
    deliveries = [
        {
            "id": new_id(),
            "workspace": monitor.workspace,
            "transition_id": row.id,
            "receiver": receiver,
            "state": PENDING,
            "due_at": now,
        }
        for receiver in monitor.receivers
    ]
    if deliveries:
        session.execute(insert(DeliveryRow), deliveries)
    return incident_id


def newest_run(session: Session, workspace: str, monitor: str) -> str | None:
    """The run that a change which no run made is kept with: the newest recorded one of the monitor."""
    query = select(RunRow.id).where(RunRow.workspace == workspace, RunRow.monitor == monitor, RunRow.state == RECORDED)
    return session.scalars(query.order_by(RunRow.id.desc()).limit(1)).first()


def was_told(session: Session, action_id: str, event: Event) -> bool:
    """Whether this was said of an action before."""
    query = select(TransitionRow.id).where(TransitionRow.action_id == action_id, TransitionRow.event == event.value)
    return session.scalars(query.limit(1)).first() is not None


def acknowledge(session: Session, incident: IncidentRow, author: str, now: datetime) -> bool:
    """Note that a person looks at an open incident; False where it is not open any more."""
    return won(
        session,
        update(IncidentRow)
        .where(IncidentRow.id == incident.id, IncidentRow.state == IncidentState.OPEN.value)
        .values(state=IncidentState.ACKNOWLEDGED.value, acknowledged_at=now, acknowledged_by=author),
    )


def silences(session: Session, workspace: str, now: datetime) -> list[Silence]:
    """The silences in force."""
    query = select(SilenceRow).where(SilenceRow.workspace == workspace, SilenceRow.until > now)
    return [Silence(row.id, row.monitor, row.author, row.why, row.until, row.cause) for row in session.scalars(query)]


def claim_deliveries(
    session: Session, workspace: str, now: datetime, lease: timedelta, most: int = 100
) -> Sequence[tuple[DeliveryRow, TransitionRow, IncidentRow]]:
    """Take the deliveries that are due, oldest change first, and hold them back from others for `lease`."""
    query = (
        select(DeliveryRow, TransitionRow, IncidentRow)
        .join(TransitionRow, TransitionRow.id == DeliveryRow.transition_id)
        .join(IncidentRow, IncidentRow.id == TransitionRow.incident_id)
        .where(DeliveryRow.workspace == workspace, DeliveryRow.state == PENDING, DeliveryRow.due_at <= now)
        .order_by(TransitionRow.id, DeliveryRow.id)
        .limit(most)
    )
    taken = []
    for delivery, transition, incident in session.execute(query):
        if won(
            session,
            update(DeliveryRow)
            .where(
                DeliveryRow.id == delivery.id,
                DeliveryRow.state == PENDING,
                DeliveryRow.due_at == delivery.due_at,
            )
            .values(due_at=now + lease, attempt=delivery.attempt + 1),
        ):
            session.refresh(delivery)
            taken.append((delivery, transition, incident))
    return taken


def end_delivery(
    session: Session, delivery: DeliveryRow, state: str, now: datetime, reason: str = "", error: str = ""
) -> None:
    """Say how a delivery ended: sent, muted or undeliverable. The first end stands."""
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery.id, DeliveryRow.state == PENDING)
        .values(state=state, reason=reason, error=error, sent_at=now if state == SENT else None)
    )


def postpone_delivery(session: Session, delivery: DeliveryRow, due_at: datetime, error: str) -> None:
    """Try again later, unless somebody took it over; a receiver that is down keeps nobody else waiting."""
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery.id, DeliveryRow.state == PENDING, DeliveryRow.attempt == delivery.attempt)
        .values(due_at=due_at, error=error)
    )


def find_incident(session: Session, workspace: str, prefix: str) -> list[IncidentRow]:
    """The incidents whose id starts with `prefix`, newest first; an empty prefix gives all of them."""
    query = (
        select(IncidentRow)
        .where(IncidentRow.workspace == workspace, IncidentRow.id.startswith(prefix, autoescape=True))
        .order_by(IncidentRow.id.desc())
    )
    return list(session.scalars(query))


def story(session: Session, incident_id: str) -> list[tuple[TransitionRow, list[DeliveryRow]]]:
    """What happened to an incident, oldest first, with who was told of each change."""
    changes = session.scalars(
        select(TransitionRow).where(TransitionRow.incident_id == incident_id).order_by(TransitionRow.id)
    ).all()
    sent = session.scalars(
        select(DeliveryRow).where(DeliveryRow.transition_id.in_([change.id for change in changes]))
    ).all()
    return [(change, [row for row in sent if row.transition_id == change.id]) for change in changes]
