"""Metrics as means over rows, so that each has an interval, a difference between samples, and a paired difference.

`contributions` turns labels and answers into one number a row whose mean is the metric. RMSE, which is no mean, joins
through its influence values (delta method): their mean is the RMSE and their spread its standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controlplane.checks import intervals
from controlplane.domain.verdict import Measure
from controlplane.ports import MeasureSpec

METRICS = {
    "accuracy": MeasureSpec("share", False, "the share of labelled rows answered with their label"),
    "brier": MeasureSpec("squared probability", True, "the mean squared error of the class probabilities"),
    "log_loss": MeasureSpec("nats", True, "the mean negative log probability given to the true class"),
    "mae": MeasureSpec("unit of the label", True, "the mean absolute error"),
    "rmse": MeasureSpec("unit of the label", True, "the root of the mean squared error"),
}
CLASSIFICATION = ("accuracy", "brier", "log_loss")
REGRESSION = ("mae", "rmse")
PROBABILISTIC = frozenset({"brier", "log_loss"})


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version answered to n rows: `predictions` (n,), and where known `probabilities` (n, k) of `classes`."""

    predictions: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None


def contributions(metric: str, labels: np.ndarray, answers: Answers) -> np.ndarray:
    """One number a row, shape (n,), whose mean is the metric. A label outside the classes had probability 0.

    >>> float(contributions("rmse", np.array([0.0, 0.0]), Answers(np.array([7.0, 1.0]))).mean())
    5.0
    """
    if metric == "accuracy":
        return np.asarray(labels == answers.predictions, dtype=np.float64)
    if metric in PROBABILISTIC:
        return _probabilistic(metric, labels, answers)
    errors = np.asarray(answers.predictions - labels, dtype=np.float64)
    if metric == "mae":
        return np.abs(errors)
    squares = errors**2
    root = float(np.sqrt(squares.mean()))
    return root + (squares - root**2) / (2 * root) if root > 0 else squares


def _probabilistic(metric: str, labels: np.ndarray, answers: Answers) -> np.ndarray:
    assert answers.probabilities is not None and answers.classes is not None
    given = answers.probabilities
    hits = labels[:, None] == answers.classes[None, :]
    of_label = np.where(hits.any(axis=1), np.where(hits, given, 0.0).sum(axis=1), 0.0)
    if metric == "log_loss":
        return np.asarray(-np.log(np.clip(of_label, np.finfo(np.float64).eps, 1.0)))
    if given.shape[1] == 2:
        return np.asarray((1.0 - of_label) ** 2)
    return np.asarray((given**2).sum(axis=1) - 2 * of_label + 1.0)


def level(metric: str, rows: np.ndarray, version: str | None, detail: str = "") -> Measure:
    """The metric itself, with its interval: Wilson for a share, Student's t for a mean."""
    if metric.endswith("accuracy"):
        low, high = intervals.wilson(round(rows.sum()), len(rows))
    else:
        low, high = intervals.mean(rows)
        low = max(low, 0.0)
    return _measure(metric, float(rows.mean()), len(rows), (low, high), version, detail)


def against_baseline(metric: str, rows: np.ndarray, baseline: np.ndarray, version: str | None) -> Measure:
    """The metric now minus the metric of the reference rows; independent samples (Newcombe for a share, else Welch)."""
    if metric == "accuracy":
        interval = intervals.newcombe(round(rows.sum()), len(rows), round(baseline.sum()), len(baseline))
    else:
        interval = intervals.welch(rows, baseline)
    detail = f"{metric} was {baseline.mean():.3g} on the {len(baseline)} labelled reference rows"
    return _measure(f"{metric}_vs_baseline", float(rows.mean() - baseline.mean()), len(rows), interval, version, detail)


def against_previous(metric: str, rows: np.ndarray, previous: np.ndarray, version: str | None, other: str) -> Measure:
    """This version's metric minus the other's on the same rows, paired (Agresti and Min for a share, else t)."""
    gaps = rows - previous
    if metric.endswith("accuracy"):
        interval = intervals.paired_proportions(int((gaps > 0).sum()), int((gaps < 0).sum()), len(gaps))
    else:
        interval = intervals.mean(gaps)
    detail = f"{metric} of version {other} is {previous.mean():.3g} on the same rows"
    return _measure(f"{metric}_vs_previous", float(gaps.mean()), len(gaps), interval, version, detail)


def _measure(
    name: str, estimate: float, n: int, interval: intervals.Interval, version: str | None, detail: str
) -> Measure:
    low, high = interval
    return Measure(name, estimate, n, float(low), float(high), version=version, detail=detail)
