"""A monitor and the rows around it, for the tests of the store and for the processes they race."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from controlplane.domain.action import NEXT, ActionState, Plan, Refusal, Refused
from controlplane.domain.incident import Event, Severity, Transition
from controlplane.domain.monitor import CheckSpec, Columns, ModelRef, Monitor, Reaction, RunKind, Schedule, SourceSpec
from controlplane.domain.monitor import Window as Window
from controlplane.domain.verdict import Finding, Outcome, Verdict
from controlplane.store import actions, incidents, runs
from controlplane.store.runs import Claim, Part
from controlplane.store.tables_acts import ActionRow

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=5)
KEY = "sqlite:///registry scorer@champion"


def monitor(name: str = "scorer", workspace: str = "default", receivers: Sequence[str] = ("log", "bell")) -> Monitor:
    """A monitor of the alias `scorer@champion`."""
    return Monitor(
        name,
        ModelRef("scorer", "champion"),
        SourceSpec("files"),
        Columns("at"),
        Schedule("0 * * * *", HOUR),
        (CheckSpec("drift", "drift"), CheckSpec("performance", "performance")),
        reaction=Reaction.ROLLBACK,
        receivers=tuple(receivers),
        workspace=workspace,
    )


def window(hour: int) -> Window:
    """The hour that starts `hour` hours after T0."""
    return Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)


def nobody_gone(owner: str) -> bool:
    """Every owner still lives."""
    return False


def claim(
    session: Session,
    watched: Monitor,
    hour: int = 0,
    owner: str = "first",
    now: datetime = T0,
    kind: RunKind = RunKind.SCHEDULED,
    is_gone: Callable[[str], bool] = nobody_gone,
) -> Claim | None:
    """Ask for one hour of a monitor."""
    return runs.claim_run(session, watched, window(hour), kind, owner, now, LEASE, is_gone)


def sure(claimed: Claim | None) -> Claim:
    """The claim that must have been given."""
    assert claimed is not None
    return claimed


def record(
    session: Session,
    claimed: Claim,
    findings: Sequence[Finding] = (),
    version: str | None = "1",
    now: datetime = T0,
    outcome: Outcome = Outcome.PASS,
) -> None:
    """Record a run whose rows one version answered."""
    parts = [] if version is None else [Part(version, 400, "a" * 64, 1.0, None)]
    runs.record_run(session, claimed, Verdict(outcome, "said"), findings, parts, version, now, 0.1)


def recorded(
    session: Session,
    watched: Monitor,
    hour: int = 0,
    findings: Sequence[Finding] = (),
    version: str | None = "1",
    now: datetime = T0,
    kind: RunKind = RunKind.SCHEDULED,
) -> Claim:
    """One run, claimed and recorded."""
    claimed = sure(claim(session, watched, hour, now=now, kind=kind))
    record(session, claimed, findings, version, now)
    return claimed


def opened(
    session: Session,
    watched: Monitor,
    run_id: str,
    cause: str = "drift",
    version: str | None = None,
    now: datetime = T0,
) -> str:
    """An incident, opened; returns its id."""
    transition = Transition(cause, Event.OPENED, f"{cause} failed", Severity.WARNING)
    return incidents.store_transition(session, watched, transition, now, run_id, version=version)


PLAN = Plan("2", ("1",), "performance", ("accuracy",), "version 2 failed")
REFUSED = Refused(Refusal.WORLD_CHANGED, "the inputs changed")


def planned(
    session: Session,
    watched: Monitor,
    hour: int = 0,
    plan: Plan | Refused = PLAN,
    cause: str = "performance",
    current: str = "2",
) -> ActionRow:
    """A recorded run of the version in charge, its incident, and what was planned for it."""
    run = recorded(session, watched, hour, version=current)
    known = incidents.open_incidents(session, watched.workspace, watched.name)
    incident = known[cause].id if cause in known else opened(session, watched, run.run_id, cause, current)
    return actions.store_plan(session, watched, plan, run, incident, KEY, current, T0)


def led(session: Session, row: ActionRow, to: ActionState, **values: object) -> None:
    """Take an action to a state the shortest way there is; the values come with the last step."""
    ways = {ActionState(row.state): [ActionState(row.state)]}
    while to not in ways:
        ways = {after: [*way, after] for at, way in ways.items() for after in NEXT.get(at, ())} | ways
    for state in ways[to][1:]:
        actions.step_action(session, row, state, **(values if state is to else {"release": False}))
