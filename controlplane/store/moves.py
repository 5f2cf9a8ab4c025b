"""Moves as stored, for the guards: of one alias by anybody, of all aliases by us, and those that are not verified."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from controlplane.domain.action import LIVE, ActionState
from controlplane.domain.guards import Move
from controlplane.domain.monitor import RiskTier
from controlplane.store.tables import MonitorRow
from controlplane.store.tables_acts import ActionRow, HoldingRow

_OUT = sorted(LIVE - {ActionState.PLANNED, ActionState.PROPOSED, ActionState.ACCEPTED})
"""The states from the moment an alias is about to be moved until it is known whether that helped."""


def of_alias(session: Session, workspace: str, registry_key: str) -> list[Move]:
    """Every visible move of an alias, oldest first; which of them are ours, our actions say."""
    held = session.scalars(
        select(HoldingRow)
        .where(HoldingRow.workspace == workspace, HoldingRow.registry_key == registry_key)
        .order_by(HoldingRow.sequence)
    ).all()
    found = [
        Move(before.version, after.version, after.since, after.action_id is not None)
        for before, after in pairwise(held)
    ]
    noted = {row.action_id for row in held}
    made = session.scalars(
        select(ActionRow).where(
            ActionRow.workspace == workspace, ActionRow.registry_key == registry_key, ActionRow.moved_at.is_not(None)
        )
    )
    # Another of us may have seen the alias there before the move was recorded, and taken it for a stranger's.
    found += [
        Move(row.from_version or "", row.to_version or "", row.moved_at, True)
        for row in made
        if row.moved_at is not None and row.id not in noted
    ]
    return sorted(found, key=lambda move: move.at)


def made_since(session: Session, workspace: str, since: datetime) -> list[datetime]:
    """When we moved any alias of the workspace after `since`, there and back again, oldest first."""
    held = session.execute(
        select(HoldingRow.action_id, HoldingRow.since).where(
            HoldingRow.workspace == workspace, HoldingRow.action_id.is_not(None), HoldingRow.since > since
        )
    ).all()
    noted = {action for action, _ in held}
    made = session.execute(
        select(ActionRow.id, ActionRow.moved_at).where(ActionRow.workspace == workspace, ActionRow.moved_at > since)
    )
    return sorted([at for _, at in held] + [at for action, at in made if at is not None and action not in noted])


def under_way(session: Session, workspace: str, action_id: str = "") -> int:
    """How many moves are being made just now, other than that of `action_id`."""
    query = select(func.count()).where(
        ActionRow.workspace == workspace, ActionRow.state == ActionState.MOVING, ActionRow.id != action_id
    )
    return session.scalar(query) or 0


def unverified(session: Session, workspace: str, tier: RiskTier, registry_key: str) -> int:
    """How many other aliases than `registry_key` of a risk tier are moved by us, and not known to be better for it."""
    query = (
        select(func.count(ActionRow.registry_key.distinct()))
        .join(MonitorRow, (MonitorRow.workspace == ActionRow.workspace) & (MonitorRow.name == ActionRow.monitor))
        .where(
            ActionRow.workspace == workspace,
            ActionRow.state.in_(_OUT),
            ActionRow.registry_key != registry_key,
            MonitorRow.risk_tier == tier,
        )
    )
    return session.scalar(query) or 0
