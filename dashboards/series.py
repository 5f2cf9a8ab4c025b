"""What the page of one monitor reads: measures over windows, the findings of one window, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from sqlalchemy import func, select

from controlplane.dashboards.queries import FRESH, Place, reading
from controlplane.domain.monitor import RunKind
from controlplane.store.runs import newest
from controlplane.store.tables import AttachmentRow, FindingRow, FollowupRow, PartRow, RunRow


@dataclass(frozen=True)
class Seen:
    """A recorded window, and the versions that answered its rows, each with how many."""

    run: RunRow
    versions: tuple[tuple[str, int], ...]

    @property
    def answered(self) -> str:
        """The versions in one word, such as `2` or `1+2`; a question mark where nothing was answered."""
        return "+".join(version for version, _ in self.versions) or "?"

    @property
    def middle(self) -> datetime:
        """The middle of the window, where its points stand."""
        return self.run.window_start + (self.run.window_end - self.run.window_start) / 2


@st.cache_data(ttl=FRESH, show_spinner=False)
def windows(where: Place, monitor: str, most: int) -> list[Seen]:
    """The newest windows of a monitor, oldest first; of a window measured again, the last time counts."""
    with reading(where) as session:
        query = (
            select(RunRow)
            .where(
                RunRow.workspace == where.workspace,
                RunRow.monitor == monitor,
                newest(RunKind.SCHEDULED, RunKind.MANUAL),
            )
            .order_by(RunRow.window_end.desc())
            .limit(most)
        )
        runs = list(session.scalars(query))[::-1]
        parts: dict[str, list[tuple[str, int]]] = {}
        for part in session.scalars(select(PartRow).where(PartRow.run_id.in_([run.id for run in runs]))):
            parts.setdefault(part.run_id, []).append((part.version, part.n_rows))
    return [Seen(run, tuple(sorted(parts.get(run.id, [])))) for run in runs]


@dataclass(frozen=True)
class Choice:
    """What can be drawn: a measure of a check, and its columns (None: the window's own), farthest moved first."""

    check: str
    measure: str
    columns: tuple[str | None, ...]
    limited: bool


@st.cache_data(ttl=FRESH, show_spinner=False)
def choices(where: Place, run_ids: tuple[str, ...]) -> list[Choice]:
    """The measures of these windows, those with a limit first; their columns, the farthest moved first."""
    with reading(where) as session:
        rows = session.execute(
            select(
                FindingRow.check,
                FindingRow.measure,
                FindingRow.column,
                func.max(FindingRow.limit),
                func.max(func.abs(FindingRow.estimate)),
            )
            .where(FindingRow.run_id.in_(run_ids), FindingRow.estimate.is_not(None))
            .group_by(FindingRow.check, FindingRow.measure, FindingRow.column)
        )
        grouped: dict[tuple[str, str], list[tuple[float, str | None, bool]]] = {}
        for check, measure, column, limit, most in rows:
            grouped.setdefault((check, measure), []).append((-float(most), column, limit is not None))
    found = [
        Choice(
            check,
            measure,
            tuple(column for _, column, _ in sorted(members, key=lambda one: (one[0], one[1] or ""))),
            any(limited for *_, limited in members),
        )
        for (check, measure), members in grouped.items()
    ]
    return sorted(found, key=lambda choice: (choice.check, not choice.limited, choice.measure))


@st.cache_data(ttl=FRESH, show_spinner=False)
def points(
    where: Place, run_ids: tuple[str, ...], check: str, measure: str, column: str | None
) -> dict[str, list[FindingRow]]:
    """The findings of one measure, by window."""
    with reading(where) as session:
        query = select(FindingRow).where(
            FindingRow.run_id.in_(run_ids), FindingRow.check == check, FindingRow.measure == measure
        )
        query = query.where(FindingRow.column.is_(None) if column is None else FindingRow.column == column)
        found: dict[str, list[FindingRow]] = {}
        for row in session.scalars(query.order_by(FindingRow.version)):
            found.setdefault(row.run_id, []).append(row)
    return found


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability curve: what was believed in it, how much of that came true, and over how many rows."""

    segment: str
    version: str | None
    confidence: float
    observed: float
    low: float
    high: float
    n: int


def bins(where: Place, seen: list[Seen], check: str) -> tuple[Seen, list[Bin]] | None:
    """The reliability curve of the newest of these windows that has one, by version and rising probability."""
    ids = tuple(one.run.id for one in seen)
    observed, believed = (points(where, ids, check, measure, None) for measure in ("reliability", "confidence"))
    for one in reversed(seen):
        sure = {(row.version, row.segment): row.estimate for row in believed.get(one.run.id, ())}
        found = [
            Bin(row.segment, row.version, confidence, row.estimate, row.low, row.high, row.n)
            for row in observed.get(one.run.id, ())
            if (confidence := sure.get((row.version, row.segment))) is not None
            and row.segment is not None
            and row.estimate is not None
            and row.low is not None
            and row.high is not None
        ]
        if found:
            return one, sorted(found, key=lambda bin_: (bin_.version or "", bin_.confidence))
    return None


@dataclass(frozen=True)
class Detail:
    """One window's findings, the worst first, what was attached to it, and the jobs that are to attach more."""

    findings: tuple[FindingRow, ...]
    attachments: tuple[AttachmentRow, ...]
    followups: tuple[FollowupRow, ...]


_ORDER = ["FAIL", "ERROR", "INCONCLUSIVE", "WARN", "PASS", None]


@st.cache_data(ttl=FRESH, show_spinner=False)
def detail(where: Place, run_id: str) -> Detail:
    """Everything that was found in one window."""
    with reading(where) as session:
        findings = session.scalars(select(FindingRow).where(FindingRow.run_id == run_id).order_by(FindingRow.id)).all()
        attached = session.scalars(select(AttachmentRow).where(AttachmentRow.run_id == run_id)).all()
        jobs = session.scalars(select(FollowupRow).where(FollowupRow.run_id == run_id)).all()
    return Detail(
        tuple(sorted(findings, key=lambda row: (_ORDER.index(row.outcome), row.dry_run))), tuple(attached), tuple(jobs)
    )
