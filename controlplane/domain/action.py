"""Rollbacks: when one is planned, what proves it, and why it is refused. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from controlplane.domain.attribution import AGAINST_VERSION, Attributed, Attribution, Replay, attribute
from controlplane.domain.monitor import Reaction
from controlplane.domain.verdict import Finding


class ActionState(StrEnum):
    """The life of an action; what may follow what is `NEXT`."""

    PLANNED = "planned"
    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    MOVING = "moving"
    MOVED = "moved"
    UNDOING = "undoing"
    VERIFIED = "verified"
    UNDONE = "undone"
    REFUSED = "refused"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"


_S = ActionState
NEXT: Mapping[ActionState, frozenset[ActionState]] = {
    _S.PLANNED: frozenset({_S.PROPOSED, _S.ACCEPTED, _S.REFUSED, _S.FAILED}),
    _S.PROPOSED: frozenset({_S.ACCEPTED, _S.REJECTED, _S.EXPIRED, _S.REFUSED, _S.FAILED}),
    _S.ACCEPTED: frozenset({_S.MOVING, _S.REFUSED, _S.FAILED}),
    _S.MOVING: frozenset({_S.MOVED, _S.SUPERSEDED, _S.REFUSED, _S.FAILED}),
    _S.MOVED: frozenset({_S.VERIFIED, _S.SUPERSEDED, _S.UNDOING, _S.FAILED}),
    _S.UNDOING: frozenset({_S.UNDONE, _S.SUPERSEDED, _S.FAILED}),
}
"""The whole state machine: from each live state the states that may come next. A final state has none."""

LIVE = frozenset(NEXT)


class Step(StrEnum):
    """What a move does next, by what the alias holds when it is read."""

    WRITE = "write"
    DONE = "done"
    WAIT = "wait"
    SUPERSEDED = "superseded"
    LOST = "lost"


SETTLES = timedelta(minutes=2)
"""After so long a write that was begun has been made or never will be: 60 s until a writer gives up by itself, and the
time within which the registry's client has its answer or gives up."""


def on_holder(holder: str | None, from_version: str, to_version: str, begun: timedelta | None = None) -> Step:
    """What a move from one version to another does when it reads `holder` (None: the alias is gone).

    `begun` is how long ago this move said, in the store and before its one write, that it writes now; None: it did
    not. A write is begun once: where its outcome was not seen (a crash, a time-out) and the alias holds the version to
    leave, it was never made, or it was made and somebody took it back. Nobody can tell these apart, and to write
    again would be a second move over somebody else's, so the move is LOST.

    >>> [on_holder(holder, "2", "1").value for holder in ("2", "1", "3", None)]
    ['write', 'superseded', 'superseded', 'superseded']
    >>> [on_holder(holder, "2", "1", timedelta(seconds=5)).value for holder in ("2", "1", "3", None)]
    ['wait', 'done', 'wait', 'wait']
    >>> [on_holder(holder, "2", "1", SETTLES).value for holder in ("2", "1", "3", None)]
    ['lost', 'done', 'superseded', 'superseded']
    """
    if begun is None:
        return Step.WRITE if holder == from_version else Step.SUPERSEDED
    if holder == to_version:
        return Step.DONE
    if begun < SETTLES:
        return Step.WAIT
    return Step.LOST if holder == from_version else Step.SUPERSEDED


class Refusal(StrEnum):
    """Why no rollback is made; a stable code beside the sentence."""

    WORLD_CHANGED = "world_changed"
    NO_TARGET = "no_target"
    FROZEN = "frozen"
    FLAPPING = "flapping"
    COOLDOWN = "cooldown"
    FLEET_CAP = "fleet_cap"
    BLAST_RADIUS = "blast_radius"
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


def plan_rollback(
    current: str | None,
    earlier: Sequence[str],
    failing: Sequence[Finding],
    replayable: Mapping[str, bool],
    past: Past,
    reaction: Reaction,
) -> Plan | Refused | None:
    """The rollback that a failing run calls for, a refusal with its reason, or None where only watching was asked for.

    `earlier` holds the possible targets, best first: declared ones, then earlier holders of the alias, newest first.
    `replayable` says for each failing check whether its measures depend on the model's version at all. What speaks
    against any move just now, whichever it is, are the guards (`domain.guards`).
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
