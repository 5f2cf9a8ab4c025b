"""After a move: does the serving side follow, do the next windows recover, and what if they do not."""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.action import ActionState, Refused, Step, may_land
from controlplane.domain.incident import Event, Severity
from controlplane.domain.monitor import ModelRef, Monitor, OnFailure
from controlplane.domain.verdict import BLIND, Outcome
from controlplane.engine.context import Context
from controlplane.engine.guarding import hold
from controlplane.engine.look import see
from controlplane.engine.moving import fail, record, since_write, supersede, write_once
from controlplane.engine.quarantine import mark
from controlplane.engine.transitions import tell
from controlplane.errors import ProbeError
from controlplane.probe import served_version
from controlplane.store import Session, actions, incidents
from controlplane.store.tables_acts import ActionRow


def verify(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Wait for the first window the target answered, and say whether it recovered."""
    holder, _ = see(context, monitor)
    if holder != row.to_version:
        why = f"version {holder} holds the alias before version {row.to_version} could prove itself"
        with context.store.begin() as session:
            supersede(session, monitor, row, why, context.now())
        return
    served_at, behind = _served(context, monitor, row)
    now = context.now()
    with context.store.begin() as session:
        if behind and not incidents.was_told(session, row.id, Event.ROLLBACK_NOT_SERVED):
            tell(session, monitor, row, Event.ROLLBACK_NOT_SERVED, behind, Severity.CRITICAL, now)
        outcomes = {Outcome(found) for found in actions.outcomes_after_move(session, row)}
        if Outcome.FAIL in outcomes:
            _not_recovered(context, session, monitor, row, now)
        elif outcomes - BLIND:
            why = f"version {row.to_version} answered a window within the limits of {row.check}"
            actions.step_action(session, row, ActionState.VERIFIED, served_at=served_at, ended_at=now)
            tell(session, monitor, row, Event.ROLLBACK_VERIFIED, why, Severity.WARNING, now)
        else:
            actions.step_action(session, row, ActionState.MOVED, served_at=served_at)
    if row.state == ActionState.VERIFIED:
        mark(context, monitor, row)


def _served(context: Context, monitor: Monitor, row: ActionRow) -> tuple[datetime | None, str]:
    """Since when the serving side is known to answer with the target, and what is wrong where it is late."""
    if monitor.serving is None or row.served_at is not None or row.moved_at is None:
        return row.served_at, ""
    try:
        version = served_version(monitor.serving.url)
        found = f"it answers with version {version}"
    except ProbeError as error:
        version, found = None, str(error)
    now = context.now()
    if version == row.to_version:
        return now, ""
    late = now >= row.moved_at + monitor.serving.within
    return None, f"the serving side does not follow the alias to version {row.to_version}: {found}" if late else ""


def _not_recovered(context: Context, session: Session, monitor: Monitor, row: ActionRow, now: datetime) -> None:
    """The target fails too: a person has to look, or the move is undone where the job says so and no freeze holds.

    A move that was found made before the registry answered is undone only once its write cannot come after that.
    """
    why = f"version {row.to_version} fails {row.check} too"
    if monitor.guards.on_failure is OnFailure.UNDO and may_land(since_write(row, now)):
        actions.step_action(session, row, ActionState.MOVED)
        return
    if monitor.guards.on_failure is OnFailure.UNDO and _frozen(context, session, monitor, row, now) is None:
        actions.step_action(session, row, ActionState.UNDOING, why=f"{row.why}; {why}", write_begun_at=None)
        return
    fail(session, monitor, row, why, now)


def _frozen(context: Context, session: Session, monitor: Monitor, row: ActionRow, now: datetime) -> Refused | None:
    """What keeps a move from being undone: a freeze, and nothing else."""
    left, back = row.to_version, row.from_version
    return hold(context, session, monitor, now, left, back, approved=True, action_id=row.id, alone=True)


def undo(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Move the alias back to where it was before this action, once, and leave the incident to a person."""
    left, back = row.to_version or "", row.from_version or ""

    def may(session: Session, now: datetime) -> bool:
        frozen = _frozen(context, session, monitor, row, now)
        if frozen is not None:
            fail(session, monitor, row, f"version {left} fails {row.check} too, and is left: {frozen.why}", now)
        return frozen is None

    step, _ = write_once(context, monitor, row, left, back, may)
    if step is not Step.DONE:
        return
    context.observe("undone")
    now = context.now()
    model = ModelRef(row.model, row.alias)
    text = f"{model} is back at version {back}: version {left} was no better in production, and nothing more is tried"
    with context.store.begin() as session:
        actions.step_action(session, row, ActionState.UNDONE, ended_at=now)
        record(context, session, monitor, row, back, text, now)
        tell(session, monitor, row, Event.ROLLBACK_UNDONE, text, Severity.CRITICAL, now)
