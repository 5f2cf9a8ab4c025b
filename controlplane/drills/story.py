"""What a drill saw, window by window, and what is made of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.action import ActionState
from controlplane.domain.monitor import Window

MADE = frozenset({ActionState.MOVED, ActionState.VERIFIED, ActionState.UNDOING, ActionState.UNDONE})


class Phase(StrEnum):
    """Where a window lies in a drill."""

    BEFORE = "before"
    FAULT = "fault"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Act:
    """A rollback as it stood at the end of a window."""

    id: str
    state: str
    code: str
    from_version: str | None
    to_version: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One window of a drill: who answered it, how it was judged, and what changed because of it.

    `opened` and `closed` are causes of incidents, `acts` the rollbacks that are new or went on, `holder` who held the
    alias in the end. Times are in seconds of wall clock since the window's file lay there: until the run was recorded,
    and until the alias was read back after all that followed.
    """

    number: int
    phase: Phase
    window: Window
    version: str
    outcome: str
    why: str
    outcomes: Mapping[str, str]
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    acts: tuple[Act, ...]
    holder: str
    recorded: float
    settled: float
    n_rows: int

    def moves(self) -> tuple[Act, ...]:
        """The rollbacks that moved the alias in this window."""
        return tuple(act for act in self.acts if act.state in MADE and self.holder != self.version)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that a drill expects, beside what happened."""

    what: str
    expected: str
    happened: str
    held: bool


@dataclass(frozen=True, slots=True)
class Detection:
    """How soon a fault was noticed: in the how-manieth window with it, and seconds after that window's file."""

    windows: int
    seconds: float
    causes: tuple[str, ...]


def during(seen: Sequence[Seen], phase: Phase) -> list[Seen]:
    """The windows of one phase, in their order."""
    return [one for one in seen if one.phase is phase]


def detection(seen: Sequence[Seen], explained: frozenset[str]) -> Detection | None:
    """The first window with the fault in which an incident opened that the fault explains."""
    for number, one in enumerate(during(seen, Phase.FAULT), 1):
        causes = tuple(cause for cause in one.opened if cause in explained)
        if causes:
            return Detection(number, one.recorded, causes)
    return None


def false_actions(seen: Sequence[Seen], explained: frozenset[str], allowed: frozenset[str]) -> list[str]:
    """What was done that the fault does not explain: incidents, and rollbacks in states that are not `allowed`.

    Refusing a rollback does nothing to anybody's model, so that a refusal is false in healthy windows alone.
    """
    found = []
    for one in seen:
        where = f"window {one.number} ({'healthy' if one.phase is not Phase.FAULT else 'with the fault'})"
        wrong = [cause for cause in one.opened if one.phase is not Phase.FAULT or cause not in explained]
        found += [f"{where}: incident {cause}" for cause in wrong]
        fine = allowed if one.phase is not Phase.BEFORE else frozenset[str]()
        if one.phase is Phase.FAULT:
            fine |= {ActionState.REFUSED.value}
        found += [f"{where}: rollback {act.state}" for act in one.acts if act.state not in fine]
    return found
