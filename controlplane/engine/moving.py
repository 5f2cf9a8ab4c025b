"""Moving an alias: guarded, said before it is done, written once, and read back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from controlplane.domain.action import ActionState, Refusal, Refused, Step, on_holder
from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Event, Severity
from controlplane.domain.monitor import ModelRef, Monitor
from controlplane.engine import snapshot
from controlplane.engine.context import Context
from controlplane.engine.guarding import hold
from controlplane.engine.quarantine import mark
from controlplane.engine.transitions import EVIDENCE_KEPT, tell
from controlplane.errors import AliasMoved, NotWritten, ProbeError
from controlplane.probe import ask_to_reload
from controlplane.store import Session, actions, records
from controlplane.store.tables_acts import ActionRow

_log = logging.getLogger(__name__)
ALIAS_LEASE = timedelta(minutes=2)
WRITE_WITHIN = timedelta(seconds=60)
"""How long after the alias's lease was taken a write may still begin: well before anybody else can take it."""


def begin_move(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Keep the snapshot, ask the guards again, take the alias's lease and say that it is about to be moved."""
    snapshot.keep(context, monitor, row)
    now = context.now()
    with context.store.begin() as session:
        held = _held(context, session, monitor, row, now) or _changed(session, row)
        if held is not None:
            refuse(session, monitor, row, held, now)
            return
        if not actions.take_alias_lease(session, context.workspace, row.registry_key, row.id, now, ALIAS_LEASE):
            actions.step_action(session, row, ActionState.ACCEPTED)
            return
        actions.step_action(session, row, ActionState.MOVING, release=False)
    context.observe("moving")
    move(context, monitor, row)


def move(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Move the alias with one write: where an earlier attempt began it, only look what became of it."""
    to = row.to_version or ""

    def may(session: Session, now: datetime) -> bool:
        held = _held(context, session, monitor, row, now)
        if held is not None:
            refuse(session, monitor, row, held, now)
        return held is None

    step, gap = write_once(context, monitor, row, row.from_version or "", to, may)
    if step is not Step.DONE:
        return
    context.observe("moved")
    now = context.now()
    text = f"{ModelRef(row.model, row.alias)} moved from version {row.from_version} to version {to}: {row.why}"
    with context.store.begin() as session:
        actions.step_action(session, row, ActionState.MOVED, moved_at=now, gap_seconds=gap)
        record(context, session, monitor, row, to, text, now)
        tell(session, monitor, row, Event.ROLLBACK_MADE, text, Severity.WARNING, now)
    context.observe("move recorded")
    mark(context, monitor, row)


def write_once(
    context: Context,
    monitor: Monitor,
    row: ActionRow,
    expected: str,
    to: str,
    may: Callable[[Session, datetime], bool],
) -> tuple[Step, float | None]:
    """Take the alias from one version to another with one write at most; every end but DONE is stored here.

    The write is announced, fenced and guarded in a transaction of its own, in which `may` ends the action where it must
    not be made. One whose outcome was not seen is never repeated: whoever took the alias back would be overwritten.
    """
    model, state = ModelRef(row.model, row.alias), ActionState(row.state)
    last = time.monotonic() + WRITE_WITHIN.total_seconds()
    with context.store.begin() as session:
        now = context.now()
        if not actions.take_alias_lease(session, context.workspace, row.registry_key, row.id, now, ALIAS_LEASE):
            actions.step_action(session, row, state)
            return Step.WAIT, None
    holder = context.registry.held(model)
    step, gap = on_holder(holder, expected, to, since_write(row, now)), None
    if step is Step.WRITE:
        with context.store.begin() as session:
            now = context.now()
            if not may(session, now):
                actions.free_alias_lease(session, context.workspace, row.registry_key, row.id, now)
                return step, None
            actions.step_action(session, row, state, release=False, write_begun_at=now)
        context.observe("write begun")
        try:
            step, gap = Step.DONE, context.registry.move(model, expected, to, last).gap_seconds
        except NotWritten:
            with context.store.begin() as session:
                actions.step_action(session, row, state, release=False, write_begun_at=None)
            raise
        except AliasMoved as error:
            step, holder = Step.SUPERSEDED, error.found
        else:
            _have_served(context, monitor, model, to)
    with context.store.begin() as session:
        if step is Step.WAIT:
            actions.step_action(session, row, state)
        elif step is Step.SUPERSEDED:
            supersede(session, monitor, row, f"somebody else moved {model}: it holds {_said(holder)} now", now)
        elif step is Step.LOST:
            why = f"whether {model} was moved to version {to} was not seen; it holds {_said(holder)}, and is left alone"
            fail(session, monitor, row, why, now)
        if row.state != state.value:
            actions.free_alias_lease(session, context.workspace, row.registry_key, row.id, now)
    return step, gap


def _have_served(context: Context, monitor: Monitor, model: ModelRef, version: str) -> None:
    """Tell what serves the model that its alias moved; one that does not hear finds out by itself, and is probed."""
    if monitor.serving is None or monitor.serving.reload is None:
        return
    if context.serving_secret is None:
        _log.warning("%s: serving.reload is not told of the move: set CONTROLPLANE_SERVING_SECRET", monitor.name)
        return
    told = {"model": model.name, "alias": model.alias, "version": version}
    try:
        ask_to_reload(monitor.serving.reload, context.serving_secret, told)
    except ProbeError as error:
        _log.warning("%s: %s", monitor.name, error)


def since_write(row: ActionRow, now: datetime) -> timedelta | None:
    """How long ago the write of the move in hand was begun; None where it was not."""
    return None if row.write_begun_at is None else now - row.write_begun_at


def record(
    context: Context, session: Session, monitor: Monitor, row: ActionRow, holder: str, text: str, now: datetime
) -> None:
    """Keep a move that was made: the alias's history, evidence, and its lease given back."""
    actions.free_alias_lease(session, context.workspace, row.registry_key, row.id, now)
    records.see_holder(session, context.workspace, row.registry_key, holder, now, row.id)
    made = Evidence("change_record", monitor.name, f"action:{row.id}", "MOVED", text, now, now + EVIDENCE_KEPT, holder)
    records.store_evidence(session, context.workspace, [made])


def supersede(session: Session, monitor: Monitor, row: ActionRow, why: str, now: datetime) -> None:
    """End an action because the alias is somebody else's now."""
    actions.step_action(session, row, ActionState.SUPERSEDED, why=why, ended_at=now)
    tell(session, monitor, row, Event.ROLLBACK_SUPERSEDED, why, Severity.CRITICAL, now)


def refuse(session: Session, monitor: Monitor, row: ActionRow, refused: Refused, now: datetime) -> None:
    """End an action that must not be made; it is told unless the same was told of this incident before."""
    why = f"no rollback: {refused.why}"
    told = actions.was_refused(session, row, refused.code)
    actions.step_action(session, row, ActionState.REFUSED, code=refused.code.value, why=why, ended_at=now)
    if not told:
        tell(session, monitor, row, Event.ROLLBACK_REFUSED, why, Severity.CRITICAL, now)


def fail(session: Session, monitor: Monitor, row: ActionRow, why: str, now: datetime) -> None:
    """End an action that did not do what it was made for."""
    actions.step_action(session, row, ActionState.FAILED, why=f"{row.why}; {why}", ended_at=now)
    tell(session, monitor, row, Event.ROLLBACK_FAILED, why, Severity.CRITICAL, now)


def expire(session: Session, monitor: Monitor, row: ActionRow, now: datetime) -> None:
    """End a proposal that nobody answered in time."""
    why = f"nobody approved it within {monitor.guards.approval_expires}"
    actions.step_action(session, row, ActionState.EXPIRED, ended_at=now, why=f"{row.why}; {why}")
    tell(session, monitor, row, Event.ROLLBACK_REFUSED, why, Severity.CRITICAL, now)


def _held(context: Context, session: Session, monitor: Monitor, row: ActionRow, now: datetime) -> Refused | None:
    approved = row.approved_by is not None
    return hold(
        context,
        session,
        monitor,
        now,
        row.from_version,
        row.to_version,
        approved=approved,
        action_id=row.id,
        alone=True,
    )


def _changed(session: Session, row: ActionRow) -> Refused | None:
    """Whether the stored action is not the one that was proved, and approved, any more."""
    if actions.proof_digest(session, session.get_one(ActionRow, row.id)) == row.proof_digest:
        return None
    return Refused(Refusal.CHANGED, f"rollback {row.id} or its proof was changed after it was proved")


def _said(holder: str | None) -> str:
    return "no version" if holder is None else f"version {holder}"
