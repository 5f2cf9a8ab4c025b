"""Metrics of rows whose labels are unknown but likely: what to expect of them, and how they may turn out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from controlplane.profiles.kinds import Floats, Ints

BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in the order of their score: `start` is where each distinct score begins.

    `sign` is +1 where the outcome is what was answered and -1 where it is the opposite, so that a row is right with
    chance p or 1 - p; `ranked` says that ranking by score is of interest, as it is for two classes.
    """

    order: Ints
    start: Ints
    sign: Floats
    ranked: bool

    @classmethod
    def of(cls, score: Floats, sign: Floats, ranked: bool) -> Rows:
        """Rows by their score and sign, shape (n,) both."""
        order = np.argsort(score, kind="stable")
        _, start = np.unique(score[order], return_index=True)
        return cls(order, start, sign[order], ranked)

    def metrics(self, outcome: Floats, weights: Floats | None = None) -> Mapping[str, Floats]:
        """Each metric of outcomes or of their chances, shape (..., n) in the order of the rows; ROC AUC by Mann and
        Whitney's statistic, ties counted half, NaN where one class is missing.

        >>> rows = Rows.of(np.array([0.1, 0.8, 0.3]), np.array([-1.0, 1.0, -1.0]), True)
        >>> {name: float(value) for name, value in rows.metrics(np.array([0.0, 1.0, 1.0])).items()}
        {'accuracy': 0.6666666666666666, 'roc_auc': 1.0}
        """
        return self._of(outcome[..., self.order], None if weights is None else weights[..., self.order])

    def draws(self, chance: Floats, number: int, rng: np.random.Generator) -> Mapping[str, Floats]:
        """The metrics of `number` sets of labels drawn from the chances of the rows, each of shape (number,)."""
        sorted_chance = chance[self.order].astype(np.float32)
        found: dict[str, list[Floats]] = {}
        step = max(1, BLOCK // len(chance))
        for first in range(0, number, step):
            size = (min(step, number - first), len(chance))
            labels = rng.random(size, dtype=np.float32) < sorted_chance
            for name, values in self._of(labels.astype(np.float64), None).items():
                found.setdefault(name, []).append(values)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _of(self, outcome: Floats, weights: Floats | None) -> Mapping[str, Floats]:
        right = np.where(self.sign > 0, outcome, 1 - outcome)
        weighed = np.ones_like(outcome) if weights is None else np.broadcast_to(weights, outcome.shape)
        found = {"accuracy": (weighed * right).sum(axis=-1) / weighed.sum(axis=-1)}
        if self.ranked:
            yes, no = weighed * outcome, weighed * (1 - outcome)
            if len(self.start) < len(self.order):
                yes, no = (np.add.reduceat(part, self.start, axis=-1) for part in (yes, no))
            # No row is a pair with itself, though a chance makes it partly both.
            own = (weighed**2 * outcome * (1 - outcome)).sum(axis=-1)
            pairs = (yes * (np.cumsum(no, axis=-1) - no / 2)).sum(axis=-1) - own / 2
            every = yes.sum(axis=-1) * no.sum(axis=-1) - own
            found["roc_auc"] = np.divide(pairs, every, out=np.full_like(pairs, np.nan), where=every > 0)
        return found
