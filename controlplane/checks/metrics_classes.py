"""What the answered classes were worth: accuracy, balanced accuracy, precision, recall and F1."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from controlplane.checks import intervals
from controlplane.checks.contributions import Contributions, Undefined, share
from controlplane.checks.labels import codes, distinct, said


class Decisions:
    """Labels beside the classes that were answered; what its metrics share is counted once.

    With a `positive` class precision, recall and F1 speak of it alone. Without one they are means over classes
    (scikit-learn's macro average), and a class that one is not defined for is left out of its mean (there:
    `zero_division=nan`) and noted: it is no zero.
    """

    def __init__(self, labels: np.ndarray, predictions: np.ndarray, positive: float | str | None = None) -> None:
        self.classes = distinct(labels, predictions)
        self.truth, self.answer = codes(labels, self.classes), codes(predictions, self.classes)
        self.positive = positive

    @cached_property
    def hit(self) -> np.ndarray:
        """Whether each row was answered with its label."""
        return np.asarray(self.truth == self.answer)

    @cached_property
    def labelled(self) -> np.ndarray:
        """How many labels each class has."""
        return np.bincount(self.truth, minlength=len(self.classes))

    @cached_property
    def answered(self) -> np.ndarray:
        """How often each class was answered."""
        return np.bincount(self.answer, minlength=len(self.classes))

    @cached_property
    def right(self) -> np.ndarray:
        """How often each class was answered rightly."""
        return np.bincount(self.truth[self.hit], minlength=len(self.classes))

    def accuracy(self) -> Contributions:
        """The share of rows answered with their label."""
        return share(self.hit)

    def balanced_accuracy(self) -> Contributions:
        """The mean over classes of the share of their rows that were answered with them."""
        if np.count_nonzero(self.labelled) < 2:
            raise Undefined(f"balanced_accuracy needs labels of two classes; every label is {self._one()}")
        return self._of_shares(self.truth, self.labelled, self.labelled > 0)

    def recall(self) -> Contributions:
        """Of the rows with the label, the share that was answered with it."""
        chosen = self._chosen("recall", self.labelled, "no label is")
        return self._of_shares(self.truth, self.labelled, chosen, "has no label")

    def precision(self) -> Contributions:
        """Of the rows answered with the class, the share that has it as label."""
        chosen = self._chosen("precision", self.answered, "no row was answered")
        return self._of_shares(self.answer, self.answered, chosen, "was never answered")

    def f1(self) -> Contributions:
        """The harmonic mean of precision and recall, a ratio of counts: twice the hits over labels plus answers.

        For one class it is a rising function of the hits' share of the rows that have the class as label or answer,
        which is binomial, so that the interval is Wilson's, transformed.
        """
        both = self.labelled + self.answered
        chosen = self._chosen("f1", both, "no label or answer is")
        number, n = np.count_nonzero(chosen), len(self.truth)
        ratio = np.divide(2.0 * self.right, both, out=np.zeros(len(both)), where=both > 0)
        weight = np.divide(n / number, both, out=np.zeros(len(both)), where=chosen)
        # A row adds to the labels of one class and to the answers of one; where those are the same, to its hits too.
        pull = ratio * weight
        values = float(ratio[chosen].mean()) + self.hit * 2 * weight[self.truth] - pull[self.truth] - pull[self.answer]
        either = (both - self.right)[chosen]
        support = _support(either)
        if number == 1:
            low, high = intervals.wilson(int(self.right[chosen][0]), int(either[0]))
            bounds = 2 * low / (1 + low), 2 * high / (1 + high)
        else:
            bounds = intervals.bounded(values, support)
        return Contributions(values, bounds, "bounded", 1 / support, self._named(chosen))

    def _of_shares(self, place: np.ndarray, rows: np.ndarray, chosen: np.ndarray, why: str = "") -> Contributions:
        """The mean over the chosen classes of hits over `rows`, where `place` says to whose rows each row counts."""
        number = np.count_nonzero(chosen)
        each = np.divide(self.right, rows, out=np.zeros(len(rows)), where=rows > 0)
        weight = np.divide(len(place) / number, rows, out=np.zeros(len(rows)), where=chosen)
        values = float(each[chosen].mean()) + (self.hit - each[place]) * weight[place]
        bounds = intervals.mean_of_shares(self.right[chosen], rows[chosen])
        lost = self.classes[~chosen] if self.positive is None else self.classes[:0]
        note = f"class {said(lost)} {why} and is left out of the mean" if len(lost) and why else ""
        return Contributions(values, bounds, "bounded", 1 / _support(rows[chosen]), self._named(chosen), note)

    def _chosen(self, metric: str, rows: np.ndarray, none: str) -> np.ndarray:
        """The positive class, or every class that has rows to speak of."""
        if self.positive is None:
            if len(self.classes) < 2:
                raise Undefined(f"{metric} needs two classes; every label and answer is {self._one()}")
            return np.asarray(rows > 0)
        chosen = np.asarray(self.classes == self.positive)
        if not rows[chosen].sum():
            raise Undefined(f"{metric} is not defined: {none} {said([self.positive])}")
        return chosen

    def _named(self, chosen: np.ndarray) -> tuple[float | str, ...]:
        return tuple(self.classes[chosen].tolist())

    def _one(self) -> str:
        return said(self.classes[self.labelled > 0])


def _support(rows: np.ndarray) -> float:
    """Of how many rows a mean of shares is made: as many as would leave the same doubt were every share 1."""
    return float(len(rows) / np.sqrt((1.0 / np.square(rows, dtype=np.float64)).sum()))
