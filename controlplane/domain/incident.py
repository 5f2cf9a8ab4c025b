"""Incidents: when one opens, when it closes, and why somebody is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controlplane.domain.monitor import Tolerance
from controlplane.domain.verdict import Outcome, Verdict

BLIND_CAUSE = "blind"


class IncidentState(StrEnum):
    """An incident is open, seen by a person, or over."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Severity(StrEnum):
    """How urgent an incident is; it only ever rises."""

    WARNING = "warning"
    CRITICAL = "critical"


class Event(StrEnum):
    """What happened to an incident; each is one transition row, told once to each receiver."""

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    ESCALATED = "escalated"
    ROLLBACK_PROPOSED = "rollback_proposed"
    ROLLBACK_MADE = "rollback_made"
    ROLLBACK_REFUSED = "rollback_refused"
    ROLLBACK_SUPERSEDED = "rollback_superseded"
    ROLLBACK_FAILED = "rollback_failed"
    ROLLBACK_NOT_SERVED = "rollback_not_served"
    ROLLBACK_VERIFIED = "rollback_verified"
    ROLLBACK_UNDONE = "rollback_undone"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause of one monitor, from the window that opened it to the one that closed it."""

    id: str
    monitor: str
    cause: str
    state: IncidentState
    severity: Severity
    title: str
    opened_at: datetime
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an incident: the outbox row that alerting delivers. `incident` is None while it is being opened."""

    cause: str
    event: Event
    text: str
    severity: Severity
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """A mute with an author, a reason and an end; `cause` None mutes every cause of the monitor."""

    id: str
    monitor: str
    author: str
    why: str
    until: datetime
    cause: str | None = None


class Reason(StrEnum):
    """Why a receiver is told, or is not; stored with the delivery for the person who later asks."""

    NEWS = "the incident changed"
    SILENCED = "muted by a silence"


def advance(open_incidents: Mapping[str, Incident], verdict: Verdict, tolerance: Tolerance) -> list[Transition]:
    """The incidents one verdict opens and closes, given those now open by cause.

    A check's incident opens when its failures in a row reach `tolerance.fails` and closes when its good windows in
    a row reach `tolerance.recover`. Checks that cannot see share one BLIND incident a monitor, which closes once
    none of them is blind.
    """
    transitions: list[Transition] = []
    for check in verdict.checks:
        incident = open_incidents.get(check.check)
        if incident is None:
            if check.outcome is Outcome.FAIL and check.streak.fail >= tolerance.fails:
                transitions.append(Transition(check.check, Event.OPENED, check.why, Severity.WARNING))
        elif check.streak.well >= tolerance.recover:
            windows = f"{check.streak.well} good window{'s' if check.streak.well > 1 else ''} in a row"
            transitions.append(
                Transition(check.check, Event.CLOSED, f"{windows}: {check.why}", incident.severity, incident.id)
            )
    return transitions + _advance_blind(open_incidents.get(BLIND_CAUSE), verdict, tolerance)


def _advance_blind(incident: Incident | None, verdict: Verdict, tolerance: Tolerance) -> list[Transition]:
    blind = [check for check in verdict.checks if check.streak.blind]
    if incident is None:
        past = [check for check in blind if check.streak.blind >= tolerance.blind]
        if not past:
            return []
        said = "; ".join(f"{check.check}: {check.why}" for check in past)
        text = f"cannot see for {max(check.streak.blind for check in past)} windows in a row: {said}"
        return [Transition(BLIND_CAUSE, Event.OPENED, text, Severity.WARNING)]
    if blind or verdict.still_blind:
        return []
    return [Transition(BLIND_CAUSE, Event.CLOSED, "every check can see again", incident.severity, incident.id)]


def why_notify(monitor: str, cause: str, silences: Sequence[Silence], now: datetime) -> tuple[Reason, str]:
    """Whether a receiver is told of a transition, as a reason and its sentence; only NEWS is sent.

    >>> why_notify("fraud", "drift", [], datetime(2026, 1, 1))
    (<Reason.NEWS: 'the incident changed'>, 'the incident changed')
    """
    for silence in silences:
        if silence.monitor == monitor and silence.cause in (None, cause) and now < silence.until:
            return Reason.SILENCED, f"muted by silence {silence.id} of {silence.author}: {silence.why}"
    return Reason.NEWS, Reason.NEWS.value
