"""From scores of strangeness to measures: the share of rows past what the reference's own rows reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controlplane.domain.verdict import Measure
from controlplane.errors import NotEnoughData
from controlplane.ports import MeasureSpec
from controlplane.profiles.intervals import Figure, difference, wilson
from controlplane.profiles.kinds import Floats

MEASURES = {
    "ood_share": MeasureSpec("share of rows", True, "rows farther from the reference than nearly all of its own rows"),
    "ood_excess": MeasureSpec("share of rows", True, "ood_share minus that of reference rows that were held out"),
}


@dataclass(frozen=True, slots=True)
class Ruler:
    """The score past which a row is out, and the share of the held-out reference rows that are."""

    threshold: float
    own: Figure

    @classmethod
    def of(cls, held_out: Floats, quantile: float) -> Ruler:
        """The quantile of the scores of reference rows that the score was not fitted on; larger is stranger.

        The true share past an order statistic varies as much as a share that is counted does, so that the interval of
        the held-out share carries the doubt of the threshold too.
        """
        threshold = float(np.quantile(held_out, quantile, method="higher"))
        return cls(threshold, wilson(int(np.count_nonzero(held_out > threshold)), len(held_out)))

    def out(self, scores: Floats) -> np.ndarray:
        """Which rows are out, shape (n,)."""
        return np.asarray(scores > self.threshold)


def least_held_out(quantile: float) -> int:
    """How many held-out rows a quantile needs to have one of them past it."""
    return math.ceil(round(1 / (1 - quantile), 6))


def enough(n: int, needed: int, what: str) -> None:
    """Raise NotEnoughData below `needed` rows."""
    if n < needed:
        raise NotEnoughData(f"{n} {what}; ood needs {needed}", n, needed)


def measures(out: np.ndarray, ruler: Ruler, quantile: float, version: str | None, detail: str) -> list[Measure]:
    """`ood_share` with Wilson's interval, and `ood_excess` with Newcombe's."""
    n, strange = len(out), int(np.count_nonzero(out))
    share = wilson(strange, n)
    excess = difference(share, ruler.own)
    detail = f"{strange} of {n} rows lie past the {quantile:.3g} quantile of {ruler.own.n} reference rows{detail}"
    return [
        Measure(name, figure.estimate, n, figure.low, figure.high, version=version, detail=detail)
        for name, figure in (("ood_share", share), ("ood_excess", excess))
    ]
