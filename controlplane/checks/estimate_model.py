"""The estimator: curve, correction, and how far an estimate may lie from what the labels will show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from controlplane.checks.estimate_curve import NONE, Correction, Graded, along, correction
from controlplane.checks.estimate_expected import Rows
from controlplane.profiles.kinds import Floats, Ints

FOLDS = 5
STRETCHES = 8
DRAWS = 400
RESAMPLES = 80


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers without labels: their score, and `sign` +1 where the outcome scored is what was answered, -1 where it
    is the opposite; shape (n,) both. For two classes the outcome is the greater class, else that the answer is right.
    """

    score: Floats
    sign: Floats
    ranked: bool

    def rows(self) -> Rows:
        """The same in the order of their score."""
        return Rows.of(self.score, self.sign, self.ranked)

    def part(self, which: np.ndarray) -> Answered:
        """Some of them, by index or flag."""
        return Answered(self.score[which], self.sign[which], self.ranked)


@dataclass(frozen=True, slots=True)
class Off:
    """How far estimates lay from the truth on stretches of the reference held out.

    `beyond` is the standard deviation left once chance is taken off, `p_value` the chance of such errors without it.
    """

    beyond: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Likely:
    """An estimate, and the interval that holds what the labels will show 95 times in 100."""

    estimate: float
    low: float
    high: float


class Estimator:
    """Learns from labelled answers in the order of their time; `hit` is 1 where the outcome that was scored came."""

    def __init__(self, held: Answered, hit: Floats, seed: int) -> None:
        self.held, self.hit, self.seed = held, hit, seed
        self._graded = Graded.of(held.score, hit)
        self._curve = self._graded.curve(np.ones(len(hit)))
        self._rows = held.rows()
        self.baseline = {name: float(value) for name, value in self._rows.metrics(hit).items()}
        self.off = self._checked()

    def estimate(
        self, window: Answered, weights: Floats | None = None, supported: bool = True
    ) -> Mapping[str, tuple[Likely, Likely]]:
        """Each metric of the window, and its difference to the baseline.

        `weights` of the held rows, density ratios of the window, bend the curve towards its inputs. Where they are not
        `supported` the curve stays as it is, and what they would have changed widens the interval.
        """
        rng = np.random.default_rng([self.seed, 1])
        rows = window.rows()
        place = self._graded.between(window.score)
        plain = along(self._curve, place)
        bend = NONE if weights is None else correction(self.held.score, self._unseen(), self.hit, weights)
        bent = bend.apply(window.score, plain)
        in_doubt = {name: 0.0 for name in self.baseline}
        if not supported:
            apart = rows.metrics(plain), rows.metrics(bent)
            in_doubt = {name: abs(float(apart[0][name] - apart[1][name])) for name in in_doubt}
            bend, bent = NONE, plain
        point, drawn = rows.metrics(bent), rows.draws(bent, DRAWS, rng)
        again, base = self._again(window, place, rows, bend, rng)
        found = {}
        for name, value in point.items():
            known = np.isfinite(drawn[name])
            if not (np.isfinite(value) and known.mean() > 0.5 and np.isfinite(self.baseline[name])):
                continue
            # A curve fits chance too and ranks too well; drawn again it does so twice (bootstrap bias correction).
            bias = float(np.nanmean(again[name]) - value) if name == "roc_auc" else 0.0
            luck = drawn[name] - bias + self.off[name].beyond * rng.standard_t(STRETCHES - 1, DRAWS)
            luck = luck + in_doubt[name] * rng.standard_normal(DRAWS)
            turns = np.arange(DRAWS) % RESAMPLES
            error, change = (_centred(one)[turns] for one in (again[name], again[name] - base[name]))
            now, then = min(float(value) - bias, 1.0), self.baseline[name]
            realised = np.clip(luck + error, 0.0, 1.0)[known]
            found[name] = _likely(now, realised), _likely(now - then, (luck + change)[known] - then)
        return found

    def _again(
        self, window: Answered, place: tuple[Ints, Floats], rows: Rows, bend: Correction, rng: np.random.Generator
    ) -> tuple[Mapping[str, Floats], Mapping[str, Floats]]:
        """Estimate and baseline from the reference drawn again (Poisson bootstrap), shape (RESAMPLES,) each."""
        now: dict[str, list[float]] = {}
        then: dict[str, list[float]] = {}
        for luck in rng.standard_normal((RESAMPLES, len(bend.at))):
            times = rng.poisson(1.0, len(self.hit)).astype(np.float64)
            curve = self._graded.curve(times)
            chance = bend.apply(window.score, along(curve, place), luck)
            for into, values in ((now, rows.metrics(chance)), (then, self._rows.metrics(self.hit, times))):
                for name, value in values.items():
                    into.setdefault(name, []).append(float(value))
        return {name: np.array(values) for name, values in now.items()}, {
            name: np.array(values) for name, values in then.items()
        }

    def _unseen(self) -> Floats:
        """The curve at each held row, learnt without it."""
        fold = np.random.default_rng([self.seed, 2]).permutation(len(self.hit)) % FOLDS
        found = np.empty(len(self.hit))
        for held in range(FOLDS):
            curve = self._graded.curve((fold != held).astype(np.float64))
            found[fold == held] = curve[self._graded.place[fold == held]]
        return found

    def _checked(self) -> Mapping[str, Off]:
        """Stretches of the reference held out in turn: what was estimated without their labels against what was so."""
        from scipy.special import chdtrc

        rng = np.random.default_rng([self.seed, 3])
        misses: dict[str, list[tuple[float, float]]] = {}
        for stretch in np.array_split(np.arange(len(self.hit)), STRETCHES):
            rest = np.ones(len(self.hit))
            # The neighbours too: a window does not lie in the midst of its reference (Burman, Chow and Nolan 1994).
            rest[max(0, stretch[0] - len(stretch)) : stretch[-1] + 1 + len(stretch)] = 0.0
            if min(self.hit[rest > 0].sum(), (1 - self.hit[rest > 0]).sum()) < 1:
                continue
            chance = self._graded.curve(rest)[self._graded.place[stretch]]
            rows = self.held.part(stretch).rows()
            expected, true, drawn = rows.metrics(chance), rows.metrics(self.hit[stretch]), rows.draws(chance, 200, rng)
            for name in true:
                # The curve's own error is that of chance over the rows it was learnt from.
                luck = float(np.nanvar(drawn[name])) * (1 + len(stretch) / rest.sum())
                if np.isfinite(true[name]) and luck > 0:
                    misses.setdefault(name, []).append((float(true[name] - expected[name]), luck))
        found = {}
        for name in self.baseline:
            miss, luck = np.array(misses.get(name, [(0.0, 1.0)])).T
            p_value = float(chdtrc(len(miss), float((miss**2 / luck).sum())))
            found[name] = Off(float(np.sqrt(max(0.0, (miss**2 - luck).mean()))), p_value)
        return found


def _centred(values: Floats) -> Floats:
    """What a draw differs from the mean of them, 0 where it is not known."""
    return np.nan_to_num(values - np.nanmean(values))


def _likely(estimate: float, realised: Floats) -> Likely:
    low, high = np.quantile(realised, [0.025, 0.975])
    return Likely(estimate, min(float(low), estimate), max(float(high), estimate))
