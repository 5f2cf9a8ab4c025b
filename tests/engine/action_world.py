"""What the model of an action's life is made of: rows, schedulers, and everything around them at one moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from controlplane.domain.action import NEXT, SETTLES, ActionState

S = ActionState
NOBODY = -1
BAD, TARGETS, OTHER = "2", ("1", "4"), "3"
AGES = (None, timedelta(0), SETTLES)
"""How long ago a write was begun: never, lately, so long ago that it is made or never will be."""
NEVER, LATELY, SETTLED = range(3)
SAID = {S.PROPOSED, S.REFUSED, S.EXPIRED, S.MOVED, S.SUPERSEDED, S.FAILED, S.VERIFIED, S.UNDONE}
"""What is told, each under one key; a person who rejects knows."""
UNASKED, WAITING, APPLIED, DECLINED = range(4)
APPROVE, REJECT, APPROVE_OTHER = range(3)


class Act(NamedTuple):
    """An action's row, and what the model remembers of it: its states so far, what was told, and the writes made."""

    state: ActionState
    path: tuple[ActionState, ...]
    begun: int = NEVER
    attempt: int = 0
    proved: bool = False
    expired: bool = False
    window: str = ""
    told: tuple[ActionState, ...] = ()
    made: tuple[int, int] = (0, 0)


class Life(NamedTuple):
    """What one scheduler is about to do, with what it knows. `stale`: its read should have kept it from writing."""

    at: str = "idle"
    act: int = NOBODY
    state: ActionState = S.PLANNED
    current: bool = True
    marked: bool = False
    late: bool = False
    stale: bool = False
    news: str = ""


class World(NamedTuple):
    """Everything at one moment. `ours` is the action whose write the alias holds; `wrong` says which promise broke."""

    acts: tuple[Act, ...]
    lives: tuple[Life, ...]
    holder: str | None = BAD
    ours: int = NOBODY
    lease: int = NOBODY
    frozen: bool = False
    flights: tuple[tuple[int, int, bool], ...] = ()
    asked: tuple[int, ...] = ()
    wrong: str = ""


IDLE = Life()


def versions(life: Life) -> tuple[str, str]:
    """The version that this leg leaves, and the one it goes to."""
    return (TARGETS[life.act], BAD) if life.state is S.UNDOING else (BAD, TARGETS[life.act])


def put_life(w: World, one: int, life: Life) -> World:
    """One scheduler is somewhere else."""
    return w._replace(lives=(*w.lives[:one], life, *w.lives[one + 1 :]))


def put_act(w: World, place: int, **values: Any) -> World:
    """One action has other values."""
    return w._replace(acts=(*w.acts[:place], w.acts[place]._replace(**values), *w.acts[place + 1 :]))


def put_ask(w: World, kind: int, status: int) -> World:
    """One intent has another status."""
    return w._replace(asked=(*w.asked[:kind], status, *w.asked[kind + 1 :]))


def free_lease(w: World, before: World, place: int) -> World:
    """Where the step was stored, the alias's lease is given back with it."""
    changed = w.acts[place] != before.acts[place]
    return w._replace(lease=NOBODY) if changed and w.lease == place else w


def step(w: World, place: int, to: ActionState, tells: bool = True) -> World:
    """One action has another state, as `NEXT` allows it, and that is told."""
    act = w.acts[place]
    wrong = "" if to in NEXT.get(act.state, ()) else f"an action that was {act.state} became {to}"
    told = (*act.told, to) if tells and to in SAID else act.told
    return put_act(w, place, state=to, path=(*act.path, to), told=told)._replace(wrong=w.wrong or wrong)
