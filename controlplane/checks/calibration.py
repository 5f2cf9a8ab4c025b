"""Whether stated probabilities come true: the reliability curve, its error, and which way it leans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from controlplane.checks import intervals
from controlplane.checks.answers import logged
from controlplane.checks.calibration_curve import Curve, curve
from controlplane.checks.labels import distinct, keys, said, with_labels
from controlplane.checks.metrics import Answers
from controlplane.checks.scored import statistics_of
from controlplane.domain.monitor import Columns, Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Model, Need, Sample
from controlplane.profiles.intervals import wilson
from controlplane.profiles.scores import Statistic


@dataclass(frozen=True, slots=True)
class CalibrationParams:
    """`positive` is the class that the probability column speaks of (default: the greater of two); at most so many
    `bins`, each of 20 rows and more; how many labelled rows are needed."""

    positive: str | None = None
    bins: int = 10
    min_labels: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= 100:
            raise ValueError(f"bins must lie between 1 and 100, not {self.bins}")
        if self.min_labels < 2:
            raise ValueError(f"min_labels must be at least 2, not {self.min_labels}")


class Calibration:
    """The probabilities given to labelled rows against what came true, with 95 % intervals.

    Of two classes it is the probability of the positive one, of more that of the class held most likely. Rows are cut
    into bins of about equal n by their probability; `reliability` and `confidence` are the observed share and the mean
    probability of each, side by side under the same segment. `calibration_error` is the mean gap between the two less
    what noise adds to it, `calibration_bias` the mean probability minus that share over all rows.

    The default limit lets the error rise 5 points above the reference's. It needs a reference with labels and
    probabilities; without one, set a limit on `calibration_error`. It is no reason to roll back: a worse version shows
    in `performance` (`log_loss`), paired on the same rows.
    """

    name: ClassVar[str] = "calibration"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = CalibrationParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.LABELS, Need.MODEL, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "calibration_error": MeasureSpec("probability", True, "mean gap between probability and observed share"),
        "calibration_error_vs_baseline": MeasureSpec("probability", True, "that minus that of the reference rows"),
        "calibration_bias": MeasureSpec("probability", True, "mean probability minus observed share: over-confidence"),
        "reliability": MeasureSpec("share of rows", False, "share that came true in a bin of probabilities"),
        "confidence": MeasureSpec("probability", True, "mean probability in the bin"),
    }
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("calibration_error_vs_baseline", max=0.05),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ("calibration_bias",)
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "calibration"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: CalibrationParams) -> Sequence[Measure]:
        """The error, its change, its lean and the curve; raises NotEnoughData, or CheckError without probabilities."""
        before = _reference_labels(sample, params)
        rows = with_labels(sample.rows, sample.columns.label, params.min_labels)
        confidence, hits, notes = _believed(rows, sample.columns, sample.model, params, before)
        if rows.num_rows < sample.rows.num_rows:
            left = sample.rows.num_rows - rows.num_rows
            notes.insert(0, f"{left} of {sample.rows.num_rows} rows have no label yet")
        found = curve(confidence, hits, params.bins)
        then, why = _baseline(sample, params, before, len(found.rows))
        bins = f"{len(found.rows)} bin{'s' * (len(found.rows) > 1)}; {found.plain:.3g} with the noise left in"
        measured = [
            _measure("calibration_error", found.error, len(hits), found.interval, "; ".join([bins, *notes, *why]))
        ]
        if then is not None:
            interval = intervals.apart(found.error, found.interval, then.error, then.interval)
            detail = f"calibration_error was {then.error:.3g} on the {then.rows.sum()} labelled reference rows"
            gap = found.error - then.error
            measured.append(_measure("calibration_error_vs_baseline", gap, len(hits), interval, detail))
        apart = confidence - hits
        bias = float(apart.mean())
        detail = f"mean probability {confidence.mean():.3g}, {np.mean(hits):.3g} came true"
        measured.append(_measure("calibration_bias", bias, len(hits), intervals.mean(apart), detail))
        return [replace(one, version=sample.version) for one in [*measured, *_rows_of(found)]]

    def statistics(self, sample: Sample, params: CalibrationParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The bias, to both sides. The error is no mean of rows: its noise would be taken for a level of its own.

        What the bias misses, probabilities too bold at both ends, moves the log loss that `performance` watches.
        """
        found = statistics_of(measures, self.scored, self.measures, sample.version)
        return [replace(one, side=0) for one in found]


def _believed(
    rows: pa.Table, columns: Columns, model: Model | None, params: CalibrationParams, beside: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What was believed of each row, whether it came true, and what a reader should know besides."""
    assert columns.label is not None
    labels = keys(rows[columns.label], "labels")
    answers = logged(rows, columns, model, labels, True, params.positive, beside)
    given, classes = answers.probabilities, answers.classes
    if given is None or classes is None:
        raise CheckError(
            "calibration needs class probabilities: log a probability column (two classes), "
            "or register a model that gives them"
        )
    unknown = labels[~np.isin(labels, classes)]
    if len(unknown) == len(labels):
        raise CheckError(f"no label is a known class: labels are {said(labels)}, classes {said(classes)}")
    notes = [f"{len(unknown)} labels are of no known class ({said(unknown)})"] if len(unknown) else []
    there = distinct(labels)
    notes += [f"every label is {said(there)}"] if len(there) == 1 else []
    confidence, hits = _confidence(labels, answers)
    return confidence, hits, notes


def _confidence(labels: np.ndarray, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    given, classes = answers.probabilities, answers.classes
    assert given is not None and classes is not None
    if len(classes) == 2:
        return given[:, 1], labels == classes[1]
    top = given.argmax(axis=1)
    return given[np.arange(len(top)), top], labels == classes[top]


def _reference_labels(sample: Sample, params: CalibrationParams) -> np.ndarray | None:
    """The labels of the reference's rows, or None where it has too few."""
    rows, label = None if sample.reference is None else sample.reference.rows, sample.columns.label
    if rows is None or label not in rows.column_names:
        return None
    try:
        return keys(with_labels(rows, label, params.min_labels)[label], "labels of the reference")
    except NotEnoughData:
        return None


def _baseline(
    sample: Sample, params: CalibrationParams, labels: np.ndarray | None, bins: int
) -> tuple[Curve | None, list[str]]:
    """The curve of the reference in as many bins, for errors in more bins are larger; or why there is none."""
    if labels is None or sample.reference is None:
        return None, ["no baseline: the reference has no labels"] if sample.reference is not None else []
    rows = with_labels(sample.reference.rows, sample.columns.label, params.min_labels)
    try:
        confidence, hits, _ = _believed(rows, sample.columns, sample.model, params, labels)
    except CheckError as problem:
        return None, [f"no baseline: in the reference {problem}"]
    return curve(confidence, hits, bins), []


def _rows_of(found: Curve) -> list[Measure]:
    """The curve, bin by bin: the observed share with Wilson's interval, and the mean probability beside it."""
    measured = []
    for place, segment in enumerate(found.segments):
        n, hits, confidence = int(found.rows[place]), int(found.hits[place]), float(found.confidence[place])
        share = wilson(hits, n)
        detail = f"mean probability {confidence:.3g}"
        measured.append(
            Measure("reliability", share.estimate, n, share.low, share.high, segment=segment, detail=detail)
        )
        measured.append(Measure("confidence", confidence, n, segment=segment))
    return measured


def _measure(name: str, estimate: float, n: int, interval: intervals.Interval, detail: str) -> Measure:
    return Measure(name, float(estimate), n, float(interval[0]), float(interval[1]), detail=detail)
