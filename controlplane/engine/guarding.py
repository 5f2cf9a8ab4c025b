"""Guarding: what the store knows of moves and freezes, held against a move that is asked for."""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.action import Refused
from controlplane.domain.guards import HOUR, Known, Wish, guard
from controlplane.domain.monitor import Monitor
from controlplane.engine.context import Context
from controlplane.engine.schedule import closed
from controlplane.store import Session, freezes, moves
from controlplane.store.tables_acts import ActionRow


def hold(
    context: Context,
    session: Session,
    monitor: Monitor,
    now: datetime,
    from_version: str | None,
    to_version: str | None = None,
    *,
    approved: bool = False,
    action_id: str = "",
    alone: bool = False,
) -> Refused | None:
    """Why the monitor's alias must not be moved now, or None; asks the store alone.

    `to_version` None: the target is not chosen yet. `approved` moves, and undoing one's own, are held by freezes only.
    `action_id` is the action that asks, whose own move does not count against it. `alone` is for the transaction that
    begins the move: others of us who begin one, or throw the kill switch, wait until it ends. Call it first there.
    """
    if alone:
        freezes.one_at_a_time(session)
    asking = session.get(ActionRow, action_id) if action_id else None
    key = asking.registry_key if asking is not None else context.registry.key(monitor.model)
    workspace, fleet = context.workspace, context.fleet
    under_way = moves.under_way(session, workspace, action_id)
    known = Known(
        freezes=[*freezes.in_force(session, workspace, now), *freezes.asked_for(session, workspace)],
        closed=closed([*monitor.guards.freeze_windows, *fleet.freeze_windows], now),
        moves=moves.of_alias(session, workspace, key),
        made=[*moves.made_since(session, workspace, now - HOUR), *[now] * under_way],
        unverified=moves.unverified(session, workspace, monitor.risk_tier, key),
    )
    wish = Wish(monitor.name, monitor.risk_tier, from_version, to_version, approved)
    return guard(wish, monitor.guards, fleet, known, now)


def known_then(context: Context, monitor: Monitor, then: datetime) -> Known:
    """What guards would have known at a past moment of what was really done until then, for a backtest.

    How many other aliases were moved and not yet verified then is not known, and taken as none.
    """
    workspace, key = context.workspace, context.registry.key(monitor.model)
    with context.store.begin() as session:
        # What we did at that very moment came of the decision; what others did was seen before it.
        visible = [move for move in moves.of_alias(session, workspace, key) if move.at < then or not move.ours]
        return Known(
            freezes=freezes.in_force_then(session, workspace, then),
            closed=closed([*monitor.guards.freeze_windows, *context.fleet.freeze_windows], then),
            moves=[move for move in visible if move.at <= then],
            made=[at for at in moves.made_since(session, workspace, then - HOUR) if at < then],
        )
