"""From a score to the chance of an outcome, learnt on labelled rows: the curve, and how it bends for another world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controlplane.profiles.kinds import Floats, Ints

SMALL = 500
"""Below this many rows, or a tenth of it of the rarer outcome, a curve has two parameters instead of one a step."""
ROUNDS = 30
GROUPS = 12
LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Graded:
    """Labelled rows by their score: `score` ascending and distinct, and at which of them each row stands."""

    score: Floats
    place: Ints
    hit: Floats

    @classmethod
    def of(cls, score: Floats, hit: Floats) -> Graded:
        """Scores and outcomes (0 or 1), shape (n,) both."""
        distinct, place = np.unique(score, return_inverse=True)
        return cls(distinct, place, hit)

    def between(self, score: Floats) -> tuple[Ints, Floats]:
        """Where other scores lie: after which of the distinct ones, and how far on to the next, from 0 to 1."""
        after = np.clip(np.searchsorted(self.score, score, "right") - 1, 0, max(0, len(self.score) - 2))
        step = np.append(np.diff(self.score), np.inf)[after]
        return after, np.clip((score - self.score[after]) / step, 0.0, 1.0)

    def curve(self, weights: Floats) -> Floats:
        """The chance of a hit at each distinct score, never falling, for rows of these weights; shape of `score`.

        Isotonic regression by pooling adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002), or for few rows
        a logistic curve of the score's own logit (Platt 1999), with targets kept off 0 and 1 as he does.

        >>> Graded.of(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])).curve(np.ones(4)).shape
        (3,)
        """
        total, hits = (
            np.bincount(self.place, values, len(self.score)).astype(np.float64)
            for values in (weights, weights * self.hit)
        )
        if min(len(self.hit), 10 * self.hit.sum(), 10 * (1 - self.hit).sum()) < SMALL:
            return _platt(self.score, hits, total)
        from scipy.optimize import isotonic_regression

        held = total > 0
        level = isotonic_regression(hits[held] / total[held], weights=total[held]).x
        return np.asarray(np.interp(self.score, self.score[held], level))


def along(curve: Floats, place: tuple[Ints, Floats]) -> Floats:
    """A curve at the places that `between` found; each is used for many curves.

    >>> along(np.array([0.0, 1.0]), Graded.of(np.array([0.2, 0.4]), np.zeros(2)).between(np.array([0.1, 0.25, 0.9])))
    array([0.  , 0.25, 1.  ])
    """
    after, on = place
    return np.asarray(curve[after] + on * (np.append(curve, curve[-1])[after + 1] - curve[after]))


@dataclass(frozen=True, slots=True)
class Correction:
    """What is added to the logit of a curve: `by` at the scores `at`, in between on a line; `error` is its standard
    error, shape (k,) all. Without any scores nothing is added.
    """

    at: Floats
    by: Floats
    error: Floats

    def apply(self, score: Floats, chance: Floats, luck: Floats | None = None) -> Floats:
        """The corrected chances of rows of these scores, shape (n,); `luck` moves `by` by so many standard errors."""
        if not len(self.at):
            return chance
        by = self.by if luck is None else self.by + luck * self.error
        return expit(logit(chance) + np.interp(score, self.at, by))


NONE = Correction(np.empty(0), np.empty(0), np.empty(0))
"""A curve as it is."""


def correction(score: Floats, chance: Floats, hit: Floats, weights: Floats) -> Correction:
    """How the curve must bend for rows weighted towards another world; `chance` must not have seen its own row.

    In each of `GROUPS` groups by score: the weighted residual as a step of the logit, with its variance. The steps are
    shrunk towards none by what chance alone would have found (empirical Bayes for normal means, Efron and Morris 1975),
    so that noisy weights cost little where the curve holds in both worlds.
    """
    groups = [one for one in np.array_split(np.argsort(score, kind="stable"), GROUPS) if weights[one].sum() > 0]
    found = np.empty((len(groups), 3))
    for row, one in zip(found, groups, strict=True):
        row[0] = np.average(score[one], weights=weights[one])
        row[1:] = _step(logit(chance[one]), hit[one], weights[one])
    at, step, variance = found.T
    variance = np.maximum(variance, 1e-12)
    spread = 0.0
    for _ in range(ROUNDS):
        trust = 1 / np.square(spread + variance)
        spread = max(0.0, float((trust * (step**2 - variance)).sum() / trust.sum()))
    kept = spread / (spread + variance)
    return Correction(at, kept * step, np.sqrt(kept * variance))


def _step(at: Floats, hit: Floats, weights: Floats) -> tuple[float, float]:
    """What added to the logits makes the weighted hits come out right, and its variance (sandwich).

    Half a hit of each kind, spread over the rows, keeps it finite where all outcomes are the same.
    """
    step, half = 0.0, 0.5 * float(weights.sum()) / len(weights)
    for _ in range(ROUNDS):
        said = expit(at + step)
        known = float((weights * said * (1 - said)).sum()) + half / 2
        move = (float((weights * (hit - said)).sum()) + half * float(np.tanh(-step / 2))) / known
        step += min(max(move, -1.0), 1.0)
        if abs(move) < 1e-8:
            break
    missed = weights * (hit - expit(at + step))
    return step, float((missed**2).sum()) / known**2


def logit(chance: Floats) -> Floats:
    """The logarithm of the odds, finite also where a step of a curve has seen one outcome alone."""
    inside = np.clip(chance, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def expit(at: Floats) -> Floats:
    """The chance behind a logit, without overflow.

    >>> expit(np.array([-1000.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    small = np.exp(-np.abs(at))
    return np.asarray(np.where(at >= 0, 1 / (1 + small), small / (1 + small)))


def _platt(score: Floats, hits: Floats, total: Floats) -> Floats:
    """Platt's curve at each score, over rows counted by score."""
    of_hit, rest = float(hits.sum()), float(total.sum() - hits.sum())
    target = (hits * (of_hit + 1) / (of_hit + 2) + (total - hits) / (rest + 2)) / np.maximum(total, 1e-300)
    at = logit(score)
    design = np.column_stack([np.ones_like(at), at])
    start = float(logit(np.array([(of_hit + 1) / (of_hit + rest + 2)]))[0])
    found = np.array([start, 0.0])
    for _ in range(ROUNDS):
        said = expit(design @ found)
        slope = design.T @ (total * (target - said))
        curvature = (design * (total * said * (1 - said))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        found = found + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    if found[1] < 0:
        found = np.array([start, 0.0])
    return np.clip(expit(design @ found), 1e-6, 1 - 1e-6)
