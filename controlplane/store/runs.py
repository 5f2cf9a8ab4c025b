"""Runs: claimed under a lease with a fencing token, recorded once, with all that was found."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from controlplane.domain.monitor import Monitor, RunKind, Window
from controlplane.domain.verdict import DetectorState, Finding, Outcome, Score, Verdict
from controlplane.errors import LeaseLost
from controlplane.store.rows import new_id, won
from controlplane.store.tables import DetectorRow, FindingRow, PartRow, RunRow, ScoreRow

CLAIMED, RECORDED = "claimed", "recorded"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to record one run: valid while the row still carries this fence."""

    run_id: str
    monitor: str
    window: Window
    kind: RunKind
    revision: int
    attempt: int
    fence: int
    seed: int


@dataclass(frozen=True, slots=True)
class DetectorKey:
    """What a detector's state belongs to; when a part changes, the state starts afresh.

    `tenure` numbers the holdings of the alias: a version that comes back begins anew.
    """

    workspace: str
    monitor: str
    version: str
    tenure: int
    reference_digest: str
    config_digest: str
    detector_version: str = DetectorState.VERSION

    @property
    def digest(self) -> str:
        """SHA-256 over the parts, in hexadecimal."""
        return natural_key(*asdict(self).values())


def natural_key(*parts: object) -> str:
    """An idempotency key: SHA-256 over the natural key's parts, in hexadecimal."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def seed_of(monitor: Monitor, window: Window) -> int:
    """The seed of everything random in a window: the same for every run of it."""
    return int(natural_key(monitor.workspace, monitor.name, window)[:8], 16)


def last_window_end(session: Session, workspace: str, monitor: str) -> datetime | None:
    """The end of the newest scheduled window that was recorded."""
    query = select(func.max(RunRow.window_end)).where(
        RunRow.workspace == workspace,
        RunRow.monitor == monitor,
        RunRow.kind == RunKind.SCHEDULED,
        RunRow.state == RECORDED,
    )
    return session.scalar(query)


def versions_without_reference(session: Session, workspace: str, monitor: str) -> list[str]:
    """The versions that answered rows of the newest recorded run and had no reference then."""
    newest = (
        select(RunRow.id)
        .where(RunRow.workspace == workspace, RunRow.monitor == monitor, RunRow.state == RECORDED)
        .order_by(RunRow.window_end.desc(), RunRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(PartRow.version).where(PartRow.run_id == newest, PartRow.reference_digest.is_(None))
    return list(session.scalars(query.order_by(PartRow.version)))


def claim_run(
    session: Session,
    monitor: Monitor,
    window: Window,
    kind: RunKind,
    owner: str,
    now: datetime,
    lease: timedelta,
    is_gone: Callable[[str], bool],
    again: str | None = None,
) -> Claim | None:
    """Take a window, or None where it is recorded or another process holds this monitor.

    A claim whose lease ran out, or whose owner `is_gone`, is taken over with a higher fence. A manual run of a
    recorded window is a new revision, and so is a scheduled one that looks `again` because labels or rows came: again
    is the run that was the newest revision when they were found, and where it is no more, somebody else has looked.
    Nothing recorded is ever edited.
    """
    row = session.scalars(
        select(RunRow)
        .where(
            RunRow.workspace == monitor.workspace,
            RunRow.monitor == monitor.name,
            RunRow.window_start == window.start,
            RunRow.window_end == window.end,
            RunRow.kind == kind,
        )
        .order_by(RunRow.revision.desc())
        .limit(1)
    ).first()
    if row is not None and row.state == CLAIMED:
        return _take_over(session, row, owner, now, lease, is_gone)
    if row is not None and kind is RunKind.SCHEDULED and row.id != again:
        return None
    _abandon_dead(session, monitor, now, is_gone)
    fresh = RunRow(
        id=new_id(),
        workspace=monitor.workspace,
        monitor=monitor.name,
        window_start=window.start,
        window_end=window.end,
        kind=kind.value,
        revision=0 if row is None else row.revision + 1,
        state=CLAIMED,
        config_digest=monitor.digest,
        owner=owner,
        lease_expires=now + lease,
        attempt=1,
        fence=1,
        claimed_at=now,
        seed=seed_of(monitor, window),
    )
    try:
        with session.begin_nested():
            session.add(fresh)
    except IntegrityError:
        return None
    return _claim(fresh)


def _take_over(
    session: Session, row: RunRow, owner: str, now: datetime, lease: timedelta, is_gone: Callable[[str], bool]
) -> Claim | None:
    if row.lease_expires > now and not is_gone(row.owner):
        return None
    if not won(
        session,
        update(RunRow)
        .where(RunRow.id == row.id, RunRow.state == CLAIMED, RunRow.fence == row.fence)
        .values(owner=owner, lease_expires=now + lease, attempt=row.attempt + 1, fence=row.fence + 1, claimed_at=now),
    ):
        return None
    session.refresh(row)
    return _claim(row)


def _abandon_dead(session: Session, monitor: Monitor, now: datetime, is_gone: Callable[[str], bool]) -> None:
    """Free the monitor from a dead owner's claim of another window: nobody may ever ask for that window again.

    A manual window is not asked for twice, and a scheduled one stops being due when the schedule changes or when
    more slots were missed than are caught up.
    """
    query = select(RunRow).where(
        RunRow.workspace == monitor.workspace, RunRow.monitor == monitor.name, RunRow.state == CLAIMED
    )
    for row in session.scalars(query).all():
        if row.lease_expires <= now or is_gone(row.owner):
            session.execute(
                delete(RunRow).where(RunRow.id == row.id, RunRow.state == CLAIMED, RunRow.fence == row.fence)
            )


def _claim(row: RunRow) -> Claim:
    window = Window(row.window_start, row.window_end)
    return Claim(row.id, row.monitor, window, RunKind(row.kind), row.revision, row.attempt, row.fence, row.seed)


@dataclass(frozen=True, slots=True)
class Part:
    """The frozen rows one version answered, and the requests they came with where the rows tell of any."""

    version: str
    n_rows: int
    sample_digest: str
    sample_rate: float
    reference_digest: str | None
    requests_digest: str | None = None


def newest(*kinds: RunKind) -> ColumnElement[bool]:
    """True of the recorded runs of these kinds that no later one of the same window replaced."""
    later = aliased(RunRow)
    names = [kind.value for kind in kinds]
    replaced = exists().where(
        later.workspace == RunRow.workspace,
        later.monitor == RunRow.monitor,
        later.window_start == RunRow.window_start,
        later.window_end == RunRow.window_end,
        later.kind.in_(names),
        later.state == RECORDED,
        or_(
            and_(later.kind == RunRow.kind, later.revision > RunRow.revision),
            and_(later.kind != RunRow.kind, later.id > RunRow.id),
        ),
    )
    return and_(RunRow.kind.in_(names), RunRow.state == RECORDED, ~replaced)


def estimated_and_true(
    session: Session, monitor: Monitor, check: str, version: str | None, estimated: str, true: str, most: int = 100
) -> list[tuple[tuple[float, float, float], tuple[float, int]]]:
    """What `check` estimated of a version in its newest windows, and what was measured of them once labels were there.

    Each is (estimate, low, high) and (truth, its rows); one a window whose labels are no longer waited for.
    """
    said, told = aliased(FindingRow), aliased(FindingRow)
    query = (
        select(said.run_id, said.estimate, said.low, said.high, told.estimate, told.n)
        .join(told, (told.run_id == said.run_id) & (told.measure == true) & (told.version == version))
        .join(RunRow, RunRow.id == said.run_id)
        .where(
            RunRow.workspace == monitor.workspace,
            RunRow.monitor == monitor.name,
            newest(RunKind.SCHEDULED),
            RunRow.awaits_labels.is_(False),
            said.check == check,
            said.measure == estimated,
            said.version == version,
            said.column.is_(None),
            said.segment.is_(None),
            told.column.is_(None),
            told.segment.is_(None),
            told.check != check,
        )
        .order_by(RunRow.window_end.desc())
    )
    # Several checks may measure the truth; one of them is enough.
    found: dict[str, tuple[tuple[float, float, float], tuple[float, int]]] = {}
    for run_id, estimate, low, high, truth, n in session.execute(query):
        if estimate is not None and low is not None and high is not None and truth is not None:
            found.setdefault(run_id, ((estimate, low, high), (truth, n)))
        if len(found) == most:
            break
    return list(found.values())


def findings_of(session: Session, run_id: str) -> list[Finding]:
    """What a recorded run found, in its order."""
    rows = session.scalars(select(FindingRow).where(FindingRow.run_id == run_id).order_by(FindingRow.id))
    return [
        Finding(
            **{item.name: getattr(row, item.name) for item in fields(Finding) if item.name != "outcome"}
            | {"outcome": None if row.outcome is None else Outcome(row.outcome)}
        )
        for row in rows
    ]


def release_run(session: Session, claim: Claim, now: datetime) -> None:
    """Give a claim back unrecorded, so that the next process may take it at once."""
    session.execute(
        update(RunRow)
        .where(RunRow.id == claim.run_id, RunRow.state == CLAIMED, RunRow.fence == claim.fence)
        .values(lease_expires=now, owner="")
    )


def record_run(
    session: Session,
    claim: Claim,
    verdict: Verdict,
    findings: Sequence[Finding],
    parts: Sequence[Part],
    version: str | None,
    now: datetime,
    seconds: float,
    awaits_labels: bool = False,
    n_read: int | None = None,
) -> None:
    """Store what a run found, if this claim still holds it; raises LeaseLost, and nothing is stored.

    `n_read` is how many rows the source gave, those of no known version among them: 0 also where it could not be read,
    None where it was not asked.
    """
    if not won(
        session,
        update(RunRow)
        .where(RunRow.id == claim.run_id, RunRow.state == CLAIMED, RunRow.fence == claim.fence)
        .values(
            state=RECORDED,
            recorded_at=now,
            outcome=verdict.outcome.value,
            why=verdict.why,
            version=version,
            n_rows=sum(part.n_rows for part in parts),
            seconds=seconds,
            awaits_labels=awaits_labels,
            n_read=n_read,
        ),
    ):
        raise LeaseLost(f"run {claim.run_id} of {claim.monitor} was taken over by another process")
    if parts:
        session.execute(insert(PartRow), [{"run_id": claim.run_id, **asdict(part)} for part in parts])
    if findings:
        rows = [{"id": new_id(), "run_id": claim.run_id, **_finite(asdict(finding))} for finding in findings]
        session.execute(insert(FindingRow), rows)


def _finite(values: dict[str, object]) -> dict[str, object]:
    """NaN and infinity become NULL: the two databases keep them differently, and no reader could compare them."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def load_state(session: Session, key: DetectorKey) -> DetectorState:
    """The detector's state under this key, or a fresh one."""
    row = session.get(DetectorRow, key.digest)
    return DetectorState() if row is None else DetectorState.load(row.payload)


