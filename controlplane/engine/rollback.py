"""Rollbacks: stored actions taken one step at a time, each step claimed, so that a crash between two resumes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from controlplane.domain.action import Accepted, ActionState, Plan, Proof, Refusal, Refused, accept, may_land
from controlplane.domain.incident import Event, Severity
from controlplane.domain.monitor import Monitor, Reaction, Window
from controlplane.engine.context import Context
from controlplane.engine.freeze import Frozen
from controlplane.engine.guarding import hold
from controlplane.engine.moving import begin_move, expire, move, refuse, since_write
from controlplane.engine.proof import prove
from controlplane.engine.recovery import undo, verify
from controlplane.engine.transitions import tell
from controlplane.errors import ControlPlaneError, LeaseLost
from controlplane.store import Session, actions
from controlplane.store.tables import PartRow, RunRow
from controlplane.store.tables_acts import ActionRow

MOST_ATTEMPTS = 5
_log = logging.getLogger(__name__)


def advance(context: Context) -> int:
    """Take every live action as far as it goes now; returns how many steps were taken."""
    steps = 0
    while not context.stopping():
        with context.store.begin() as session:
            taken = actions.claim_actions(
                session, context.workspace, context.owner, context.now(), _lease(context), context.is_gone
            )
        moved = 0
        for row in taken:
            try:
                moved += _step(context, row)
            except LeaseLost:
                continue
        steps += moved
        if not moved:
            return steps
    return steps


def _lease(context: Context) -> timedelta:
    slowest = max((check.timeout for monitor in context.monitors.values() for check in monitor.checks), default=0.0)
    return context.lease + timedelta(seconds=2 * slowest)


def _step(context: Context, row: ActionRow) -> bool:
    """One step of one action; False where it has to wait."""
    monitor = context.monitors.get(row.monitor)
    if monitor is None:
        with context.store.begin() as session:
            actions.step_action(session, row, ActionState(row.state))
        return False
    before = (row.state, row.attempt)
    try:
        _STEPS[ActionState(row.state)](context, monitor, row)
    except LeaseLost:
        raise
    except Exception as error:
        # Whatever it was, it is this action's trouble: the others go on, and this one is tried again later.
        _log.warning("rollback %s: %s", row.id, error, exc_info=not isinstance(error, ControlPlaneError))
        _try_again(context, monitor, row, error)
        return False
    return (row.state, row.attempt) != before


def _prove(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Measure the failing measure again with the targets, and accept or refuse the rollback on that."""
    plan = Plan(
        row.from_version or "", tuple(row.targets.split(",")), row.check, tuple(row.measures.split(",")), row.why
    )
    with context.store.begin() as session:
        run = session.get_one(RunRow, row.run_id)
        part = session.get(PartRow, (row.run_id, row.from_version))
    proofs: tuple[Proof, ...] = ()
    if part is not None:
        frozen = Frozen(part.version, part.n_rows, part.sample_digest, part.sample_rate)
        window = Window(run.window_start, run.window_end)
        proofs = prove(context, monitor, plan, window, run.seed, frozen)
        accepted = accept(plan, proofs)
    else:
        why = f"run {row.run_id} kept no rows that version {row.from_version} answered"
        accepted = Refused(Refusal.NOT_MEASURED, why)
    context.observe("replayed")
    with context.store.begin() as session:
        if isinstance(accepted, Accepted):
            asked = row.mode == Reaction.PROPOSE
            held = hold(
                context,
                session,
                monitor,
                context.now(),
                row.from_version,
                accepted.version,
                approved=asked,
                action_id=row.id,
            )
            accepted = held or accepted
        actions.store_proofs(session, row, proofs, "" if part is None else part.sample_digest)
        _conclude(context, session, monitor, row, accepted)
    context.observe("accepted")


def _conclude(
    context: Context, session: Session, monitor: Monitor, row: ActionRow, accepted: Accepted | Refused
) -> None:
    """Store what the proof comes to: a refusal, a proposal, or a move that may begin."""
    now = context.now()
    if isinstance(accepted, Refused):
        refuse(session, monitor, row, accepted, now)
        return
    row.to_version = accepted.version
    asked = row.mode == Reaction.PROPOSE
    actions.step_action(
        session,
        row,
        ActionState.PROPOSED if asked else ActionState.ACCEPTED,
        to_version=accepted.version,
        proof_digest=actions.proof_digest(session, row),
        why=accepted.why,
        proposed_at=now if asked else None,
    )
    if asked:
        tell(session, monitor, row, Event.ROLLBACK_PROPOSED, accepted.why, Severity.WARNING, now)


def _await_approval(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Let a proposal that nobody answered run out."""
    now = context.now()
    proposed = row.proposed_at or row.planned_at
    with context.store.begin() as session:
        if now < proposed + monitor.guards.approval_expires:
            actions.step_action(session, row, ActionState.PROPOSED)
            return
        expire(session, monitor, row, now)


def _try_again(context: Context, monitor: Monitor, row: ActionRow, error: Exception) -> None:
    """Keep the step for later, with a longer wait each time; after the last attempt the action has failed.

    One whose write may still be made has not: it would be made after the action's end.
    """
    attempt = row.attempt + 1
    now = context.now()
    with context.store.begin() as session:
        if attempt >= MOST_ATTEMPTS and not may_land(since_write(row, now)):
            unsure = "; whether the alias was moved was not seen" if row.write_begun_at is not None else ""
            why = f"given up after {attempt} attempts: {error}{unsure}"
            actions.step_action(session, row, ActionState.FAILED, attempt=attempt, why=why, ended_at=now)
            tell(session, monitor, row, Event.ROLLBACK_FAILED, why, Severity.CRITICAL, now)
        else:
            wait = timedelta(seconds=10 * 2**attempt)
            actions.step_action(
                session, row, ActionState(row.state), release=False, attempt=attempt, lease_expires=now + wait
            )


_STEPS: dict[ActionState, Callable[[Context, Monitor, ActionRow], None]] = {
    ActionState.PLANNED: _prove,
    ActionState.PROPOSED: _await_approval,
    ActionState.ACCEPTED: begin_move,
    ActionState.MOVING: move,
    ActionState.MOVED: verify,
    ActionState.UNDOING: undo,
}
