"""Guards: what holds back a move that is otherwise worth making. Pure.

A person's approval passes what is there to restrain an automatic reaction (cooldown, flap stop, caps), since a person
was asked precisely because of these. It never passes a freeze: that one has to be lifted first, by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.action import Refusal, Refused
from controlplane.domain.monitor import Fleet, Guards, RiskTier, iso

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Freeze:
    """The kill switch, thrown by a person: we move no alias of `monitor` (None: of any monitor) before `until`.

    `until` None: until it is lifted.
    """

    monitor: str | None
    author: str
    why: str
    since: datetime
    until: datetime | None = None

    def holds(self, monitor: str, now: datetime) -> bool:
        """Whether it is in force for that monitor. A clock that went back behind `since` does not end it.

        >>> from datetime import UTC
        >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        >>> freeze = Freeze("scorer", "ann", "audit", noon, noon + HOUR)
        >>> [freeze.holds("scorer", noon + hours * HOUR) for hours in (-1, 0, 1)], freeze.holds("other", noon)
        ([True, True, False], False)
        """
        return self.monitor in (None, monitor) and (self.until is None or now < self.until)

    def outlasts(self, other: Freeze) -> bool:
        """Whether it ends no sooner than the other."""
        return self.until is None or (other.until is not None and other.until <= self.until)

    def __str__(self) -> str:
        what = "everything is" if self.monitor is None else f"{self.monitor} is"
        until = "until it is lifted" if self.until is None else f"until {_second(self.until)}"
        return f"{what} frozen since {_second(self.since)} {until}, by {self.author}: {self.why}"


@dataclass(frozen=True, slots=True)
class Closed:
    """A freeze window that is in force now: why, and until when."""

    why: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """An alias that went from one version to another, as we made it or saw it."""

    from_version: str
    to_version: str
    at: datetime
    ours: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """A move that is asked for. `to_version` None: not chosen yet. `approved`: a person asked for it."""

    monitor: str
    risk_tier: RiskTier
    from_version: str | None
    to_version: str | None = None
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when a move is asked for.

    `freezes` are those that nobody lifted, `closed` the freeze windows in force; `moves` all visible moves of the
    alias, oldest first; `made` when we moved any alias of the workspace (a move under way counts as made now);
    `unverified` how many other aliases of the same risk tier we moved without knowing yet whether that helped.
    """

    freezes: Sequence[Freeze] = ()
    closed: Sequence[Closed] = ()
    moves: Sequence[Move] = ()
    made: Sequence[datetime] = ()
    unverified: int = 0


def guard(wish: Wish, guards: Guards, fleet: Fleet, known: Known, now: datetime) -> Refused | None:
    """Why a move must not be made now, or None. What lasts longest is told first.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> wish = Wish("scorer", RiskTier.HIGH, "2", "1")
    >>> guard(wish, Guards(), Fleet(), Known(), noon)
    >>> guard(wish, Guards(), Fleet(), Known(freezes=[Freeze(None, "ann", "audit", noon)]), noon).why
    'everything is frozen since 2026-01-01T12:00:00Z until it is lifted, by ann: audit'
    """
    frozen = _frozen(wish, fleet, known, now)
    if frozen or wish.approved:
        return frozen
    return _flapping(wish, guards, known, now) or _cooling(guards, known, now) or _capped(wish, fleet, known, now)


def _frozen(wish: Wish, fleet: Fleet, known: Known, now: datetime) -> Refused | None:
    in_force = [freeze for freeze in known.freezes if freeze.holds(wish.monitor, now)]
    if in_force:
        return Refused(Refusal.FROZEN, str(in_force[0]))
    if fleet.unknown:
        return Refused(Refusal.FROZEN, f"{fleet.unknown}, so that no guard of the fleet is known; nothing is moved")
    if known.closed:
        last = max(known.closed, key=lambda closed: closed.until)
        return Refused(Refusal.FROZEN, f"a freeze window is open until {_second(last.until)}: {last.why}")
    return None


def _flapping(wish: Wish, guards: Guards, known: Known, now: datetime) -> Refused | None:
    """A to B to A: somebody, or something, does not agree with us, and only a person can settle that."""
    ours = [move for move in known.moves if move.ours and now < move.at + guards.most_moves_per]
    for move in reversed(ours):
        if (move.from_version, move.to_version) == (wish.from_version, wish.to_version):
            return Refused(
                Refusal.FLAPPING,
                f"we moved the alias from version {move.from_version} to version {move.to_version} at "
                f"{_second(move.at)} already, and it was moved back since: a person has to decide",
            )
    if len(ours) >= guards.most_moves:
        return Refused(
            Refusal.FLAPPING,
            f"the alias was moved by us {_times(len(ours))} since {_second(ours[0].at)}; "
            f"at most {guards.most_moves} in {guards.most_moves_per / HOUR:g} h are made without a person",
        )
    return None


def _cooling(guards: Guards, known: Known, now: datetime) -> Refused | None:
    for index in range(len(known.moves) - 1, -1, -1):
        move = known.moves[index]
        until = move.at + guards.cooldown
        if now < until and (move.ours or _returned(known.moves, index)):
            who = "us" if move.ours else "somebody else"
            why = f"the alias was moved to version {move.to_version} by {who} at {_second(move.at)}"
            return Refused(Refusal.COOLDOWN, f"{why}; cooldown until {_second(until)}")
    return None


def _returned(moves: Sequence[Move], index: int) -> bool:
    """Whether this move gave the alias back to a version that had held it before.

    Somebody who does that is in the middle of setting things right. A version's first time is a release: nothing
    speaks against undoing one at once.
    """
    held = {moves[0].from_version, *(move.to_version for move in moves[:index])}
    return moves[index].to_version in held


def _capped(wish: Wish, fleet: Fleet, known: Known, now: datetime) -> Refused | None:
    made = [at for at in known.made if now < at + HOUR]
    if len(made) >= fleet.most_per_hour:
        return Refused(
            Refusal.FLEET_CAP,
            f"we moved aliases {_times(len(made))} within the last hour; at most {fleet.most_per_hour} in all",
        )
    most = fleet.blast_radius[wish.risk_tier]
    if known.unverified >= most:
        aliases = "1 other alias" if known.unverified == 1 else f"{known.unverified} other aliases"
        return Refused(
            Refusal.BLAST_RADIUS,
            f"{aliases} of risk tier {wish.risk_tier} moved by us and not yet verified; at most {most} at a time",
        )
    return None


def _second(moment: datetime) -> str:
    return iso(moment.replace(microsecond=0))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
