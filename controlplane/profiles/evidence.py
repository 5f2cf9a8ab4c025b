"""Evidence over windows: one-sided e-detectors a score, averaged, and what says that it is over again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from controlplane.profiles.blocks import Key
from controlplane.profiles.kinds import Floats

SHIFTS = np.array([0.5, 1.0, 2.0, 4.0])
RECOVERED = 20.0
_HIGHEST, _LARGEST_STEP = 1e60, 60.0
_NAMED, _NAMED_SHARE = 20, 0.9

Name = tuple[str, str, str | None, int]
"""Which one-sided score: check, statistic, column, and +1 for a rise or -1 for a fall."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A score that raised the alarm: its shift in standard deviations of a window, and how sure it is over (log)."""

    shift: float
    over: float = 0.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is remembered between windows: for each score the Shiryaev-Roberts statistics of the `SHIFTS`.

    `moved` holds the scores that raised the alarm, while it lasts; `windows` counts what was folded since the start.
    """

    VERSION = "evidence-1"
    names: tuple[Name, ...] = ()
    values: Floats = field(default_factory=lambda: np.empty((0, len(SHIFTS))))
    moved: Mapping[Name, Moved] = field(default_factory=dict)
    windows: int = 0

    @property
    def alarm(self) -> bool:
        """Whether the page's cause is not over yet."""
        return bool(self.moved)

    @property
    def level(self) -> float:
        """The weighted average: the number that is held against the threshold."""
        return float(self.by_name().sum())

    def by_name(self) -> Floats:
        """Each score's part of `level`, shape (S,): checks weigh the same, and so do the scores of one check."""
        if not self.names:
            return np.empty(0)
        checks = [name[0] for name in self.names]
        sizes = {check: checks.count(check) for check in set(checks)}
        weights = np.array([1 / (len(sizes) * sizes[check]) for check in checks])
        parts: Floats = weights * self.values.mean(1)
        return parts

    def dump(self) -> str:
        """JSON, exact to the last bit: the stored payload of format `VERSION`."""
        moved = [[*name, one.shift, one.over] for name, one in self.moved.items()]
        return json.dumps(
            {"names": self.names, "values": self.values.tolist(), "moved": moved, "windows": self.windows}
        )

    @classmethod
    def load(cls, text: str) -> Evidence:
        """The inverse of `dump`."""
        rows = json.loads(text)
        names = tuple((name[0], name[1], name[2], name[3]) for name in rows["names"])
        moved = {(one[0], one[1], one[2], one[3]): Moved(one[4], one[5]) for one in rows["moved"]}
        return cls(names, np.array(rows["values"]).reshape(-1, len(SHIFTS)), moved, rows["windows"])


def accumulate(state: Evidence, scores: Mapping[Name, float], threshold: float) -> Evidence:
    """Fold one window's scores into the state; folding stored scores again gives the same state.

    Each score and each shift d has a Shiryaev-Roberts statistic R <- (1 + R) exp(d s - d^2 / 2). While every score is
    normal with variance 1 and a mean of at most 0 given the past, the average of all R less the number of windows is a
    supermartingale whatever ties the scores to one another, so the mean time to an average of A is at least A windows
    (an e-detector: Shin, Ramdas and Rinaldo 2022). A score that a window lacks keeps its value.

    At the threshold the scores that make up most of the average are `moved`. From then on each is tested for being
    over, by the likelihood of no shift against its own; once all are, at odds of 20 to 1, the state starts afresh.

    >>> state = Evidence()
    >>> for _ in range(3):
    ...     state = accumulate(state, {("drift", "location", "age", 1): 3.0}, threshold=90)
    >>> state.alarm, accumulate(state, {("drift", "location", "age", 1): -1.0}, 90).alarm
    (True, False)
    """
    if not scores:
        return state
    if state.alarm:
        return _recover(state, scores)
    known = {name: index for index, name in enumerate(state.names)}
    fresh = [name for name in scores if name not in known]
    names = (*state.names, *fresh)
    values = np.vstack((state.values, np.zeros((len(fresh), len(SHIFTS)))))
    given = np.array([scores.get(name, math.nan) for name in names])
    there = np.isfinite(given)
    values[there] = step(values[there], given[there])
    after = Evidence(names, values, {}, state.windows + 1)
    return after if after.level < threshold else _alarm(after)


def step(values: Floats, scores: Floats) -> Floats:
    """One step of every Shiryaev-Roberts statistic: `values` (..., S, shifts), `scores` (..., S)."""
    growth = np.minimum(scores[..., None] * SHIFTS - SHIFTS * SHIFTS / 2, _LARGEST_STEP)
    grown: Floats = np.minimum((1 + values) * np.exp(growth), _HIGHEST)
    return grown


def _alarm(state: Evidence) -> Evidence:
    parts = state.by_name()
    order = np.argsort(-parts, kind="stable")[:_NAMED]
    enough = int(np.searchsorted(np.cumsum(parts[order]), _NAMED_SHARE * parts.sum())) + 1
    best = SHIFTS[state.values.argmax(1)]
    moved = {state.names[index]: Moved(float(best[index])) for index in order[:enough]}
    return Evidence(state.names, state.values, moved, state.windows)


def _recover(state: Evidence, scores: Mapping[Name, float]) -> Evidence:
    moved = {}
    for name, one in state.moved.items():
        score = scores.get(name)
        gain = 0.0 if score is None else one.shift * one.shift / 2 - one.shift * score
        moved[name] = Moved(one.shift, max(0.0, one.over + gain))
    if all(one.over >= math.log(RECOVERED) for one in moved.values()):
        return Evidence()
    return Evidence(state.names, state.values, moved, state.windows + 1)


def names_of(keys: tuple[Key, ...]) -> list[list[Name]]:
    """The names of the scores of each statistic: of its rise, and of its fall; shape (2, S)."""
    return [[(key.check, key.name, key.column, side) for key in keys] for side in (1, -1)]
