"""One drawing of a stream: a reference, the calm windows after it, and the same windows with each planted shift."""

from __future__ import annotations

import copy
import importlib
import zlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import peers_detect
import pyarrow as pa
from shifts import Shift, known, shifts_for
from streams import Day, Floats, Stream, to_table

Row = tuple[str, str]


class Detector(Protocol):
    """All that the benchmark knows of a detector.

    A shallow copy of one must be a detector of its own: what `step` changes, it replaces.
    """

    name: str

    def fit(self, reference: list[pa.Table], budget_windows: float, seed: int) -> None:
        """Learn the reference from its windows in time order, with times, to page once in `budget_windows`."""

    def step(self, window: pa.Table) -> bool:
        """Take the next window; True where it pages, after which it starts afresh."""


@dataclass(frozen=True)
class Plan:
    """How much is drawn; the shift begins `onset` windows after the reference and is looked for over `horizon`."""

    references: int = 200
    windows: int = 100
    reference_days: int = 112
    detections: int = 60
    onset: int = 20
    horizon: int = 60
    budget_windows: float = 90.0
    seed: int = 0


@dataclass
class Drawing:
    """What one drawing gave: per window whether ours paged and what each peer scored; per shift the delay of ours
    (in windows from the first shifted one, 1 at the least; 0 for a miss) and the peers' scores; and daily means."""

    ours: np.ndarray
    scores: dict[str, Floats]
    series: Floats
    delays: dict[Row, int] = field(default_factory=dict)
    shifted: dict[Row, dict[str, Floats]] = field(default_factory=dict)
    replaced: dict[Row, dict[int, Floats]] = field(default_factory=dict)


def make(detector: str) -> Detector:
    """The detector that `module:Class` names."""
    module, _, name = detector.partition(":")
    made: Detector = getattr(importlib.import_module(module), name)()
    return made


def generator(plan: Plan, stream: Stream, *draw: int) -> np.random.Generator:
    """A generator that depends on the stream's name and the drawing alone."""
    return np.random.default_rng([plan.seed, zlib.crc32(stream.name.encode()), *draw])


def run(stream: Stream, detector: str, plan: Plan, draw: int, detect: bool) -> Drawing:
    """One drawing from reference to last delay."""
    days = stream.draw(generator(plan, stream, draw), plan.reference_days + plan.windows)
    reference, calm = days[: plan.reference_days], days[plan.reference_days :]
    peers = peers_detect.Reference(reference, stream.kinds)
    measured = peers.measure(calm)
    ours = make(detector)
    tables = [to_table(day, index, stream.kinds) for index, day in enumerate(days)]
    ours.fit(tables[: plan.reference_days], plan.budget_windows, draw)
    pages, at_onset = np.zeros(plan.windows, bool), ours
    for index, table in enumerate(tables[plan.reference_days :]):
        if index == plan.onset:
            at_onset = copy.copy(ours)
        pages[index] = ours.step(table)
    daily = Dailies(reference, stream)
    drawing = Drawing(pages, peers_detect.scores(measured), daily.series(days))
    if detect:
        window = slice(plan.onset, plan.onset + plan.horizon)
        normal, second = known(reference, stream)
        for number, (row, shift) in enumerate(shifts_for(stream, draw).items()):
            rng = generator(plan, stream, draw, number)
            moved = [shift.apply(day, rng, normal, second) for day in calm[window]]
            drawing.delays[row] = _delay(copy.copy(at_onset), moved, stream, plan)
            drawing.shifted[row] = _rescored(peers, measured[window], shift, moved)
            whole = days[: plan.reference_days + plan.onset] + moved
            drawing.replaced[row] = daily.replaced(whole, shift)
    return drawing


def _delay(detector: Detector, moved: list[Day], stream: Stream, plan: Plan) -> int:
    first = plan.reference_days + plan.onset
    for index, day in enumerate(moved):
        if detector.step(to_table(day, first + index, stream.kinds)):
            return index + 1
    return 0


def _rescored(peers: peers_detect.Reference, measured: Floats, shift: Shift, moved: list[Day]) -> dict[str, Floats]:
    """Only the shifted columns are measured again; the others are as they were."""
    again = measured.copy()
    for name in shift.columns:
        again[:, peers.place(name)] = peers.column(name, moved)
    return peers_detect.scores(again)


class Dailies:
    """What ADWIN is given: of each column one number a day (the mean, or the share of its most common category) and
    the share of missing values, in standard deviations of the reference's days."""

    def __init__(self, reference: list[Day], stream: Stream) -> None:
        self._kinds = stream.kinds
        self._common = {}
        for name, kind in stream.kinds.items():
            if isinstance(kind, tuple):
                values = np.concatenate([day.values[name] for day in reference])
                self._common[name] = float(np.argmax(np.bincount(values[~np.isnan(values)].astype(int))))
        raw = self._raw(reference, list(stream.kinds))
        finest = 1 / np.mean([len(day) for day in reference])
        self._mean, self._std = raw.mean(axis=1), np.maximum(raw.std(axis=1), finest)

    def _raw(self, days: list[Day], names: list[str]) -> Floats:
        """Levels of all names, then their shares of missing values; a series a row."""
        levels, missing = [], []
        for name in names:
            present = [~np.isnan(day.values[name]) for day in days]
            values = [day.values[name][there] for day, there in zip(days, present, strict=True)]
            if name in self._common:
                values = [part == self._common[name] for part in values]
            levels.append([float(part.mean()) for part in values])
            missing.append([1 - float(there.mean()) for there in present])
        return np.array(levels + missing)

    def series(self, days: list[Day]) -> Floats:
        """One row a series, one column a day."""
        return (self._raw(days, list(self._kinds)) - self._mean[:, None]) / self._std[:, None]

    def replaced(self, days: list[Day], shift: Shift) -> dict[int, Floats]:
        """The rows of `series` that a shift changes, by their place."""
        names = list(self._kinds)
        raw = self._raw(days, list(shift.columns))
        places = [names.index(name) for name in shift.columns]
        places += [len(names) + place for place in places]
        return {place: (row - self._mean[place]) / self._std[place] for place, row in zip(places, raw, strict=True)}
