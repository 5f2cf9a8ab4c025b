"""How well scores put the positive rows above the others: areas under the ROC and the precision-recall curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from controlplane.checks import intervals
from controlplane.checks.contributions import Contributions


class Ranking:
    """Rows sorted by their score, once for both areas: O(n log n), ties as one step.

    `scores` and `positive` have shape (n,); there must be rows of both sides.
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        self._order = np.argsort(scores)
        ranked = scores[self._order]
        self._positive = positive[self._order]
        self._n = len(scores)
        self._ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), self._n - 1)
        self.positives = int(np.count_nonzero(positive))
        self.negatives = self._n - self.positives

    @cached_property
    def _up_to(self) -> tuple[np.ndarray, np.ndarray]:
        """Positives and rows up to each distinct score, itself among them."""
        return np.cumsum(self._positive)[self._ends].astype(np.float64), (self._ends + 1).astype(np.float64)

    def roc_auc(self) -> np.ndarray:
        """Per-row values of the area under the ROC curve.

        A positive row's part is the share of the negatives below it, a negative row's the share of the positives above
        it, ties as a half: the structural components of DeLong, DeLong and Clarke-Pearson (1988), read off mid-ranks
        (Sun and Xu 2014). Each side is weighed so that the mean is the area and the variance of the mean DeLong's.
        """
        hits, rows = self._up_to
        misses = rows - hits
        above = (_before(misses) + misses) / (2 * self.negatives)
        below = 1 - (_before(hits) + hits) / (2 * self.positives)
        area = float(np.diff(hits, prepend=0.0) @ above) / self.positives
        scale = self._n / self.positives, self._n / self.negatives
        return self._by_row(area + scale[0] * (above - area), area + scale[1] * (below - area))

    def pr_auc(self) -> np.ndarray:
        """Per-row values of average precision, the area under the precision-recall curve as scikit-learn steps it.

        It is the mean over positive rows of the precision at their score. A row moves it as one of those, and through
        the precision at every positive's score that it does not lie below; both parts are its influence value.
        """
        hits, rows = self._up_to
        own = np.diff(hits, prepend=0.0)
        reached = self._n - _before(rows)
        precision = (self.positives - _before(hits)) / reached
        area = float(own @ precision) / self.positives
        parts = own / reached
        drop = np.cumsum(parts * precision)
        scale = self._n / self.positives
        return self._by_row(area + scale * (precision - area + np.cumsum(parts) - drop), area - scale * drop)

    def _by_row(self, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        """From a value a distinct score and side to one a row, in the rows' own order."""
        if len(self._ends) < self._n:
            sizes = np.diff(self._ends, prepend=-1)
            positive, negative = np.repeat(positive, sizes), np.repeat(negative, sizes)
        values = np.empty(self._n)
        values[self._order] = np.where(self._positive, positive, negative)
        return values


def area(metric: str, rankings: Sequence[Ranking], over: tuple[float | str, ...] = (), note: str = "") -> Contributions:
    """`roc_auc` or `pr_auc` of one ranking, or its mean over one for each class against the rest."""
    values = sum(
        (ranking.roc_auc() if metric == "roc_auc" else ranking.pr_auc()) / len(rankings) for ranking in rankings
    )
    assert isinstance(values, np.ndarray)
    fewest = [1.0 / min(ranking.positives, ranking.negatives) for ranking in rankings]
    support = len(rankings) / float(np.linalg.norm(fewest))
    return Contributions(values, intervals.bounded(values, support), "bounded", over=over, note=note)


def _before(counts: np.ndarray) -> np.ndarray:
    """The counts before each step."""
    return np.concatenate(([0.0], counts[:-1]))
