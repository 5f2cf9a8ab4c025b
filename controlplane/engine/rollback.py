"""Rollbacks: stored actions taken one step at a time, each step claimed, so that a crash between two resumes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from controlplane import ports
from controlplane.domain.action import ActionState, Plan, Refusal, Refused, accept
from controlplane.domain.attribution import Replay, attribute, behind, compare
from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Event, Severity, Transition
from controlplane.domain.monitor import ModelRef, Monitor, Reaction, Window
from controlplane.domain.verdict import BLIND, Outcome
from controlplane.engine import references, transitions
from controlplane.engine.context import Context
from controlplane.engine.freeze import Frozen
from controlplane.engine.look import see, task_of
from controlplane.engine.measure import measure
from controlplane.engine.transitions import EVIDENCE_KEPT
from controlplane.errors import AliasMoved, ControlPlaneError, LeaseLost
from controlplane.store import Session, actions, records
from controlplane.store.tables import IncidentRow, PartRow, RunRow
from controlplane.store.tables_acts import ActionRow
from controlplane.workers import Task

MOST_ATTEMPTS = 5
_log = logging.getLogger(__name__)
_ALIAS_LEASE = timedelta(minutes=2)


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


def _replay(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Measure the failing measure again with both versions, and accept or refuse the rollback on that."""
    proof, digest, error = _measure_both(context, monitor, row)
    plan = Plan(row.from_version or "", row.to_version or "", row.check, tuple(row.measures.split(",")), row.why)
    accepted = Refused(Refusal.NOT_MEASURED, f"the replay failed: {error}") if error else accept(plan, proof)
    context.observe("replayed")
    now = context.now()
    with context.store.begin() as session:
        actions.store_replays(session, row, proof, digest)
        if isinstance(accepted, Refused):
            why = f"no rollback: {accepted.why}"
            told = actions.was_refused(session, row, accepted.code)
            actions.step_action(session, row, ActionState.REFUSED, code=accepted.code.value, why=why, ended_at=now)
            if not told:
                _tell(session, monitor, row, Event.ROLLBACK_REFUSED, why, Severity.CRITICAL, context)
        else:
            why = attribute(accepted, plan.from_version, plan.to_version, len(proof)).why
            if row.mode == Reaction.PROPOSE:
                actions.step_action(session, row, ActionState.PROPOSED, why=why, proposed_at=now)
                _tell(session, monitor, row, Event.ROLLBACK_PROPOSED, why, Severity.WARNING, context)
            else:
                actions.step_action(session, row, ActionState.ACCEPTED, why=why)
    context.observe("accepted")


def _measure_both(context: Context, monitor: Monitor, row: ActionRow) -> tuple[list[Replay], str, str]:
    with context.store.begin() as session:
        run = session.get_one(RunRow, row.run_id)
        part = session.get(PartRow, (row.run_id, row.from_version))
    if part is None:
        return [], "", f"run {row.run_id} kept no rows that version {row.from_version} answered"
    frozen = Frozen(part.version, part.n_rows, part.sample_digest, part.sample_rate)
    spec = next((check for check in monitor.checks if check.name == row.check), None)
    if spec is None:
        return [], part.sample_digest, f"the job of {monitor.name} has no check {row.check!r} any more"
    reference = references.find(context, monitor, part.version)
    window = Window(run.window_start, run.window_end)
    task = task_of(context, monitor, window, run.seed, frozen, spec, [row.to_version or ""], reference, required=True)
    result = context.workers.measure_all([Task(measure, (task,), spec.timeout, spec.memory)])[0]
    if result.error or result.blind:
        return [], part.sample_digest, result.error or str(result.blind)
    wanted = row.measures.split(",")
    specs = ports.load("checks", spec.kind).measures
    worse = {name: specs[name].higher_is_worse for name in map(behind, wanted) if name in specs}
    replays = compare(result.value.measures, wanted, part.version, worse)
    # Where the candidate could not answer, the check says why beside its own measures.
    said = {} if replays else dict.fromkeys(measure.detail for measure in result.value.measures if measure.detail)
    return replays, part.sample_digest, "; ".join(said)


