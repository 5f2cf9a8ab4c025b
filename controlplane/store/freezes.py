"""The kill switch as stored: freezes with an author, a reason and an end; one that was only asked for counts too."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, or_, select, text
from sqlalchemy.orm import Session

from controlplane.domain.guards import Freeze
from controlplane.store import chain
from controlplane.store.intents import STORED, IntentKind
from controlplane.store.rows import new_id
from controlplane.store.tables_acts import FreezeRow, IntentRow

ALL = "*"
"""How an intent names all monitors."""

_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(4242002)"


def store_freeze(session: Session, workspace: str, freeze: Freeze) -> str:
    """Keep a freeze; returns its id."""
    row = FreezeRow(
        id=new_id(),
        workspace=workspace,
        monitor=freeze.monitor,
        author=freeze.author,
        why=freeze.why,
        since=freeze.since,
        until=freeze.until,
    )
    chain.append(session, row)
    session.add(row)
    session.flush()
    return row.id


def in_force(session: Session, workspace: str, now: datetime) -> list[Freeze]:
    """The freezes that are neither lifted nor over: of everything first, then by monitor, oldest first."""
    rows = session.scalars(_open(workspace, now))
    found = [Freeze(row.monitor, row.author, row.why, row.since, row.until) for row in rows]
    return sorted(found, key=lambda freeze: freeze.monitor or "")


def _open(workspace: str, now: datetime) -> Select[FreezeRow]:
    return (
        select(FreezeRow)
        .where(
            FreezeRow.workspace == workspace,
            FreezeRow.lifted_at.is_(None),
            or_(FreezeRow.until.is_(None), FreezeRow.until > now),
        )
        .order_by(FreezeRow.id)
    )


def in_force_then(session: Session, workspace: str, then: datetime) -> list[Freeze]:
    """The freezes that were in force at a past moment, oldest first."""
    query = select(FreezeRow).where(
        FreezeRow.workspace == workspace,
        FreezeRow.since <= then,
        or_(FreezeRow.lifted_at.is_(None), FreezeRow.lifted_at > then),
        or_(FreezeRow.until.is_(None), FreezeRow.until > then),
    )
    rows = session.scalars(query.order_by(FreezeRow.id))
    return [Freeze(row.monitor, row.author, row.why, row.since, row.until) for row in rows]


def asked_for(session: Session, workspace: str) -> list[Freeze]:
    """The freezes that people asked for and nobody applied yet: they hold from the moment they are stored."""
    query = select(IntentRow).where(
        IntentRow.workspace == workspace, IntentRow.kind == IntentKind.FREEZE, IntentRow.state == STORED
    )
    return [
        Freeze(None if row.target == ALL else row.target, row.author, row.why, row.at, row.until)
        for row in session.scalars(query.order_by(IntentRow.id))
    ]


def lift(session: Session, workspace: str, monitor: str | None, author: str, now: datetime) -> list[str]:
    """End every freeze of exactly that monitor (None: of everything) that is not over; returns their ids."""
    rows = session.scalars(
        _open(workspace, now).where(FreezeRow.monitor.is_(None) if monitor is None else FreezeRow.monitor == monitor)
    ).all()
    for row in rows:
        chain.amend(session, row)
        row.lifted_at, row.lifted_by = now, author
    session.flush()
    return [row.id for row in rows]


def one_at_a_time(session: Session) -> None:
    """Have whoever begins a move, or throws the kill switch, wait for the others who do, until this transaction ends.

    Two moves of different aliases touch no common row, so that both would fit under the fleet's cap on PostgreSQL. On
    SQLite every transaction is alone with the database anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(_ONE_AT_A_TIME))
