"""What servers told of the aliases they follow: the newest word of each, and when it came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from controlplane.store.tables_acts import ServerRow


def store_word(
    session: Session,
    workspace: str,
    server: str,
    registry_key: str,
    role: str,
    wanted: str | None,
    served: str | None,
    why: str,
    now: datetime,
) -> None:
    """Keep a server's word in place of its earlier one; `since` is when the reason it gives was new."""
    row = session.get(ServerRow, (workspace, server, registry_key, role))
    since = row.since if row is not None and row.why == why else now
    session.merge(
        ServerRow(
            workspace=workspace,
            server=server,
            registry_key=registry_key,
            role=role,
            wanted=wanted,
            served=served,
            why=why,
            since=since,
            seen_at=now,
        )
    )


def forget(session: Session, workspace: str, server: str) -> None:
    """Remove what a server told: it was stopped in good order."""
    session.execute(delete(ServerRow).where(ServerRow.workspace == workspace, ServerRow.server == server))


def words(session: Session, workspace: str, after: datetime) -> Sequence[ServerRow]:
    """What each server told last, where that was after a moment; by server and role."""
    query = select(ServerRow).where(ServerRow.workspace == workspace, ServerRow.seen_at > after)
    return session.scalars(query.order_by(ServerRow.server, ServerRow.registry_key, ServerRow.role)).all()
