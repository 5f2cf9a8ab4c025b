"""Actions: rollbacks as stored state, each step claimed under a fence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import exists, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from controlplane.domain.action import LIVE, NEXT, ActionState, Past, Plan, Proof, Refusal, Refused
from controlplane.domain.attribution import attribute
from controlplane.domain.incident import IncidentState
from controlplane.domain.monitor import Monitor, Reaction, RunKind
from controlplane.domain.verdict import BLIND, Measure
from controlplane.errors import LeaseLost
from controlplane.store import chain
from controlplane.store.rows import new_id, won
from controlplane.store.runs import Claim, natural_key
from controlplane.store.tables import AttachmentRow, FindingRow, IncidentRow, PartRow, RunRow
from controlplane.store.tables_acts import ActionRow, AliasLeaseRow, ReplayRow, VersionRow


def past_of(session: Session, monitor: Monitor, registry_key: str, replayable: Sequence[str]) -> Past:
    """What earlier actions and open incidents say of this alias's versions."""
    moved = session.scalars(
        select(ActionRow)
        .where(
            ActionRow.workspace == monitor.workspace,
            ActionRow.registry_key == registry_key,
            ActionRow.moved_at.is_not(None),
        )
        .order_by(ActionRow.moved_at, ActionRow.id)
    ).all()
    quarantined: dict[str, None] = {}
    for row in moved:
        # Whoever came back by a later move of ours was proved and agreed to anew.
        quarantined.pop(str(row.to_version), None)
        quarantined[str(row.from_version)] = None
    failing = session.scalars(
        select(IncidentRow.version).where(
            IncidentRow.workspace == monitor.workspace,
            IncidentRow.monitor == monitor.name,
            IncidentRow.state != IncidentState.CLOSED,
            IncidentRow.cause.in_(replayable),
            IncidentRow.version.is_not(None),
        )
    ).all()
    return Past(
        frozenset(quarantined),
        frozenset(str(version) for version in failing),
    )


def wants_plan(session: Session, monitor: Monitor, incident_id: str, planned: Plan | Refused) -> bool:
    """Whether this plan is news: no action of the monitor is under way, and the same refusal was not just given.

    After a no of a person, or a move that was undone, the incident is a person's: nothing more is planned for it.
    """
    live = session.scalar(
        select(ActionRow.id).where(
            ActionRow.workspace == monitor.workspace,
            ActionRow.monitor == monitor.name,
            ActionRow.state.in_([state.value for state in LIVE]),
        )
    )
    if live is not None:
        return False
    last = session.scalars(
        select(ActionRow).where(ActionRow.incident_id == incident_id).order_by(ActionRow.id.desc()).limit(1)
    ).first()
    if last is None:
        return True
    if last.state in (ActionState.REJECTED, ActionState.UNDONE):
        return False
    return not (isinstance(planned, Refused) and last.state == ActionState.REFUSED and last.code == planned.code)


def was_refused(session: Session, row: ActionRow, code: Refusal) -> bool:
    """Whether the same rollback of the same incident was refused before for the same reason: then it is no news."""
    query = select(ActionRow.id).where(
        ActionRow.incident_id == row.incident_id,
        ActionRow.id != row.id,
        ActionRow.state == ActionState.REFUSED.value,
        ActionRow.code == code.value,
        ActionRow.to_version == row.to_version,
    )
    return session.scalars(query.limit(1)).first() is not None


def store_plan(
    session: Session,
    monitor: Monitor,
    planned: Plan | Refused,
    claim: Claim,
    incident_id: str,
    registry_key: str,
    current: str | None,
    now: datetime,
) -> ActionRow:
    """Store what a run calls for: an action to prove, or a refusal that is final at once."""
    refused = isinstance(planned, Refused)
    row = ActionRow(
        id=new_id(),
        workspace=monitor.workspace,
        key=natural_key("rollback", incident_id, claim.run_id),
        monitor=monitor.name,
        incident_id=incident_id,
        run_id=claim.run_id,
        registry_key=registry_key,
        model=monitor.model.name,
        alias=monitor.model.alias,
        mode=monitor.reaction.value,
        state=(ActionState.REFUSED if refused else ActionState.PLANNED).value,
        why=planned.why,
        from_version=current,
        planned_at=now,
    )
    if isinstance(planned, Refused):
        row.code, row.ended_at = planned.code.value, now
    else:
        row.check, row.measures = planned.check, ",".join(planned.measures)
        row.to_version, row.targets = planned.targets[0], ",".join(planned.targets)
        if planned.needs_approval:
            row.mode = Reaction.PROPOSE.value
    chain.append(session, row)
    session.add(row)
    session.flush()
    return row


