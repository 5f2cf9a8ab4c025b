"""Applying intents, whatever people asked for: each is applied once, or refused with its reason."""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.action import ActionState
from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Event, Severity, Transition
from controlplane.engine import freezing, guarding, transitions
from controlplane.engine.context import Context
from controlplane.engine.moving import expire
from controlplane.engine.transitions import EVIDENCE_KEPT
from controlplane.errors import LeaseLost
from controlplane.store import Session, actions, incidents, intents, new_id, records
from controlplane.store.intents import APPLIED, REFUSED, IntentKind
from controlplane.store.tables import IncidentRow, SilenceRow
from controlplane.store.tables_acts import ActionRow, IntentRow


def apply(context: Context) -> int:
    """Apply every stored intent, each in a transaction of its own; returns how many were applied."""
    with context.store.begin() as session:
        stored = intents.waiting(session, context.workspace)
    applied = 0
    for intent in stored:
        now = context.now()
        try:
            with context.store.begin() as session:
                refusal, said = _apply(context, session, intent, now)
                if not intents.end_intent(session, intent, REFUSED if refusal else APPLIED, refusal or said, now):
                    raise LeaseLost(f"intent {intent.id} was applied by another process")
        except LeaseLost:
            continue
        applied += not refusal
    if stored:
        context.observe("intents applied")
    return applied


def _apply(context: Context, session: Session, intent: IntentRow, now: datetime) -> tuple[str, str]:
    """What stands in the way (empty: nothing), and what was done."""
    if intent.kind in (IntentKind.APPROVE, IntentKind.REJECT):
        return _decide(context, session, intent, now)
    if intent.kind in (IntentKind.FREEZE, IntentKind.UNFREEZE):
        return freezing.apply(session, intent, context.monitors, now)
    incident = session.get(IncidentRow, intent.target)
    if incident is None:
        return f"there is no incident {intent.target}", ""
    if intent.kind == IntentKind.ACKNOWLEDGE:
        return _acknowledge(context, session, intent, incident, now)
    return _silence(context, session, intent, incident, now)


def _acknowledge(
    context: Context, session: Session, intent: IntentRow, incident: IncidentRow, now: datetime
) -> tuple[str, str]:
    if not incidents.acknowledge(session, incident, intent.author, now):
        return f"incident {incident.id} is {incident.state}", ""
    monitor = context.monitors.get(incident.monitor)
    if monitor is not None:
        text = f"{intent.author} looks at it" + (f": {intent.why}" if intent.why else "")
        seen = Transition(incident.cause, Event.ACKNOWLEDGED, text, Severity(incident.severity), incident.id)
        transitions.store(session, monitor, seen, now, incident.opened_run)
    return "", f"acknowledged by {intent.author}"


def _silence(
    context: Context, session: Session, intent: IntentRow, incident: IncidentRow, now: datetime
) -> tuple[str, str]:
    if intent.until is None or intent.until <= now:
        return "a silence needs an end in the future", ""
    row = SilenceRow(
        id=new_id(),
        workspace=context.workspace,
        monitor=incident.monitor,
        cause=incident.cause,
        author=intent.author,
        why=intent.why,
        since=now,
        until=intent.until,
    )
    session.add(row)
    said = f"{intent.author} muted {incident.cause} of {incident.monitor} until {intent.until:%Y-%m-%d %H:%M} UTC"
    _evidence(context, session, "silence_override", incident.monitor, f"silence:{row.id}", "SILENCED", said, now)
    return "", said


def _decide(context: Context, session: Session, intent: IntentRow, now: datetime) -> tuple[str, str]:
    action = session.get(ActionRow, intent.target)
    if action is None:
        return f"there is no rollback {intent.target}", ""
    if action.state != ActionState.PROPOSED:
        return f"rollback {action.id} is {action.state}, it waits for nobody", ""
    approved = intent.kind == IntentKind.APPROVE
    monitor = context.monitors.get(action.monitor)
    if approved and monitor is not None and now >= (action.proposed_at or now) + monitor.guards.approval_expires:
        expire(session, monitor, action, now)
        return f"the proposal of rollback {action.id} ran out after {monitor.guards.approval_expires}", ""
    if approved and not action.proof_digest == intent.bound == actions.proof_digest(session, action):
        return f"rollback {action.id} is not the one that was looked at any more; look at it again", ""
    if approved and monitor is not None:
        versions = action.from_version, action.to_version
        held = guarding.hold(context, session, monitor, now, *versions, approved=True, action_id=action.id)
        if held is not None:
            return f"{held.why}; the proposal waits", ""
    to = ActionState.ACCEPTED if approved else ActionState.REJECTED
    said = f"{'approved' if approved else 'rejected'} by {intent.author}" + (f": {intent.why}" if intent.why else "")
    values = {"approved_by": intent.author} if approved else {"ended_at": now, "why": f"{action.why}; {said}"}
    actions.step_action(session, action, to, **values)
    _evidence(context, session, "approval_record", action.monitor, f"action:{action.id}", to.value, said, now)
    return "", said


def _evidence(
    context: Context, session: Session, kind: str, subject: str, source: str, outcome: str, summary: str, now: datetime
) -> None:
    row = Evidence(kind, subject, source, outcome, summary, now, now + EVIDENCE_KEPT)
    records.store_evidence(session, context.workspace, [row])
