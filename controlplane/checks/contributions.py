"""What every metric comes as: one number a row whose mean is the metric and whose spread is its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from controlplane.checks import intervals
from controlplane.checks.intervals import Interval
from controlplane.errors import NotEnoughData


class Undefined(NotEnoughData):
    """A metric that these rows do not define, such as ROC AUC where every label is the same; says why."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """A metric of n rows: `values` (n,) have it as their mean, `interval` is its 95 % interval.

    For a metric that is no mean, values are its influence values (Hampel 1974) around it: to first order they say by
    how much each row moves the metric, so that their spread gives its standard error, and the spread of their
    differences that of a paired difference. `kind` says which intervals differences get: "share" is a share of the
    rows, "bounded" lies between 0 and 1, "mean" has no bounds of use. `step` is what one answer turned over would
    change. `over` are the classes that the metric was averaged over, `note` is what a reader should know besides.
    """

    values: np.ndarray
    interval: Interval
    kind: Literal["share", "bounded", "mean"] = "mean"
    step: float = 0.0
    over: tuple[float | str, ...] = ()
    note: str = ""

    @property
    def estimate(self) -> float:
        """The metric."""
        return float(self.values.mean())


def share(hits: np.ndarray) -> Contributions:
    """The share of rows that hit; its interval is Wilson's."""
    values = np.asarray(hits, dtype=np.float64)
    return Contributions(values, intervals.wilson(round(values.sum()), len(values)), "share", 1 / max(len(values), 1))


def mean(values: np.ndarray, least: float = -np.inf, most: float = np.inf, note: str = "") -> Contributions:
    """A mean, or influence values, within natural bounds; its interval is Student's t."""
    low, high = intervals.mean(values)
    return Contributions(values, (max(low, least), min(high, most)), note=note)