def claim_actions(
    session: Session, workspace: str, owner: str, now: datetime, lease: timedelta, is_gone: Callable[[str], bool]
) -> list[ActionRow]:
    """Take every live action whose lease is free, oldest first; each comes with a new fence."""
    query = (
        select(ActionRow)
        .where(ActionRow.workspace == workspace, ActionRow.state.in_([state.value for state in LIVE]))
        .order_by(ActionRow.id)
    )
    taken = []
    for row in session.scalars(query).all():
        if row.lease_expires is not None and row.lease_expires > now and not is_gone(row.owner):
            continue
        if won(
            session,
            update(ActionRow)
            .where(ActionRow.id == row.id, ActionRow.state == row.state, ActionRow.fence == row.fence)
            .values(owner=owner, lease_expires=now + lease, fence=row.fence + 1),
        ):
            session.refresh(row)
            taken.append(row)
    return taken


def step_action(session: Session, row: ActionRow, to: ActionState, release: bool = True, **values: object) -> None:
    """Move an action one state on, if this claim still holds it; raises LeaseLost, and nothing is stored.

    A step that `NEXT` does not know is a mistake of ours: ValueError.
    """
    if to.value != row.state and to not in NEXT[ActionState(row.state)]:
        raise ValueError(f"an action that is {row.state} cannot become {to}")
    if release:
        values |= {"lease_expires": None, "owner": ""}
    chain.amend(session, row)
    if not won(
        session,
        update(ActionRow)
        .where(ActionRow.id == row.id, ActionRow.state == row.state, ActionRow.fence == row.fence)
        .values(state=to.value, **values),
    ):
        raise LeaseLost(f"action {row.id} was taken over by another process")
    for name, value in values.items():
        setattr(row, name, value)
    row.state = to.value


def store_proofs(session: Session, row: ActionRow, proofs: Sequence[Proof], sample_digest: str) -> None:
    """Keep what every target measured beside the failing version. Numbers that are not finite prove nothing."""
    among = sum(len(proof.replays) for proof in proofs)
    for proof in proofs:
        for replay in proof.replays:
            numbers = (replay.current, replay.candidate, replay.difference, replay.low, replay.high)
            if not all(map(math.isfinite, numbers)):
                continue
            found = attribute(replay, row.from_version or "", proof.version, among)
            measured = ReplayRow(
                workspace=row.workspace,
                action_id=row.id,
                version=proof.version,
                measure=replay.measure,
                current=replay.current,
                candidate=replay.candidate,
                difference=replay.difference,
                low=replay.low,
                high=replay.high,
                n=replay.n,
                attribution=found.attribution.value,
                **_fall("own", replay.own),
                **_fall("other", replay.theirs),
                sample_digest=sample_digest,
            )
            chain.amend(session, measured)
            session.merge(measured)
    session.flush()


def proof_digest(session: Session, row: ActionRow) -> str:
    """SHA-256 over what a person agrees to: this move of this alias, and the numbers that prove it."""
    replays = session.scalars(
        select(ReplayRow).where(ReplayRow.action_id == row.id).order_by(ReplayRow.version, ReplayRow.measure)
    )
    move = [row.id, row.registry_key, row.run_id, row.check, row.measures, row.from_version, row.to_version]
    numbers = [
        [one.version, one.measure, one.n, one.sample_digest]
        + [repr(value) for value in (one.current, one.candidate, one.difference, one.low, one.high)]
        for one in replays
    ]
    return sha256(json.dumps([move, numbers]).encode()).hexdigest()


def versions_seen(session: Session, workspace: str, registry_key: str) -> dict[str, VersionRow]:
    """What each version's artefacts were when it was first seen."""
    query = select(VersionRow).where(VersionRow.workspace == workspace, VersionRow.registry_key == registry_key)
    return {row.version: row for row in session.scalars(query)}


def see_version(
    session: Session, workspace: str, registry_key: str, version: str, digest: str, signature: str, now: datetime
) -> None:
    """Keep what a version is, unless somebody did so before: the first look counts."""
    if session.get(VersionRow, (workspace, registry_key, version)) is None:
        row = VersionRow(
            workspace=workspace,
            registry_key=registry_key,
            version=version,
            digest=digest,
            signature=signature,
            seen_at=now,
        )
        chain.append(session, row)
        session.add(row)


