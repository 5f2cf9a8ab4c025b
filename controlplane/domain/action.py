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


def may_land(begun: timedelta | None) -> bool:
    """Whether a write that was begun so long ago (None: never) may still be made; until then no move ends for that.

    >>> [may_land(begun) for begun in (None, timedelta(seconds=5), SETTLES)]
    [False, True, False]
    """
    return begun is not None and begun < SETTLES


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
    if may_land(begun):
        return Step.WAIT
    return Step.LOST if holder == from_version else Step.SUPERSEDED


MOST_TARGETS = 3
"""How many targets one rollback tries: each replay costs a model opened and a stricter level for all."""


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
    ARTEFACT_CHANGED = "artefact_changed"
    NOT_LOADED = "not_loaded"
    OTHER_SIGNATURE = "other_signature"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Plan:
    """A rollback worth proving: from the failing version to one of the targets, best first, for these failing measures.

    `needs_approval` says that every target was rolled back from before, so that a person has to agree.
    """

    from_version: str
    targets: tuple[str, ...]
    check: str
    measures: tuple[str, ...]
    why: str
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No rollback, with a code for machines and a sentence for people."""

    code: Refusal
    why: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What the replay said of one target: its measures beside the failing version's, or why it is not safe to go to."""

    version: str
    replays: tuple[Replay, ...] = ()
    unsafe: Refused | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A rollback that is proved: to this version, by this replay, in words."""

    version: str
    replay: Replay
    why: str


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier actions and incidents say of the versions of this alias.

    `rolled_back_from` are those in quarantine: they come back only where nothing else is left, and a person agrees.
    """

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
    possible = [version for version in dict.fromkeys(earlier) if version != current and version not in past.failing]
    clean = [version for version in possible if version not in past.rolled_back_from]
    targets = tuple((clean or possible)[:MOST_TARGETS])
    if not targets:
        failing_too = [version for version in dict.fromkeys(earlier) if version in past.failing]
        said = "; ".join(f"version {version} has an open failure of its own" for version in failing_too)
        return Refused(Refusal.NO_TARGET, f"no version to go back to: {said or 'no other version held the alias'}")
    check = provable[0].check
    measures = tuple(dict.fromkeys(finding.measure for finding in provable if finding.check == check))
    named = f"version {targets[0]} is the one" if len(targets) == 1 else f"versions {', '.join(targets)} are those"
    why = f"version {current} failed {check} ({', '.join(measures)}); {named} to go back to"
    if not clean:
        why += ", rolled back from before, so that a person has to agree"
    return Plan(current, targets, check, measures, why, needs_approval=not clean)


def accept(plan: Plan, proofs: Sequence[Proof]) -> Accepted | Refused:
    """The target that its replay proves to be better, as `attribute` has it, or a refusal with its reason.

    One measure of those that failed is enough for a target, each held to the stricter level that the number of measures
    and targets asks for; none of them may be better beyond doubt with the version in charge. Of several proven targets
    the plan's first wins, unless a later one's least improvement is more than the first's whole.

    >>> plan = Plan("2", ("1",), "performance", ("accuracy",), "")
    >>> accept(plan, [Proof("1", (Replay("accuracy", 0.6, 0.8, -0.2, -0.25, -0.15, 900, False),))]).version
    '1'
    >>> accept(plan, [Proof("1", (Replay("accuracy", 0.6, 0.61, -0.01, -0.05, 0.03, 900, False),))]).code
    <Refusal.CANNOT_TELL: 'cannot_tell'>
    """
    among = sum(len(proof.replays) for proof in proofs)
    said = [_one(plan, proof, among) for proof in proofs]
    best: Accepted | None = None
    for one in said:
        if isinstance(one, Accepted) and (best is None or _surely_better(one.replay, best.replay)):
            best = one
    if best is not None:
        return best
    refused = [(proof.version, one) for proof, one in zip(proofs, said, strict=True) if isinstance(one, Refused)]
    if not refused:
        return Refused(Refusal.NOT_MEASURED, f"{', '.join(plan.measures)} could not be measured again")
    code = min((one.code for _, one in refused), key=_TOLD.index)
    if len(refused) == 1:
        return Refused(code, refused[0][1].why)
    return Refused(code, "; ".join(f"to version {version}: {one.why}" for version, one in refused))


def _one(plan: Plan, proof: Proof, among: int) -> Accepted | Refused:
    """What one target's replay says."""
    if proof.unsafe is not None:
        return proof.unsafe
    if not proof.replays:
        measures = ", ".join(plan.measures)
        return Refused(Refusal.NOT_MEASURED, f"{measures} could not be measured again with both versions")
    said = [attribute(replay, plan.from_version, proof.version, among) for replay in proof.replays]
    against = next((one for one in said if one.better), None)
    if against is not None:
        return Refused(Refusal.NOT_BETTER, f"version {plan.from_version} does better. {against.why}")
    for replay, found in zip(proof.replays, said, strict=True):
        if found.attribution in AGAINST_VERSION:
            return Accepted(proof.version, replay, found.why)
    return min((Refused(_code(found), found.why) for found in said), key=lambda refused: _TOLD.index(refused.code))


def _surely_better(one: Replay, than: Replay) -> bool:
    """Whether the least improvement of `one` is more than the improvement that `than` is estimated to make."""
    if one.measure != than.measure:
        return False
    if one.higher_is_worse:
        return one.low > than.difference
    return one.high < than.difference


_TOLD = [
    Refusal.WORLD_CHANGED,
    Refusal.NOT_BETTER,
    Refusal.CANNOT_TELL,
    Refusal.ARTEFACT_CHANGED,
    Refusal.OTHER_SIGNATURE,
    Refusal.NOT_LOADED,
    Refusal.NOT_MEASURED,
]
"""Of several targets' refusals, the one that is told first."""


def _code(found: Attributed) -> Refusal:
    if found.attribution is Attribution.WORLD_CHANGED:
        return Refusal.WORLD_CHANGED
    return Refusal.NOT_BETTER if found.no_worse else Refusal.CANNOT_TELL
