"""From statistics to scores: how unusual a window is, judged by the reference's own blocks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.profiles.blocks import Blocks, Key, phases_of
from controlplane.profiles.kinds import Floats, Ints
from controlplane.profiles.scores import Statistic

LEAST_BLOCKS = 8
_WORST = 38.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the blocks of a reference say of each statistic (arrays of shape (S,), seasons of shape (phases, S)).

    A statistic is studentised by `centre` (and the season's part of it) and by the root of `between` plus the
    variance of one row over the window's n: the part of a block's variance that more rows do not shrink, and the part
    that they do. Its t-quantile with `freedom` degrees (fewer for heavier tails than normal) becomes a normal one;
    inside the range seen in the reference it counts no more than its rank does; and it is divided by `longer`, the
    root of how much more than independent blocks the means of runs of blocks vary. What is left is about standard
    normal while nothing changes. `allowance` is what a true mean may lie off `centre` before it is held against the
    window: the reference's own error, in standard errors of the mean over its blocks; and the minimum effect, in
    standard deviations of one row.
    """

    keys: tuple[Key, ...]
    length: float
    blocks: Floats
    centre: Floats
    season: Floats | None
    season_error: Floats
    between: Floats
    variances: Floats
    freedom: Floats
    seen: Floats
    longer: Floats
    span: float
    min_effect: float

    def score(self, values: Floats, counts: Floats, starts: Ints) -> Floats:
        """One-sided scores of windows, shape (2, T, S), of a rise and of a fall; NaN where one has no such statistic.

        `values` and `counts` have shape (T, S), `starts` (T,) in seconds. Each score is normal with a mean of at most 0
        and variance 1 while nothing moved by more than the allowance, so that `exp(d * score - d * d / 2)` is an
        e-value for every d > 0.
        """
        away = values - self.centre
        if self.season is not None:
            places = phases_of(starts, self.length, self.span)
            assert places is not None
            away = away - self.season[places[0]]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(self.between + self.variances / counts)
            apart = away / spread
            normal = _normal(apart / np.sqrt(1 + self.season_error), self.freedom)
            above, below = (
                np.stack([np.count_nonzero(reached(self.seen, row), axis=0) for row in apart])
                for reached in (np.greater_equal, np.less_equal)
            )
            normal = np.clip(normal, -_by_rank(below, self.blocks), _by_rank(above, self.blocks)) / self.longer
            allowed = np.maximum(
                np.sqrt(1 / self.blocks), self.min_effect * np.sqrt(self.variances) / spread / self.longer
            )
            scores: Floats = np.stack((normal - allowed, -normal - allowed))
        scores[:, (counts <= 0) | ~np.isfinite(values)] = np.nan
        for row, side in enumerate((-1, 1)):
            scores[row][:, [key.side == side for key in self.keys]] = np.nan
        return scores

    def score_statistics(self, found: Sequence[Statistic], check: str, start: float) -> Floats:
        """The scores of what a check measured on one window, shape (2, S)."""
        places = {(key.check, key.name, key.column): index for index, key in enumerate(self.keys)}
        values, counts = np.full(len(self.keys), np.nan), np.zeros(len(self.keys))
        for one in found:
            place = places.get((check, one.name, one.column))
            if place is not None:
                values[place], counts[place] = one.value, one.n
        return self.score(values[None], counts[None], np.array([int(start)]))[:, 0]


