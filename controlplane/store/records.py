"""What is only ever added: configurations, references, evidence, alias holdings; and the follow-up jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controlplane.domain.action import ActionState
from controlplane.domain.alias import Holding
from controlplane.domain.evidence import Evidence
from controlplane.domain.monitor import Monitor, RunKind, Window
from controlplane.domain.verdict import Outcome
from controlplane.store import chain
from controlplane.store.rows import new_id, won
from controlplane.store.tables import ConfigRow, EvidenceRow, FindingRow, FollowupRow, MonitorRow, ReferenceRow, RunRow
from controlplane.store.tables_acts import ActionRow, HoldingRow


def store_monitor(session: Session, monitor: Monitor, now: datetime) -> bool:
    """Keep a monitor's canonical form by digest; True where this form is new to the workspace."""
    known = session.get(ConfigRow, (monitor.workspace, monitor.digest))
    if known is None:
        session.add(
            ConfigRow(workspace=monitor.workspace, digest=monitor.digest, canonical=monitor.canonical(), stored_at=now)
        )
    row = session.get(MonitorRow, (monitor.workspace, monitor.name))
    if row is not None and row.config_digest == monitor.digest:
        return False
    session.merge(
        MonitorRow(
            workspace=monitor.workspace,
            name=monitor.name,
            config_digest=monitor.digest,
            model=monitor.model.name,
            alias=monitor.model.alias,
            owner=monitor.owner,
            risk_tier=monitor.risk_tier.value,
            reaction=monitor.reaction.value,
            runbook=monitor.runbook,
            updated_at=now,
        )
    )
    return True


def monitor_names(session: Session, workspace: str) -> list[str]:
    """Every monitor that was ever loaded."""
    return list(session.scalars(select(MonitorRow.name).where(MonitorRow.workspace == workspace)))


def store_evidence(session: Session, workspace: str, evidence: Sequence[Evidence]) -> None:
    """Add evidence rows; one that is already there, digest and all, is left as it is."""
    known = set(
        session.scalars(
            select(EvidenceRow.digest).where(
                EvidenceRow.workspace == workspace, EvidenceRow.digest.in_([item.digest for item in evidence])
            )
        )
    )
    for item in evidence:
        if item.digest not in known:
            known.add(item.digest)
            row = EvidenceRow(id=new_id(), workspace=workspace, digest=item.digest, **asdict(item))
            chain.append(session, row)
            session.add(row)


def evidence_of(session: Session, workspace: str) -> list[Evidence]:
    """Every evidence row of the workspace, oldest first."""
    query = select(EvidenceRow).where(EvidenceRow.workspace == workspace).order_by(EvidenceRow.id)
    return [
        Evidence(
            row.kind,
            row.subject,
            row.source,
            row.outcome,
            row.summary,
            row.collected,
            row.expires,
            row.version,
            row.n,
        )
        for row in session.scalars(query)
    ]


def reference_of(session: Session, monitor: Monitor, version: str, recipe_digest: str) -> ReferenceRow | None:
    """The newest reference of a version, built by this very recipe."""
    return session.scalars(
        select(ReferenceRow)
        .where(
            ReferenceRow.workspace == monitor.workspace,
            ReferenceRow.monitor == monitor.name,
            ReferenceRow.version == version,
            ReferenceRow.recipe_digest == recipe_digest,
        )
        .order_by(ReferenceRow.id.desc())
        .limit(1)
    ).first()


def newest_reference(session: Session, monitor: Monitor) -> ReferenceRow | None:
    """The reference that was built last for a monitor, of whichever version."""
    return session.scalars(
        select(ReferenceRow)
        .where(ReferenceRow.workspace == monitor.workspace, ReferenceRow.monitor == monitor.name)
        .order_by(ReferenceRow.id.desc())
        .limit(1)
    ).first()


def holdings(session: Session, workspace: str, registry_key: str) -> list[Holding]:
    """Who held an alias, oldest first."""
    return [
        Holding(row.version, row.since, row.unseen_since)
        for row in session.scalars(
            select(HoldingRow)
            .where(HoldingRow.workspace == workspace, HoldingRow.registry_key == registry_key)
            .order_by(HoldingRow.sequence)
        )
    ]


def first_looks(session: Session, monitor: Monitor) -> dict[Window, tuple[str | None, datetime]]:
    """Whom each scheduled window found in charge when it was first run, and when that was recorded."""
    rows = session.execute(
        select(RunRow.window_start, RunRow.window_end, RunRow.version, RunRow.recorded_at).where(
            RunRow.workspace == monitor.workspace,
            RunRow.monitor == monitor.name,
            RunRow.kind == RunKind.SCHEDULED,
            RunRow.revision == 0,
            RunRow.recorded_at.is_not(None),
        )
    )
    return {Window(start, end): (version, at) for start, end, version, at in rows if at is not None}


