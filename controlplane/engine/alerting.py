"""Alerting: stored transitions delivered at least once, each with the reason why it was sent or muted."""

from __future__ import annotations

import logging
from datetime import timedelta

from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Reason, why_notify
from controlplane.domain.monitor import iso
from controlplane.engine.context import Context
from controlplane.engine.transitions import EVIDENCE_KEPT
from controlplane.errors import ControlPlaneError, DeliveryError
from controlplane.ports import Message
from controlplane.store import incidents, records
from controlplane.store.incidents import MUTED, SENT, UNDELIVERABLE
from controlplane.store.tables import DeliveryRow, IncidentRow, TransitionRow

_log = logging.getLogger(__name__)
LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 12
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)


def deliver(context: Context) -> int:
    """Deliver what is due; returns how many were sent. A receiver that fails is tried again later, alone."""
    sent = 0
    with context.store.begin() as session:
        taken = incidents.claim_deliveries(session, context.workspace, context.now(), LEASE)
        silences = incidents.silences(session, context.workspace, context.now())
    for delivery, transition, incident in taken:
        if context.stopping():
            break
        reason, why = why_notify(incident.monitor, incident.cause, silences, context.now())
        if reason is Reason.SILENCED:
            with context.store.begin() as session:
                incidents.end_delivery(session, delivery, MUTED, context.now(), reason=why)
            continue
        sent += _send(context, delivery, transition, incident, why)
    return sent


def _send(context: Context, delivery: DeliveryRow, transition: TransitionRow, incident: IncidentRow, why: str) -> bool:
    try:
        context.open_notifier(delivery.receiver).send(message_of(context, transition, incident))
    except Exception as error:
        if not isinstance(error, ControlPlaneError):
            _log.exception("receiver %s broke", delivery.receiver)
        permanent = isinstance(error, DeliveryError) and error.permanent
        with context.store.begin() as session:
            if permanent or delivery.attempt >= MOST_ATTEMPTS:
                said = f"{error}; given up after {delivery.attempt} attempts"
                incidents.end_delivery(session, delivery, UNDELIVERABLE, context.now(), why, said)
            else:
                wait = min(_FIRST_WAIT * 2 ** (delivery.attempt - 1), _LONGEST_WAIT)
                incidents.postpone_delivery(session, delivery, context.now() + wait, str(error))
        return False
    context.observe("sent")
    now = context.now()
    told = Evidence(
        "notification_record",
        incident.monitor,
        f"incident:{incident.id}",
        transition.event,
        f"{delivery.receiver} was told: {transition.text}",
        now,
        now + EVIDENCE_KEPT,
    )
    with context.store.begin() as session:
        incidents.end_delivery(session, delivery, SENT, now, reason=why)
        records.store_evidence(session, context.workspace, [told])
    context.observe("delivered")
    return True


def message_of(context: Context, transition: TransitionRow, incident: IncidentRow) -> Message:
    """What a receiver is told of a transition; `key` stays the same however often it is sent."""
    monitor = context.monitors.get(incident.monitor)
    return Message(
        key=transition.key,
        event=transition.event,
        monitor=incident.monitor,
        cause=incident.cause,
        severity=transition.severity,
        text=transition.text,
        at=iso(transition.at),
        incident=incident.id,
        model="" if monitor is None else str(monitor.model),
        owner="" if monitor is None else monitor.owner,
        runbook="" if monitor is None else monitor.runbook,
    )