def save_state(session: Session, claim: Claim, key: DetectorKey, scores: Sequence[Score], state: DetectorState) -> None:
    """Store the state with the scores it was folded from."""
    if scores:
        rows = [
            {"run_id": claim.run_id, "place": place, "detector_key": key.digest, **asdict(score)}
            for place, score in enumerate(scores)
        ]
        session.execute(insert(ScoreRow), rows)
    session.merge(
        DetectorRow(
            key=key.digest,
            workspace=key.workspace,
            monitor=key.monitor,
            version=key.version,
            tenure=key.tenure,
            reference_digest=key.reference_digest,
            detector_version=key.detector_version,
            config_digest=key.config_digest,
            payload=state.dump(),
            window_end=claim.window.end,
            run_id=claim.run_id,
        )
    )


def scores_of_key(session: Session, key: DetectorKey) -> list[list[Score]]:
    """The stored scores of a key, one list a run, in the order they were folded in: its state comes from them again."""
    query = (
        select(ScoreRow)
        .join(RunRow, RunRow.id == ScoreRow.run_id)
        .where(ScoreRow.detector_key == key.digest)
        .order_by(RunRow.recorded_at, RunRow.revision, RunRow.window_end, ScoreRow.place)
    )
    folded: dict[str, list[Score]] = {}
    for row in session.scalars(query):
        folded.setdefault(row.run_id, []).append(
            Score(row.check, row.name, row.value, row.column, row.side, row.measure, row.usual)
        )
    return list(folded.values())
