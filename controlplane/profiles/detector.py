"""Evidence over windows: one-sided e-detectors a score, averaged, and what says that it is over again."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

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
class EDetector:
    """What is remembered between windows: for each score the Shiryaev-Roberts statistics of the `SHIFTS`.

    `moved` holds the scores that raised the alarm of their check, while it lasts.
    """

    names: tuple[Name, ...] = ()
    values: Floats = field(default_factory=lambda: np.empty((0, len(SHIFTS))))
    moved: Mapping[Name, Moved] = field(default_factory=dict)

    @property
    def alarms(self) -> frozenset[str]:
        """The checks whose page's cause is not over yet."""
        return frozenset(name[0] for name in self.moved)

    def levels(self) -> dict[str, float]:
        """Each check's part of the weighted average over all scores: what is held against the threshold."""
        levels: dict[str, float] = {}
        for name, part in zip(self.names, self.by_name(), strict=True):
            levels[name[0]] = levels.get(name[0], 0.0) + float(part)
        return levels

    def by_name(self) -> Floats:
        """Each score's part of the average, shape (S,): checks weigh the same, and so do the scores of one check."""
        sizes = Counter(name[0] for name in self.names)
        weights = np.array([1 / (len(sizes) * sizes[name[0]]) for name in self.names])
        parts: Floats = weights * self.values.mean(1) if self.names else np.empty(0)
        return parts

    def dump(self) -> str:
        """JSON, exact to the last bit; its format is part of `DetectorState.VERSION`."""
        moved = [[*name, one.shift, one.over] for name, one in self.moved.items()]
        return json.dumps({"names": self.names, "values": self.values.tolist(), "moved": moved})

    @classmethod
    def load(cls, text: str) -> EDetector:
        """The inverse of `dump`."""
        rows = json.loads(text)
        names = tuple((name[0], name[1], name[2], name[3]) for name in rows["names"])
        moved = {(one[0], one[1], one[2], one[3]): Moved(one[4], one[5]) for one in rows["moved"]}
        return cls(names, np.array(rows["values"]).reshape(-1, len(SHIFTS)), moved)


def accumulate(state: EDetector, scores: Mapping[Name, float], threshold: float) -> EDetector:
    """Fold one window's scores into the state; folding stored scores again gives the same state.

    Each score and each shift d has a Shiryaev-Roberts statistic R <- (1 + R) exp(d s - d^2 / 2). While every score is
    normal with variance 1 and a mean of at most 0 given the past, the weighted average of all R less the number of
    windows is a supermartingale whatever ties the scores to one another, so the mean time until it, or a check's part
    of it, reaches A is at least A windows (an e-detector: Shin, Ramdas and Rinaldo 2022). A score that a window lacks
    keeps its value.

    A check whose part reaches the threshold raises an alarm, and the scores that make up most of it have `moved`. From
    then on each of those is tested for being over, by the likelihood of no shift against its own; once all are, at odds
    of 20 to 1, the check starts afresh.

    >>> state = EDetector()
    >>> for _ in range(3):
    ...     state = accumulate(state, {("drift", "location", "age", 1): 3.0}, threshold=90)
    >>> state.alarms, accumulate(state, {("drift", "location", "age", 1): -1.0}, 90).alarms
    (frozenset({'drift'}), frozenset())
    """
    known = frozenset(state.names)
    fresh = [name for name in scores if name not in known]
    names = (*state.names, *fresh)
    values = np.vstack((state.values, np.zeros((len(fresh), len(SHIFTS)))))
    given = np.array([scores.get(name, math.nan) for name in names])
    told = np.array([name[0] not in state.alarms for name in names], bool) & np.isfinite(given)
    values[told] = step(values[told], given[told])
    moved: dict[Name, Moved] = {}
    for check in sorted(state.alarms):
        before = {name: one for name, one in state.moved.items() if name[0] == check}
        after = _recover(before, scores)
        moved |= after
        if not after:
            values[[name[0] == check for name in names]] = 0.0
    held = EDetector(names, values, moved)
    for check, level in held.levels().items():
        if level >= threshold and check not in state.alarms:
            moved |= _raise(held, check)
    return EDetector(names, values, moved)


def step(values: Floats, scores: Floats) -> Floats:
    """One step of every Shiryaev-Roberts statistic: `values` (..., S, shifts), `scores` (..., S)."""
    growth = np.minimum(scores[..., None] * SHIFTS - SHIFTS * SHIFTS / 2, _LARGEST_STEP)
    grown: Floats = np.minimum((1 + values) * np.exp(growth), _HIGHEST)
    return grown


def _raise(state: EDetector, check: str) -> dict[Name, Moved]:
    """The scores that make up most of a check's part, largest first."""
    mine = np.array([name[0] == check for name in state.names])
    parts = np.where(mine, state.by_name(), 0.0)
    order = np.argsort(-parts, kind="stable")[: min(_NAMED, int(mine.sum()))]
    enough = int(np.searchsorted(np.cumsum(parts[order]), _NAMED_SHARE * parts.sum())) + 1
    best = SHIFTS[state.values.argmax(1)]
    return {state.names[index]: Moved(float(best[index])) for index in order[:enough]}


def _recover(moved: Mapping[Name, Moved], scores: Mapping[Name, float]) -> dict[Name, Moved]:
    """The same scores one window later; none once all of them are over."""
    after = {}
    for name, one in moved.items():
        score = scores.get(name)
        gain = 0.0 if score is None else one.shift * one.shift / 2 - one.shift * score
        after[name] = Moved(one.shift, max(0.0, one.over + gain))
    return {} if all(one.over >= math.log(RECOVERED) for one in after.values()) else after