def see_holder(
    session: Session, workspace: str, registry_key: str, version: str, now: datetime, action_id: str | None = None
) -> int:
    """Note which version holds an alias now, and return the holding's number; a change since the last look is new.

    A change we made ourselves (`action_id`) is exact; one by somebody else lies between the last look and this one.
    Where a write of ours to this version is under way, it is ours, whoever looks first.
    """
    last = _last_holding(session, workspace, registry_key)
    if last is not None and last.version == version:
        session.execute(
            update(HoldingRow).where(HoldingRow.id == last.id, HoldingRow.last_seen < now).values(last_seen=now)
        )
        return last.sequence
    sequence = 0 if last is None else last.sequence + 1
    action_id = action_id or _mover(session, workspace, registry_key, version)
    row = HoldingRow(
        id=new_id(),
        workspace=workspace,
        registry_key=registry_key,
        sequence=sequence,
        version=version,
        since=now,
        unseen_since=None if last is None or action_id is not None else last.last_seen,
        last_seen=now,
        action_id=action_id,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        noted = _last_holding(session, workspace, registry_key)
        if noted is None or noted.sequence < sequence:
            raise
        # Another process looked at the same moment and noted it first.
        return see_holder(session, workspace, registry_key, version, now, action_id)
    chain.append(session, row)
    return sequence


def _mover(session: Session, workspace: str, registry_key: str, version: str) -> str | None:
    """The action whose write of this version to this alias was begun and is not recorded yet."""
    moving = and_(ActionRow.state == ActionState.MOVING.value, ActionRow.to_version == version)
    undoing = and_(ActionRow.state == ActionState.UNDOING.value, ActionRow.from_version == version)
    return session.scalar(
        select(ActionRow.id).where(
            ActionRow.workspace == workspace,
            ActionRow.registry_key == registry_key,
            ActionRow.write_begun_at.is_not(None),
            or_(moving, undoing),
        )
    )


def _last_holding(session: Session, workspace: str, registry_key: str) -> HoldingRow | None:
    return session.scalars(
        select(HoldingRow)
        .where(HoldingRow.workspace == workspace, HoldingRow.registry_key == registry_key)
        .order_by(HoldingRow.sequence.desc())
        .limit(1)
    ).first()


def store_followup(session: Session, workspace: str, kind: str, run_id: str, check: str, version: str) -> None:
    """Leave a job behind for after the run."""
    session.add(
        FollowupRow(
            id=new_id(), workspace=workspace, kind=kind, run_id=run_id, check=check, version=version, state="pending"
        )
    )


def claim_followup(session: Session, workspace: str, now: datetime, lease: timedelta) -> FollowupRow | None:
    """Take the oldest follow-up job that is free."""
    row = session.scalars(
        select(FollowupRow)
        .where(
            FollowupRow.workspace == workspace,
            FollowupRow.state == "pending",
            or_(FollowupRow.lease_expires.is_(None), FollowupRow.lease_expires <= now),
        )
        .order_by(FollowupRow.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    if not won(
        session,
        update(FollowupRow)
        .where(FollowupRow.id == row.id, FollowupRow.state == "pending", FollowupRow.attempt == row.attempt)
        .values(lease_expires=now + lease, attempt=row.attempt + 1),
    ):
        return None
    session.refresh(row)
    return row


def end_followup(session: Session, row: FollowupRow, state: str, error: str = "") -> None:
    """Say how a follow-up job ended: done, failed, or pending again; nothing where another attempt took it over."""
    session.execute(
        update(FollowupRow)
        .where(FollowupRow.id == row.id, FollowupRow.state == "pending", FollowupRow.attempt == row.attempt)
        .values(state=state, error=error)
    )


def failed_columns(session: Session, job: FollowupRow) -> list[str]:
    """The columns that failed the job's check, largest estimate first."""
    rows = session.scalars(
        select(FindingRow.column)
        .where(
            FindingRow.run_id == job.run_id,
            FindingRow.check == job.check,
            FindingRow.version == job.version,
            FindingRow.outcome == Outcome.FAIL.value,
            FindingRow.column.is_not(None),
        )
        .order_by(FindingRow.estimate.desc().nulls_last())
    )
    return list(dict.fromkeys(str(column) for column in rows))


def reference_with(session: Session, workspace: str, digest: str | None) -> ReferenceRow | None:
    """The reference of that digest."""
    return session.scalars(
        select(ReferenceRow).where(ReferenceRow.workspace == workspace, ReferenceRow.digest == digest).limit(1)
    ).first()
