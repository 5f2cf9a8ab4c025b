"""What a page budget asks of the evidence, and how well a reference can keep it: measured by replaying its blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from controlplane.profiles.blocks import Blocks
from controlplane.profiles.calibration import LEAST_BLOCKS, calibrate
from controlplane.profiles.detector import SHIFTS, step
from controlplane.profiles.kinds import Floats, Ints
from controlplane.profiles.rates import poisson_interval

ENOUGH_BLOCKS = 60
_REPLAYS, _WINDOWS, _NUMBERS = 100, 200, 30_000_000
_RUN = 7
_STEP, _HIGHEST, _FLOOR = 1.5, 1e9, 0.1
# Replays are made of runs that repeat, milder than days to come: they are granted half of the budget.
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Promise:
    """The threshold for one page in `horizon` windows, and what `replays` of the reference's own blocks did at it.

    `pages` is how often they paged in `horizon` windows with nothing changed, `low` to `high` its 95 % interval;
    `kept` the share of replays that paged at most once; `blocks` how many blocks the reference has.
    """

    horizon: float
    min_effect: float
    threshold: float
    blocks: int
    replays: int = 0
    windows: int = 0
    pages: float = 0.0
    low: float = 0.0
    high: float = 0.0
    kept: float = 0.0

    def __str__(self) -> str:
        asked = f"threshold {self.threshold:.3g} for 1 page in {self.horizon:g} windows"
        if not self.replays:
            return f"{asked}, not replayed"
        made = f"{self.replays} replays of {self.windows} windows, made of its own {self.blocks}"
        paged = f"paged {self.pages:.2g} times in {self.horizon:g} windows ({self.low:.2g} to {self.high:.2g})"
        return f"{asked}; {made}, {paged}, and {self.kept:.0%} of them at most once"

    @property
    def short(self) -> str:
        """What is missing of the reference, as a sentence; empty where it is long enough."""
        if self.blocks >= ENOUGH_BLOCKS:
            return ""
        missing = ENOUGH_BLOCKS - self.blocks
        said = (
            f"the reference holds {self.blocks} windows, {missing} fewer than the {ENOUGH_BLOCKS} the page budget needs"
        )
        return said if self.blocks >= LEAST_BLOCKS else f"{said}; below {LEAST_BLOCKS} nothing can be scored"


def promise(blocks: Blocks, horizon: float, min_effect: float, seed: int = 0) -> Promise:
    """The threshold at which pages without any change come no more often than once in `horizon` windows.

    Two thirds of the runs of blocks are taken for a reference and the rest for new windows, again and again, and the
    whole detector is replayed on them; the threshold is the lowest of a tenth of `horizon` and up at which the upper
    end of the 95 % interval of the replays' pages is within half of the budget. Means of the two parts differ by more
    than those of a whole reference and new windows would; the excess is taken off. A reference too short to be replayed
    gets `horizon` itself: there the mean time to a page is at least that long wherever the scores are what a
    calibration means them to be (see `detector.accumulate`).
    """
    made = Promise(horizon, min_effect, horizon, len(blocks))
    if len(blocks) < 3 * LEAST_BLOCKS // 2 or not blocks.keys:
        return made
    rng = np.random.default_rng(seed)
    windows = int(min(max(round(horizon), 30), _WINDOWS))
    number = int(np.clip(_NUMBERS // (windows * 2 * len(blocks.keys) * len(SHIFTS)), 10, _REPLAYS))
    scores = np.stack([_scores(blocks, windows, min_effect, rng) for _ in range(number)], axis=2)
    weights, checks = _weights(blocks), _by_check(blocks)
    scale = horizon / (number * windows)
    # A replay that never starts afresh tells which have a page at all: a quick way past thresholds that are too low.
    highest = _pages(scores, weights, checks, math.inf)[1]
    threshold = horizon * _FLOOR
    while poisson_interval(int((highest >= threshold).sum()))[1] * scale > _SHARE and threshold < _HIGHEST:
        threshold *= _STEP
    counts = _pages(scores, weights, checks, threshold)[0]
    while poisson_interval(int(counts.sum()))[1] * scale > _SHARE and threshold < _HIGHEST:
        threshold *= _STEP
        counts = _pages(scores, weights, checks, threshold)[0]
    low, high = poisson_interval(int(counts.sum()))
    return replace(
        made,
        threshold=threshold,
        replays=number,
        windows=windows,
        pages=float(counts.sum()) * scale,
        low=low * scale,
        high=high * scale,
        kept=float(np.mean(counts <= max(1.0, windows / horizon))),
    )


def _weights(blocks: Blocks) -> Floats:
    checks = [key.check for key in blocks.keys]
    sizes = {check: sum(2 - abs(key.side) for key in blocks.keys if key.check == check) for check in set(checks)}
    return np.array([1 / (len(sizes) * sizes[check]) for check in checks])


def _by_check(blocks: Blocks) -> list[Ints]:
    names = np.array([key.check for key in blocks.keys])
    return [np.flatnonzero(names == check) for check in sorted(set(names.tolist()))]


def _scores(blocks: Blocks, windows: int, min_effect: float, rng: np.random.Generator) -> Floats:
    """The scores of new windows against a reference, both made of this one's runs of blocks; shape (2, T, S)."""
    run = _RUN if len(blocks) >= 6 * _RUN else 2
    number = len(blocks) // run
    first = len(blocks) - number * run
    order = rng.permutation(number)
    new, old = np.sort(order[: max(2, round(number / 3))]), np.sort(order[max(2, round(number / 3)) :])
    learnt, held = _rows(old, run, first), _rows(new, run, first)
    drawn = _rows(new[rng.integers(0, len(new), -(-windows // run))], run, first)[:windows]
    reference = _part(blocks, learnt)
    calibration = calibrate(reference, min_effect)
    kept = np.sqrt((1 / number) / (1 / len(old) + 1 / len(new)))
    excess = (1 - kept) * (_mean(blocks.values[held]) - _mean(blocks.values[learnt]))
    places = {key: index for index, key in enumerate(blocks.keys)}
    known = np.array([places[key] for key in calibration.keys], np.intp)
    values = blocks.values[drawn][:, known] - np.nan_to_num(excess[known])
    scores = np.full((2, windows, len(blocks.keys)), np.nan)
    scores[:, :, known] = calibration.score(values, blocks.counts[drawn][:, known], blocks.starts[drawn])
    return scores


def _rows(runs: Ints, run: int, first: int) -> Ints:
    rows: Ints = (first + runs[:, None] * run + np.arange(run)).ravel()
    return rows


def _part(blocks: Blocks, rows: Ints) -> Blocks:
    return Blocks(
        blocks.length, blocks.starts[rows], blocks.keys, blocks.values[rows], blocks.counts[rows], blocks.variances
    )


def _mean(values: Floats) -> Floats:
    there = np.isfinite(values)
    means: Floats = np.where(there, values, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    return means


def _pages(scores: Floats, weights: Floats, checks: Sequence[Ints], threshold: float) -> tuple[Ints, Floats]:
    """How often each replay pages, where each page starts its check afresh, and the highest part of any check, (R,).

    `scores` has shape (2, T, R, S); `weights` (S,) is how much a statistic weighs, `checks` which belong to each check.
    """
    _, windows, replays, width = scores.shape
    values = np.zeros((2, replays, width, len(SHIFTS)))
    pages, highest = np.zeros(replays, np.int64), np.zeros(replays)
    for index in range(windows):
        window = scores[:, index]
        there = np.isfinite(window)
        values[there] = step(values[there], window[there])
        parts = values.mean(-1).sum(0) * weights
        for own in checks:
            level = parts[:, own].sum(-1)
            highest = np.maximum(highest, level)
            paged = np.flatnonzero(level >= threshold)
            pages[paged] += 1
            values[:, paged[:, None], own] = 0.0
    return pages, highest
