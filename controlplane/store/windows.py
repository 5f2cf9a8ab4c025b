"""What recorded windows were like: how many rows they have as a rule, and the revisions of one."""

from __future__ import annotations

from statistics import median_low

from sqlalchemy import select
from sqlalchemy.orm import Session

from controlplane.domain.monitor import Monitor, RunKind, Window
from controlplane.store.tables import RunRow

_NEWEST = 20


def usual_rows(session: Session, monitor: Monitor) -> int | None:
    """How many rows the newest windows of a monitor had, by their median; None where none had any."""
    query = (
        select(RunRow.n_rows)
        .where(
            RunRow.workspace == monitor.workspace,
            RunRow.monitor == monitor.name,
            RunRow.kind == RunKind.SCHEDULED.value,
            RunRow.n_rows > 0,
        )
        .order_by(RunRow.window_end.desc())
        .limit(_NEWEST)
    )
    found = list(session.scalars(query))
    return median_low(found) if found else None


def revisions(session: Session, monitor: Monitor, window: Window) -> list[RunRow]:
    """Every scheduled run of one window, oldest revision first."""
    query = (
        select(RunRow)
        .where(
            RunRow.workspace == monitor.workspace,
            RunRow.monitor == monitor.name,
            RunRow.kind == RunKind.SCHEDULED.value,
            RunRow.window_start == window.start,
            RunRow.window_end == window.end,
        )
        .order_by(RunRow.revision)
    )
    return list(session.scalars(query))