def _fall(whose: str, measure: Measure | None) -> dict[str, float | None]:
    numbers = (None, None, None) if measure is None else (measure.estimate, measure.low, measure.high)
    finite = [None if one is None or not math.isfinite(one) else one for one in numbers]
    return dict(zip((whose, f"{whose}_low", f"{whose}_high"), finite, strict=True))


def take_alias_lease(
    session: Session, workspace: str, registry_key: str, holder: str, now: datetime, lease: timedelta
) -> bool:
    """Become the only one of us who may move this alias for `lease`."""
    row = session.get(AliasLeaseRow, (workspace, registry_key))
    if row is None:
        try:
            with session.begin_nested():
                session.add(
                    AliasLeaseRow(workspace=workspace, registry_key=registry_key, holder=holder, expires=now + lease)
                )
        except IntegrityError:
            return False
        return True
    return won(
        session,
        update(AliasLeaseRow)
        .where(
            AliasLeaseRow.workspace == workspace,
            AliasLeaseRow.registry_key == registry_key,
            or_(AliasLeaseRow.holder == holder, AliasLeaseRow.expires <= now),
        )
        .values(holder=holder, expires=now + lease),
    )


def free_alias_lease(session: Session, workspace: str, registry_key: str, holder: str, now: datetime) -> None:
    """Let others move this alias again."""
    session.execute(
        update(AliasLeaseRow)
        .where(
            AliasLeaseRow.workspace == workspace,
            AliasLeaseRow.registry_key == registry_key,
            AliasLeaseRow.holder == holder,
        )
        .values(expires=now)
    )


def replays_of(session: Session, action_id: str) -> list[ReplayRow]:
    """The proof of an action."""
    return list(session.scalars(select(ReplayRow).where(ReplayRow.action_id == action_id)))


def snapshot_of(session: Session, action_id: str) -> AttachmentRow | None:
    """The manifest of everything an action rests on, once it was kept."""
    return session.scalars(select(AttachmentRow).where(AttachmentRow.kind == f"snapshot {action_id}")).first()


def find_action(session: Session, workspace: str, prefix: str) -> list[ActionRow]:
    """The actions whose id starts with `prefix`, newest first; an empty prefix gives all of them."""
    query = (
        select(ActionRow)
        .where(ActionRow.workspace == workspace, ActionRow.id.startswith(prefix, autoescape=True))
        .order_by(ActionRow.id.desc())
    )
    return list(session.scalars(query))


def outcomes_after_move(session: Session, row: ActionRow) -> set[str]:
    """The outcomes of the failing check in the first scheduled window after the move that could see the target.

    A window where the check was blind is passed over: it proves neither recovery nor failure. So is a manual run, and
    one that was recorded before the move and is judged again because its labels came. It is a later window than the one
    that failed, whatever the clock said when either was recorded.
    """
    failed = select(RunRow.window_end).where(RunRow.id == row.run_id).scalar_subquery()
    before = aliased(RunRow)
    seen_before = exists().where(
        before.workspace == RunRow.workspace,
        before.monitor == RunRow.monitor,
        before.window_start == RunRow.window_start,
        before.window_end == RunRow.window_end,
        before.kind == RunRow.kind,
        before.recorded_at <= row.moved_at,
    )
    seen = (
        FindingRow.check == row.check,
        FindingRow.version == row.to_version,
        FindingRow.outcome.is_not(None),
        FindingRow.outcome.not_in([outcome.value for outcome in BLIND]),
    )
    first = session.scalars(
        select(RunRow.id)
        .join(PartRow, PartRow.run_id == RunRow.id)
        .join(FindingRow, FindingRow.run_id == RunRow.id)
        .where(
            RunRow.workspace == row.workspace,
            RunRow.monitor == row.monitor,
            RunRow.kind == RunKind.SCHEDULED,
            RunRow.recorded_at > row.moved_at,
            RunRow.window_end > failed,
            ~seen_before,
            PartRow.version == row.to_version,
            *seen,
        )
        .order_by(RunRow.recorded_at, RunRow.window_end)
        .limit(1)
    ).first()
    found = session.scalars(select(FindingRow.outcome).where(FindingRow.run_id == first, *seen))
    return {str(outcome) for outcome in found}
