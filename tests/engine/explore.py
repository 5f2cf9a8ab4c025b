"""An explicit-state model checker: every state that is reachable, breadth first, in plain Python.

A model says in which states it may begin and what may come next; a state that says what is wrong with it ends the
search, and the steps that led to it are the counterexample, as short as any. Beside that, `stuck` counts the states
from which no goal is reachable by friendly steps alone: what the model itself does, without the help of chance.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Steps = Callable[[State], Iterator[tuple[str, bool, State]]]
"""The steps out of a state: a name, whether it is friendly, and the state after it."""


@dataclass(frozen=True)
class Explored(Generic[State]):
    """What a search found: how much there is, what went wrong first and how one gets there, and where one is stuck."""

    states: int
    steps: int
    depth: int
    whole: bool
    wrong: str
    path: tuple[str, ...]
    stuck: int
    goals: int


def explore(
    begin: Iterable[State],
    steps: Steps[State],
    wrong: Callable[[State], str],
    is_goal: Callable[[State], bool],
    most: int | None = None,
) -> Explored[State]:
    """Visit every state, or the first `most` of them; stops at the first that is wrong."""
    number: dict[State, int] = {}
    states: list[State] = []
    parent, depths = array("q"), array("H")
    sources, targets = array("q"), array("q")
    taken = 0

    def visit(state: State, before: int) -> int:
        known = number.get(state)
        if known is None:
            known = number[state] = len(states)
            states.append(state)
            parent.append(before)
            depths.append(depths[before] + 1 if before >= 0 else 0)
        return known

    for state in begin:
        visit(state, -1)
    place = 0
    while place < len(states) and (most is None or len(states) < most):
        state = states[place]
        found = wrong(state)
        if found:
            path = _path(states, parent, place, steps)
            return Explored(len(states), taken, depths[place], False, found, path, 0, 0)
        for _, friendly, after in steps(state):
            taken += 1
            target = visit(after, place)
            if friendly and target != place:
                sources.append(place)
                targets.append(target)
        place += 1
    whole = place == len(states)
    goals = [at for at in range(place) if is_goal(states[at])]
    stuck = place - _reach(goals, sources, targets, len(states)) if whole else 0
    return Explored(len(states), taken, max(depths), whole, "", (), stuck, len(goals))


def _path(states: list[State], parent: array[int], place: int, steps: Steps[State]) -> tuple[str, ...]:
    names: list[str] = []
    while parent[place] >= 0:
        before = parent[place]
        names.append(next(name for name, _, after in steps(states[before]) if after == states[place]))
        place = before
    return tuple(reversed(names))


def _reach(goals: list[int], sources: array[int], targets: array[int], count: int) -> int:
    """How many states lead to a goal: the steps are followed backwards, from a list of those that enter each state."""
    first = array("q", bytes(8 * (count + 1)))
    for target in targets:
        first[target + 1] += 1
    for place in range(count):
        first[place + 1] += first[place]
    entering, free = array("q", bytes(8 * len(targets))), first[:]
    for source, target in zip(sources, targets, strict=True):
        entering[free[target]] = source
        free[target] += 1
    seen = bytearray(count)
    waiting = list(goals)
    for place in goals:
        seen[place] = 1
    while waiting:
        place = waiting.pop()
        for at in range(first[place], first[place + 1]):
            source = entering[at]
            if not seen[source]:
                seen[source] = 1
                waiting.append(source)
    return sum(seen)
