"""How good the answers were, on rows whose labels are known: now, against the baseline, and paired between versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from controlplane.checks import metrics
from controlplane.checks.answers import asked, logged
from controlplane.checks.labels import keys, said, with_labels
from controlplane.checks.metrics import CLASSIFICATION, METRICS, PROBABILISTIC, REGRESSION, Answers
from controlplane.checks.scored import statistics_of
from controlplane.domain.monitor import Columns, Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Model, Need, Sample
from controlplane.profiles.scores import Statistic


@dataclass(frozen=True, slots=True)
class PerformanceParams:
    """What is measured. `metrics` empty: every metric of the task that the rows and the model allow.

    `positive` is the class whose probability the probability column holds (default: the greater of the two);
    `min_labels` labelled rows are needed.
    """

    task: Literal["classification", "regression"] = "classification"
    metrics: tuple[str, ...] = ()
    positive: str | None = None
    min_labels: int = 30

    def __post_init__(self) -> None:
        valid = CLASSIFICATION if self.task == "classification" else REGRESSION
        unknown = [name for name in self.metrics if name not in valid]
        if unknown:
            raise ValueError(f"{self.task} has no metric {', '.join(unknown)}; valid: {', '.join(valid)}")
        if self.min_labels < 2:
            raise ValueError(f"min_labels must be at least 2, not {self.min_labels}")

    @property
    def probable(self) -> bool:
        """Whether class probabilities are of any use."""
        return self.task == "classification" and (not self.metrics or not PROBABILISTIC.isdisjoint(self.metrics))


def _specs() -> dict[str, MeasureSpec]:
    specs = dict(METRICS)
    for name, spec in METRICS.items():
        for suffix, meaning in (
            ("baseline", "the reference rows"),
            ("previous", "the version before, on the same rows"),
        ):
            said = f"{name} minus {name} of {meaning}"
            specs[f"{name}_vs_{suffix}"] = MeasureSpec(spec.unit, spec.higher_is_worse, said)
    return specs


class Performance:
    """Labelled quality, with 95 % intervals.

    The version that answered is judged by what it answered then: the logged predictions, and its model only for rows
    that log none. `<metric>` is measured for it and, on the same rows, for `sample.previous`; `<metric>_vs_previous`
    is their paired difference and `<metric>_vs_baseline` the difference to the labelled rows of the reference.

    The default limit lets accuracy fall 5 points below the reference. It needs a classifier and a reference with
    labels; a regression, or a reference without them, states limits of its own, such as `mae_vs_previous`.
    """

    name: ClassVar[str] = "performance"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = PerformanceParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.LABELS, Need.MODEL, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = _specs()
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("accuracy_vs_baseline", min=-0.05),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = tuple(METRICS)
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "performance_regression"
    replayable: ClassVar[bool] = True

    def measure(self, sample: Sample, params: PerformanceParams) -> Sequence[Measure]:
        """Every wanted metric of the labelled rows; raises NotEnoughData, or CheckError for what cannot be compared."""
        rows = with_labels(sample.rows, sample.columns.label, params.min_labels)
        labels = _labels(rows, sample.columns, params)
        own = logged(rows, sample.columns, sample.model, labels, params.probable, params.positive)
        other, lost = _compared(rows, sample.previous, labels, params)
        baseline = _baseline(sample, params)
        detail = _detail(sample.rows.num_rows - rows.num_rows, sample.rows.num_rows, labels, own, lost)
        found = []
        for metric in _wanted(params, own):
            values = metrics.contributions(metric, labels, own)
            found.append(metrics.level(metric, values, sample.version, detail))
            if baseline is not None and _has(metric, baseline[1]):
                then = metrics.contributions(metric, *baseline)
                found.append(metrics.against_baseline(metric, values, then, sample.version))
            if other is not None and sample.previous is not None and _has(metric, other):
                theirs = metrics.contributions(metric, labels, other)
                found.append(metrics.level(metric, theirs, sample.previous.version))
                found.append(metrics.against_previous(metric, values, theirs, sample.version, sample.previous.version))
        return found

    def statistics(self, sample: Sample, params: PerformanceParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The metrics of this version, each on its harmful side."""
        return statistics_of(measures, self.scored, self.measures, sample.version)


def _wanted(params: PerformanceParams, own: Answers) -> tuple[str, ...]:
    if params.metrics:
        lacking = [name for name in params.metrics if not _has(name, own)]
        if lacking:
            raise CheckError(
                f"{', '.join(lacking)} needs class probabilities: log a probability column (two classes), "
                "or register a model that gives them"
            )
        return tuple(params.metrics)
    every = CLASSIFICATION if params.task == "classification" else REGRESSION
    return tuple(name for name in every if _has(name, own))


def _has(metric: str, answers: Answers) -> bool:
    return metric not in PROBABILISTIC or answers.probabilities is not None


def _labels(rows: pa.Table, columns: Columns, params: PerformanceParams) -> np.ndarray:
    assert columns.label is not None
    labels = keys(rows[columns.label], "labels")
    if params.task == "regression" and labels.dtype.kind == "U":
        raise CheckError(f"the labels of a regression are numbers; column {columns.label!r} holds {said(labels, 2)}")
    return labels


def _baseline(sample: Sample, params: PerformanceParams) -> tuple[np.ndarray, Answers] | None:
    """Labels and answers of the reference's rows, or None where it has too few of either to be a baseline."""
    rows = None if sample.reference is None else sample.reference.rows
    columns = sample.columns
    if rows is None or columns.label not in rows.column_names:
        return None
    if sample.model is None and columns.prediction not in rows.column_names:
        return None
    try:
        rows = with_labels(rows, columns.label, params.min_labels)
    except NotEnoughData:
        return None
    labels = _labels(rows, columns, params)
    return labels, logged(rows, columns, sample.model, labels, params.probable, params.positive)


def _compared(
    rows: pa.Table, previous: Model | None, labels: np.ndarray, params: PerformanceParams
) -> tuple[Answers | None, str]:
    """The other version's answers; where it cannot answer, None and why, as that speaks not of the version watched."""
    if previous is None:
        return None, ""
    try:
        return asked(rows, previous, labels, params.probable), ""
    except CheckError as problem:
        return None, f"version {previous.version} could not be compared: {problem}"


def _detail(dropped: int, n: int, labels: np.ndarray, own: Answers, lost: str) -> str:
    parts = [f"{dropped} of {n} rows have no label yet"] if dropped else []
    parts += [lost] if lost else []
    if own.classes is not None:
        unknown = labels[~np.isin(labels, own.classes)]
        if len(unknown) == len(labels):
            raise CheckError(
                f"no label is a class of the model: labels are {said(labels)}, classes {said(own.classes)}"
            )
        if len(unknown):
            parts.append(f"{len(unknown)} labels are of no class the model knows ({said(unknown)})")
    return "; ".join(parts)