def calibrate(blocks: Blocks, min_effect: float = 0.05) -> Calibration:
    """Learn from a reference's blocks what each statistic does while nothing changes.

    `min_effect` is the shift, in standard deviations of one row, that does not matter. A statistic with fewer than 8
    blocks is left out. Sources: the variance of a block is split as in random effects models (DerSimonian and Laird
    1986), the lasting part measured by batch means, season effects shrunk by their reliability.
    """
    enough = np.isfinite(blocks.values).sum(0) >= LEAST_BLOCKS
    values, counts = blocks.values[:, enough], blocks.counts[:, enough]
    variances = blocks.variances[enough]
    keys = tuple(key for key, kept in zip(blocks.keys, enough, strict=True) if kept)
    number = np.isfinite(values).sum(0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        centre = np.nanmean(values, 0) if len(keys) else np.empty(0)
        rest = values - centre
        season, season_error = _season(rest, blocks)
        if season is not None:
            places = blocks.phases
            assert places is not None
            rest = rest - season[places[0]]
        own = variances / counts
        between = np.maximum(0.0, np.nansum(np.square(rest), 0) / (number - 1) - np.nanmean(own, 0))
        apart = rest / np.sqrt(between + own)
        kurtosis = np.nanmean(apart**4, 0) / np.square(np.nanmean(np.square(apart), 0))
        heavy = 4 + 6 / np.maximum(np.nan_to_num(kurtosis, nan=3.0) - 3, 1e-3)
        longer = _longer(apart, blocks)
    return Calibration(
        keys,
        blocks.length,
        number,
        centre,
        season,
        season_error + 1 / np.maximum(number, 1),
        between,
        variances,
        np.minimum(number - 1, heavy),
        np.where(np.isfinite(apart), apart, np.nan),
        longer,
        blocks.span,
        min_effect,
    )


def _season(rest: Floats, blocks: Blocks) -> tuple[Floats | None, Floats]:
    """Each phase's mean, shrunk by how reliable it is, where phases differ by more than chance; and its error."""
    places = blocks.phases
    none = np.zeros(rest.shape[1])
    if places is None or not rest.shape[1]:
        return None, none
    from scipy.special import fdtri

    phase, cycle = places
    sizes = np.bincount(phase, minlength=cycle)
    if sizes.min() < 2:
        return None, none
    means = np.stack([np.nanmean(rest[phase == one], 0) for one in range(cycle)])
    inner = np.nansum(np.square(rest - means[phase]), 0) / (len(rest) - cycle)
    error = inner / sizes.mean()
    outer = np.var(means, 0, ddof=1)
    sure = outer > fdtri(cycle - 1, len(rest) - cycle, 0.99) * error
    shrink = np.where(sure, np.maximum(0.0, 1 - error / np.maximum(outer, 1e-300)), 0.0)
    return np.nan_to_num(means * shrink), np.square(shrink) / sizes.mean()


def _longer(apart: Floats, blocks: Blocks) -> Floats:
    """The root of the variance of batch means over what independent blocks would give, at least 1.

    Half of each statistic's own figure, half of the median over all, for one alone is uncertain.
    """
    number, width = apart.shape
    run = 7 if blocks.length >= 86400 else round(86400 / blocks.length)
    run = max(1, min(run, number // 6))
    batches = number // run
    if not width or run < 2:
        return np.ones(width)
    means = np.nanmean(np.nan_to_num(apart[number - batches * run :]).reshape(batches, run, width), 1)
    own = run * np.var(means, 0, ddof=1) / np.maximum(np.nanmean(np.square(apart), 0), 1e-12)
    own = np.nan_to_num(own, nan=1.0)
    blended: Floats = np.sqrt(np.maximum(1.0, (own + max(1.0, float(np.median(own)))) / 2))
    return blended


def _normal(apart: Floats, freedom: Floats) -> Floats:
    """The normal quantile with the tail of a t-distributed value."""
    from scipy.special import log_ndtr, ndtri_exp, stdtr

    tail = np.log(np.maximum(stdtr(freedom, -np.abs(apart)), 1e-300))
    quantile: Floats = np.where(apart > 0, -1.0, 1.0) * ndtri_exp(np.minimum(tail, log_ndtr(0.0)))
    return np.clip(quantile, -_WORST, _WORST)


def _by_rank(beyond: Floats, blocks: Floats) -> Floats:
    """The largest score that a rank allows: of a value that `beyond` of the blocks reach or pass."""
    from scipy.special import ndtri

    cap: Floats = np.where(beyond > 0, -ndtri(np.minimum((beyond + 0.5) / (blocks + 1), 0.5)), np.inf)
    return cap