def _await_approval(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Let a proposal that nobody answered run out."""
    now = context.now()
    proposed = row.proposed_at or row.planned_at
    with context.store.begin() as session:
        if now < proposed + monitor.guards.approval_expires:
            actions.step_action(session, row, ActionState.PROPOSED)
            return
        why = f"nobody approved it within {monitor.guards.approval_expires}"
        actions.step_action(session, row, ActionState.EXPIRED, ended_at=now, why=f"{row.why}; {why}")
        _tell(session, monitor, row, Event.ROLLBACK_REFUSED, why, Severity.CRITICAL, context)


def _begin_move(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Take the alias's lease and say, before anything is moved, that it is about to be."""
    with context.store.begin() as session:
        if not actions.take_alias_lease(
            session, context.workspace, row.registry_key, row.id, context.now(), _ALIAS_LEASE
        ):
            actions.step_action(session, row, ActionState.ACCEPTED)
            return
        actions.step_action(session, row, ActionState.MOVING, release=False)
    context.observe("moving")
    _move(context, monitor, row)


def _move(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Move the alias, once: where it already holds the target, an earlier attempt of this action did it."""
    model = ModelRef(row.model, row.alias)
    expected, to = row.from_version or "", row.to_version or ""
    with context.store.begin() as session:
        if not actions.take_alias_lease(
            session, context.workspace, row.registry_key, row.id, context.now(), _ALIAS_LEASE
        ):
            actions.step_action(session, row, ActionState.MOVING)
            return
    gap: float | None = None
    try:
        if context.registry.holder(model) != to:
            gap = context.registry.move(model, expected, to).gap_seconds
    except AliasMoved as error:
        with context.store.begin() as session:
            why = f"somebody else moved {model}: {error}"
            actions.step_action(session, row, ActionState.SUPERSEDED, why=why, ended_at=context.now())
            actions.free_alias_lease(session, context.workspace, row.registry_key, row.id, context.now())
            _tell(session, monitor, row, Event.ROLLBACK_SUPERSEDED, why, Severity.CRITICAL, context)
        return
    context.observe("moved")
    now = context.now()
    text = f"{model} moved from version {expected} to version {to}: {row.why}"
    made = Evidence("change_record", monitor.name, f"action:{row.id}", "MOVED", text, now, now + EVIDENCE_KEPT, to)
    with context.store.begin() as session:
        actions.step_action(session, row, ActionState.MOVED, moved_at=now, gap_seconds=gap)
        actions.free_alias_lease(session, context.workspace, row.registry_key, row.id, now)
        records.see_holder(session, context.workspace, row.registry_key, to, now, row.id)
        records.store_evidence(session, context.workspace, [made])
        _tell(session, monitor, row, Event.ROLLBACK_MADE, text, Severity.WARNING, context)
    context.observe("move recorded")


def _verify(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Wait for the first window the target answered, and say whether it recovered."""
    holder, _ = see(context, monitor)
    now = context.now()
    with context.store.begin() as session:
        if holder != row.to_version:
            why = f"version {holder} holds the alias before version {row.to_version} could prove itself"
            actions.step_action(session, row, ActionState.SUPERSEDED, why=why, ended_at=now)
            _tell(session, monitor, row, Event.ROLLBACK_SUPERSEDED, why, Severity.CRITICAL, context)
            return
        outcomes = {Outcome(found) for found in actions.outcomes_after_move(session, row)}
        if Outcome.FAIL in outcomes:
            why = f"version {row.to_version} fails {row.check} too"
            actions.step_action(session, row, ActionState.FAILED, why=f"{row.why}; {why}", ended_at=now)
            _tell(session, monitor, row, Event.ROLLBACK_FAILED, why, Severity.CRITICAL, context)
        elif outcomes - BLIND:
            why = f"version {row.to_version} answered a window within the limits of {row.check}"
            actions.step_action(session, row, ActionState.VERIFIED, ended_at=now)
            _tell(session, monitor, row, Event.ROLLBACK_VERIFIED, why, Severity.WARNING, context)
        else:
            actions.step_action(session, row, ActionState.MOVED)


def _try_again(context: Context, monitor: Monitor, row: ActionRow, error: Exception) -> None:
    """Keep the step for later, with a longer wait each time; after the last attempt the action has failed."""
    attempt = row.attempt + 1
    now = context.now()
    with context.store.begin() as session:
        if attempt >= MOST_ATTEMPTS:
            why = f"given up after {attempt} attempts: {error}"
            actions.step_action(session, row, ActionState.FAILED, attempt=attempt, why=why, ended_at=now)
            _tell(session, monitor, row, Event.ROLLBACK_FAILED, why, Severity.CRITICAL, context)
        else:
            wait = timedelta(seconds=10 * 2**attempt)
            actions.step_action(
                session, row, ActionState(row.state), release=False, attempt=attempt, lease_expires=now + wait
            )


def _tell(
    session: Session,
    monitor: Monitor,
    row: ActionRow,
    event: Event,
    text: str,
    severity: Severity,
    context: Context,
) -> None:
    incident = session.get_one(IncidentRow, row.incident_id)
    kept = Severity.CRITICAL if Severity(incident.severity) is Severity.CRITICAL else severity
    told = Transition(incident.cause, event, text, kept, row.incident_id)
    transitions.store(session, monitor, told, context.now(), row.run_id, row.id)


_STEPS: dict[ActionState, Callable[[Context, Monitor, ActionRow], None]] = {
    ActionState.PLANNED: _replay,
    ActionState.PROPOSED: _await_approval,
    ActionState.ACCEPTED: _begin_move,
    ActionState.MOVING: _move,
    ActionState.MOVED: _verify,
}
