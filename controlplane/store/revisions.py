"""Recorded windows that are looked at again, because labels or rows may have come late: by their newest revision."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from controlplane.domain.monitor import Monitor, RunKind, Window
from controlplane.store.runs import RECORDED, Part, newest
from controlplane.store.tables import PartRow, RunRow


@dataclass(frozen=True, slots=True)
class Revision:
    """The newest revision of a recorded window: the version in charge, the rows it kept, and how many its source gave
    (0 also where it could not be read)."""

    run_id: str
    window: Window
    version: str | None
    parts: tuple[Part, ...]
    n_read: int
    awaits_labels: bool


def waiting_for_labels(session: Session, monitor: Monitor) -> list[Revision]:
    """The windows that wait for labels, oldest first."""
    return _newest(session, monitor, RunRow.awaits_labels.is_(True))


def open_to_rows(session: Session, monitor: Monitor) -> list[Revision]:
    """The windows whose source may be looked at for late rows, oldest first: those whose time for it was not over when
    a window was last run.

    Not among them: what an older form of the job measured, and windows whose source was never asked.
    """
    last = session.scalar(
        select(func.max(RunRow.claimed_at)).where(*_scheduled(monitor), RunRow.state == RECORDED, RunRow.revision == 0)
    )
    if last is None or not monitor.schedule.late_rows:
        return []
    return _newest(
        session,
        monitor,
        RunRow.window_end > last - monitor.schedule.late_rows,
        RunRow.config_digest == monitor.digest,
        RunRow.n_read.is_not(None),
    )


def rows_judged_after(session: Session, monitor: Monitor, window: Window, by_labels: bool = False) -> bool:
    """Whether the rows or requests of a window that ends later were judged already; `by_labels`: rows, and by those
    waited for."""
    later = [*_scheduled(monitor), RunRow.state == RECORDED, RunRow.window_end > window.end]
    if by_labels:
        later += [RunRow.n_rows > 0, RunRow.awaits_labels.is_(False)]
    else:
        later.append(exists().where(PartRow.run_id == RunRow.id))
    return session.scalar(select(RunRow.id).where(*later).limit(1)) is not None


def _scheduled(monitor: Monitor) -> list[ColumnElement[bool]]:
    return [
        RunRow.workspace == monitor.workspace,
        RunRow.monitor == monitor.name,
        RunRow.kind == RunKind.SCHEDULED,
    ]


def _newest(session: Session, monitor: Monitor, *where: ColumnElement[bool]) -> list[Revision]:
    chosen = (*_scheduled(monitor), newest(RunKind.SCHEDULED), *where)
    parts: dict[str, list[Part]] = {}
    for row in session.scalars(select(PartRow).join(RunRow).where(*chosen).order_by(PartRow.version)):
        frozen = row.n_rows, row.sample_digest, row.sample_rate, row.reference_digest, row.requests_digest
        part = Part(row.version, *frozen)
        parts.setdefault(row.run_id, []).append(part)
    return [
        Revision(
            row.id,
            Window(row.window_start, row.window_end),
            row.version,
            tuple(parts.get(row.id, ())),
            row.n_read or 0,
            row.awaits_labels,
        )
        for row in session.scalars(select(RunRow).where(*chosen).order_by(RunRow.window_end, RunRow.window_start))
    ]
