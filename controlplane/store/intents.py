"""Intents: what people ask for, as rows with an author; the engine turns them into transitions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from controlplane.store import chain
from controlplane.store.rows import new_id, won
from controlplane.store.tables_acts import IntentRow

STORED, APPLIED, REFUSED = "stored", "applied", "refused"


class IntentKind(StrEnum):
    """What a person can ask for."""

    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    APPROVE = "approve"
    REJECT = "reject"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"


def store_intent(
    session: Session,
    workspace: str,
    kind: IntentKind,
    target: str,
    author: str,
    why: str,
    now: datetime,
    until: datetime | None = None,
    bound: str = "",
) -> str:
    """Keep what a person asked for; returns the intent's id. `target` is the id of an incident or action, or a monitor.

    An approval is `bound` to the digest of the proof that its author was shown.
    """
    row = IntentRow(
        id=new_id(),
        workspace=workspace,
        kind=kind.value,
        target=target,
        author=author,
        why=why,
        until=until,
        state=STORED,
        at=now,
        bound=bound,
    )
    chain.append(session, row)
    session.add(row)
    session.flush()
    return row.id


def waiting(session: Session, workspace: str) -> list[IntentRow]:
    """The intents that nobody applied yet, oldest first."""
    query = select(IntentRow).where(IntentRow.workspace == workspace, IntentRow.state == STORED).order_by(IntentRow.id)
    return list(session.scalars(query))


def intent_of(session: Session, intent_id: str) -> IntentRow:
    """The intent of that id, as it is now."""
    return session.get_one(IntentRow, intent_id)


def end_intent(session: Session, intent: IntentRow, state: str, result: str, now: datetime) -> bool:
    """Say what became of an intent; False where somebody else applied it first."""
    chain.amend(session, intent)
    return won(
        session,
        update(IntentRow)
        .where(IntentRow.id == intent.id, IntentRow.state == STORED)
        .values(state=state, result=result, applied_at=now),
    )
