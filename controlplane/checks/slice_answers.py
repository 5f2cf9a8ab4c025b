"""What `slices` measures by: for each labelled row, now and in the reference, what it adds to the metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from controlplane.checks import metrics
from controlplane.checks.answers import logged
from controlplane.checks.labels import distinct, keys, said, with_labels
from controlplane.checks.metrics import METRICS, PROBABILISTIC, Answers
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample

if TYPE_CHECKING:
    from controlplane.checks.slices import SlicesParams

MEANS = {"classification": ("accuracy", "brier", "log_loss"), "regression": ("mae",)}
"""The metrics whose value in a slice is the mean of what its rows add; the task's own is the first."""


@dataclass(frozen=True)
class Answered:
    """The labelled rows, their labels and answers, and what each adds to the metric, shape (n,)."""

    rows: pa.Table
    labels: np.ndarray
    answers: Answers
    contributions: np.ndarray
    unlabelled: int

    @property
    def share(self) -> bool:
        """Whether the metric counts rows."""
        return bool(np.all((self.contributions == 0) | (self.contributions == 1)))


def answered(sample: Sample, params: SlicesParams, before: Answered | None) -> Answered:
    """The labelled rows of the window; raises NotEnoughData, or CheckError for what cannot be compared.

    Where no model names the classes, those of the rows `before` are the ones there are.
    """
    return _answered(sample, sample.rows, params, None if before is None else before.labels)


def baseline(sample: Sample, params: SlicesParams) -> Answered | None:
    """The labelled rows of the reference, or None where it has too few, or no answers to them."""
    rows = None if sample.reference is None else sample.reference.rows
    columns = sample.columns
    if rows is None or columns.label not in rows.column_names:
        return None
    if sample.model is None and columns.prediction not in rows.column_names:
        return None
    if params.measured_by in PROBABILISTIC and sample.model is None and columns.probability not in rows.column_names:
        return None
    try:
        return _answered(sample, rows, params, None)
    except NotEnoughData:
        return None


def losses(one: Answered, metric: str) -> np.ndarray:
    """What each row adds to the metric as a loss: more is worse, and of a share it stays 0 or 1."""
    return one.contributions if METRICS[metric].higher_is_worse else 1.0 - one.contributions


def errors(one: Answered, task: str) -> np.ndarray:
    """Each row's error: 1 for a wrong answer, or how far off a number is."""
    metric = MEANS[task][0]
    values = metrics.contributions(metric, one.labels, one.answers)
    return values if METRICS[metric].higher_is_worse else 1.0 - values


def of_positive(one: Answered, positive: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """For each row whether it was answered positive, whether that is its label, and its probability where known.

    None where there are more than two classes and nobody said which is meant; raises CheckError for an unknown one.
    """
    answers, labels, sure = one.answers, one.labels, None
    classes = distinct(labels, answers.predictions) if answers.classes is None else answers.classes
    meant = classes[1] if len(classes) == 2 else None
    if meant is None:
        if positive is None:
            return None
        named = {str(value) if classes.dtype.kind == "U" else f"{value:g}": value for value in classes}
        if positive not in named:
            raise CheckError(f"positive is {positive!r}, which is no class: {said(classes)}")
        meant = named[positive]
    if answers.probabilities is not None:
        sure = answers.probabilities[:, int(np.flatnonzero(classes == meant)[0])]
    return np.asarray(answers.predictions == meant, np.float64), np.asarray(labels == meant, np.float64), sure


def _answered(sample: Sample, table: pa.Table, params: SlicesParams, beside: np.ndarray | None) -> Answered:
    columns, metric, classified = sample.columns, params.measured_by, params.task == "classification"
    rows = with_labels(table, columns.label, params.min_labels)
    assert columns.label is not None
    labels = keys(rows[columns.label], "labels")
    if not classified and labels.dtype.kind == "U":
        raise CheckError(f"the labels of a regression are numbers; column {columns.label!r} holds {said(labels, 2)}")
    probable = classified and (metric in PROBABILISTIC or bool(params.groups))
    known = (beside if beside is not None else labels) if classified else None
    answers = logged(rows, columns, sample.model, labels, probable, params.positive, known)
    if metric in PROBABILISTIC and answers.probabilities is None:
        raise CheckError(
            f"{metric} needs class probabilities: log a probability column (two classes), "
            "or register a model that gives them"
        )
    if classified and answers.classes is not None and not np.isin(labels, answers.classes).any():
        raise CheckError(
            f"no label is a class that is known: labels are {said(labels)}, classes {said(answers.classes)}"
        )
    contributions = metrics.contributions(metric, labels, answers)
    with np.errstate(over="ignore"):
        if not np.isfinite(np.square(contributions).sum()):
            raise CheckError(f"{metric} of these rows is too large to be a number")
    return Answered(rows, labels, answers, contributions, table.num_rows - rows.num_rows)
