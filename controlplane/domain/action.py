"""Rollbacks: when one is planned, what proves it, and why it is refused. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controlplane.domain.attribution import AGAINST_VERSION, Attributed, Attribution, Replay, attribute
from controlplane.domain.monitor import Guards, Reaction, iso
from controlplane.domain.verdict import Finding


class ActionState(StrEnum):
    """The life of an action. Live: PLANNED, PROPOSED, ACCEPTED, MOVING, MOVED; the others are final."""

    PLANNED = "planned"
    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    MOVING = "moving"
    MOVED = "moved"
    VERIFIED = "verified"
    REFUSED = "refused"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"


LIVE = frozenset(
    {ActionState.PLANNED, ActionState.PROPOSED, ActionState.ACCEPTED, ActionState.MOVING, ActionState.MOVED}
)


class Refusal(StrEnum):
    """Why no rollback is made; a stable code beside the sentence."""

    WORLD_CHANGED = "world_changed"
    NO_TARGET = "no_target"
    COOLDOWN = "cooldown"
    NOT_BETTER = "not_better"
    CANNOT_TELL = "cannot_tell"
    NOT_MEASURED = "not_measured"
    NOT_CURRENT = "not_current"


@dataclass(frozen=True, slots=True)
class Plan:
    """A rollback worth proving: from the failing version to one target, for these failing measures."""

    from_version: str
    to_version: str
    check: str
    measures: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """No rollback, with a code for machines and a sentence for people."""

    code: Refusal
    why: str


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier actions and incidents say of the versions of this alias."""

    rolled_back_from: Collection[str] = ()
    failing: Collection[str] = ()
    last_move: datetime | None = None


def plan_rollback(
    current: str | None,
    earlier: Sequence[str],
    failing: Sequence[Finding],
    replayable: Mapping[str, bool],
    past: Past,
    guards: Guards,
    reaction: Reaction,
    now: datetime,
) -> Plan | Refused | None:
    """The rollback that a failing run calls for, a refusal with its reason, or None where only watching was asked for.

    `earlier` holds the possible targets, best first: declared ones, then earlier holders of the alias, newest first.
    `replayable` says for each failing check whether its measures depend on the model's version at all.
    """
    if reaction is Reaction.OBSERVE or not failing:
        return None
    own = [finding for finding in failing if finding.version in (None, current)]
    if current is None or not own:
        versions = ", ".join(sorted({str(finding.version) for finding in failing}))
        holds = "nothing" if current is None else f"version {current}"
        return Refused(Refusal.NOT_CURRENT, f"version {versions} failed, but the alias holds {holds} now")
    provable = [finding for finding in own if replayable.get(finding.check, False)]
    if not provable:
        checks = ", ".join(sorted({finding.check for finding in own}))
        return Refused(
            Refusal.WORLD_CHANGED,
            f"only {checks} failed, and no replay can prove that another version would undo it",
        )
    if past.last_move is not None and now < past.last_move + guards.cooldown:
        until = past.last_move + guards.cooldown
        return Refused(Refusal.COOLDOWN, f"the alias was moved at {iso(past.last_move)}; cooldown until {iso(until)}")
    barred = {
        version: "was rolled back from" if version in past.rolled_back_from else "has an open failure of its own"
        for version in earlier
        if version in past.rolled_back_from or version in past.failing
    }
    targets = [version for version in earlier if version != current and version not in barred]
    if not targets:
        said = "; ".join(f"version {version} {why}" for version, why in barred.items() if version != current)
        return Refused(Refusal.NO_TARGET, f"no version to go back to: {said or 'no other version held the alias'}")
    check = provable[0].check
    measures = tuple(dict.fromkeys(finding.measure for finding in provable if finding.check == check))
    why = f"version {current} failed {check} ({', '.join(measures)}); version {targets[0]} is the one to go back to"
    return Plan(current, targets[0], check, measures, why)


def accept(plan: Plan, replays: Sequence[Replay]) -> Replay | Refused:
    """The replay that proves the rollback, or a refusal: as `attribute` has it, the target must be better.

    One measure of those that failed is enough, each held to the stricter level that their number asks for; none of
    them may be better beyond doubt with the version in charge.

    >>> plan = Plan("2", "1", "performance", ("accuracy",), "")
    >>> accept(plan, [Replay("accuracy", 0.6, 0.8, -0.2, -0.25, -0.15, 900, False)]).candidate
    0.8
    >>> accept(plan, [Replay("accuracy", 0.6, 0.61, -0.01, -0.05, 0.03, 900, False)]).code
    <Refusal.CANNOT_TELL: 'cannot_tell'>
    """
    if not replays:
        return Refused(
            Refusal.NOT_MEASURED, f"{', '.join(plan.measures)} could not be measured again with both versions"
        )
    said = [attribute(replay, plan.from_version, plan.to_version, len(replays)) for replay in replays]
    against = next((one for one in said if one.better), None)
    if against is not None:
        return Refused(Refusal.NOT_BETTER, f"version {plan.from_version} does better. {against.why}")
    for replay, found in zip(replays, said, strict=True):
        if found.attribution in AGAINST_VERSION:
            return replay
    return min((Refused(_code(found), found.why) for found in said), key=lambda refused: _TOLD.index(refused.code))


_TOLD = [Refusal.WORLD_CHANGED, Refusal.NOT_BETTER, Refusal.CANNOT_TELL]


def _code(found: Attributed) -> Refusal:
    if found.attribution is Attribution.WORLD_CHANGED:
        return Refusal.WORLD_CHANGED
    return Refusal.NOT_BETTER if found.no_worse else Refusal.CANNOT_TELL
