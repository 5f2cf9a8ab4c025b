"""How good the answers were, on rows whose labels are known: now, against the baseline, and paired between versions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from controlplane.checks import compared, metrics_custom
from controlplane.checks.answers import asked, logged
from controlplane.checks.contributions import Contributions, Undefined
from controlplane.checks.labels import keys, said, with_labels
from controlplane.checks.metrics import CLASSIFICATION, METRICS, PROBABILISTIC, REGRESSION, Answers, Judged, Specs
from controlplane.checks.scored import statistics_of
from controlplane.domain.monitor import Columns, Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Model, Need, Sample
from controlplane.profiles.scores import Statistic

# What feeds a page budget unless metrics are named: each one shares out the evidence of a real fall, so there is one of
# the decisions, one of the probabilities and one of the ranking, which alone sees a rare class; and of numbers the
# typical error, the large ones and the direction. The others move with these.
WATCHED = ("accuracy", "log_loss", "roc_auc", "mae", "rmse", "bias")
ASKED_OF_REFERENCE = 10_000
Found = dict[str, Contributions]


@dataclass(frozen=True, slots=True)
class PerformanceParams:
    """What is measured. `metrics` empty: every metric of the task that the rows and the model allow; an installed one
    is measured where it is named, and named ones are what a page budget watches.

    `positive` is the class that precision, recall, F1 and the probability column speak of (default: the greater of the
    two); `quantile` is the one that a regression predicts, for `pinball`; `min_labels` labelled rows are needed.
    """

    task: Literal["classification", "regression"] = "classification"
    metrics: tuple[str, ...] = ()
    positive: str | None = None
    quantile: float | None = None
    min_labels: int = 30

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in self.known]
        unknown = [name for name in unknown if name in METRICS or name not in metrics_custom.names()]
        if unknown:
            valid = ", ".join([*self.known, *(name for name in metrics_custom.names() if name not in METRICS)])
            raise ValueError(f"{self.task} has no metric {', '.join(unknown)}; valid: {valid}")
        if self.min_labels < 2:
            raise ValueError(f"min_labels must be at least 2, not {self.min_labels}")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ValueError(f"quantile must lie between 0 and 1, not {self.quantile:g}")
        if "pinball" in self.metrics and self.quantile is None:
            raise ValueError("pinball needs the quantile that is predicted, such as quantile: 0.9")

    @property
    def known(self) -> Mapping[str, MeasureSpec]:
        """The built-in metrics of the task."""
        return CLASSIFICATION if self.task == "classification" else REGRESSION

    @property
    def probable(self) -> bool:
        """Whether class probabilities are of any use."""
        plain = set(CLASSIFICATION) - PROBABILISTIC
        return self.task == "classification" and (not self.metrics or not plain.issuperset(self.metrics))


class Performance:
    """Labelled quality, with 95 % intervals.

    The version that answered is judged by what it answered then: the logged predictions, and its model only for rows
    that log none. `<metric>` is measured for it and, on the same rows, for `sample.previous`; `<metric>_vs_previous`
    is their paired difference, `negative_flips` the share of rows that only the previous one had right, and
    `<metric>_vs_baseline` the difference to the labelled rows of the reference. That is measured for the previous
    version too, by its own answers now and then (to 10,000 rows of the reference): where it fell as well, the world
    changed.

    A metric that the rows do not define, such as ROC AUC where every label is the same, is left out, and the details
    of the others say why. Where it was named it is no number, with the reason, and where that leaves none at all it is
    NotEnoughData.

    The default limit lets accuracy fall 5 points below the reference. It needs a classifier and a reference with
    labels; a regression, or a reference without them, states limits of its own, such as `mae_vs_previous`.
    """

    name: ClassVar[str] = "performance"
    version: ClassVar[int] = 2
    Params: ClassVar[type] = PerformanceParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.LABELS, Need.MODEL, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = Specs(
        {
            "negative_flips": MeasureSpec(
                "share", True, "the share of rows that the version before had right and this one has wrong"
            )
        }
    )
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
        before = _reference_rows(sample, params)
        known = None if before is None or params.task == "regression" else before[1]
        own = logged(rows, sample.columns, sample.model, labels, params.probable, params.positive, known)
        notes = _notes(sample, labels, own, sample.rows.num_rows - rows.num_rows)
        wanted = _wanted(params, own)
        mine, lost = _measured(wanted, labels, own, params)
        if lost and len(lost) == len(wanted):
            raise NotEnoughData("; ".join(lost.values()), len(labels))
        baseline, why = _baseline(sample, params, before, wanted)
        notes += why
        theirs: Found = {}
        theirs_then: Found = {}
        if sample.previous is not None:
            theirs, why = _compared(rows, sample.previous, labels, own, params, wanted)
            notes += why
            if theirs and before is not None:
                theirs_then, why = _asked_of_reference(sample.previous, before, own, params, wanted)
                notes += why
        detail = "; ".join([*notes, *dict.fromkeys(lost.values())])
        version, other = sample.version, None if sample.previous is None else sample.previous.version
        found = []
        for metric, values in mine.items():
            found.append(compared.level(metric, values, version, "; ".join(filter(None, [detail, values.note]))))
            if _alike(metric, values, baseline):
                found.append(compared.against_baseline(metric, values, baseline[metric], version))
            if other is None or not _alike(metric, values, theirs):
                continue
            found.append(compared.level(metric, theirs[metric], other, theirs[metric].note))
            found.append(compared.against_previous(metric, values, theirs[metric], version, other))
            if _alike(metric, theirs[metric], theirs_then):
                found.append(compared.against_baseline(metric, theirs[metric], theirs_then[metric], other))
            if metric == "accuracy":
                found.append(compared.negative_flips(values, theirs[metric], version, other))
        if params.metrics:
            found += [Measure(name, math.nan, len(labels), version=version, detail=why) for name, why in lost.items()]
        return found

    def statistics(self, sample: Sample, params: PerformanceParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The watched metrics of this version, each on its harmful side."""
        return statistics_of(measures, params.metrics or WATCHED, self.measures, sample.version)


def _wanted(params: PerformanceParams, own: Answers) -> tuple[str, ...]:
    if params.metrics:
        lacking = [name for name in params.metrics if not _has(name, own)]
        if lacking:
            raise CheckError(
                f"{', '.join(lacking)} needs class probabilities: log a probability column (two classes), "
                "or register a model that gives them"
            )
        return tuple(dict.fromkeys(params.metrics))
    return tuple(
        name for name in params.known if _has(name, own) and (name != "pinball" or params.quantile is not None)
    )


def _has(metric: str, answers: Answers) -> bool:
    return metric not in PROBABILISTIC or answers.probabilities is not None


def _measured(
    wanted: Sequence[str], labels: np.ndarray, answers: Answers, params: PerformanceParams
) -> tuple[Found, dict[str, str]]:
    """The metrics that these rows define, and of the others why they do not."""
    judged = Judged(labels, answers, params.quantile)
    found: Found = {}
    lost: dict[str, str] = {}
    for metric in wanted:
        try:
            if _has(metric, answers):
                found[metric] = judged.metric(metric)
        except Undefined as why:
            lost[metric] = str(why)
    return found, lost


def _alike(metric: str, found: Contributions, others: Found) -> bool:
    """Whether there is the same metric to compare with: a mean over other classes is another one."""
    return metric in others and others[metric].over == found.over


def _labels(rows: pa.Table, columns: Columns, params: PerformanceParams) -> np.ndarray:
    assert columns.label is not None
    labels = keys(rows[columns.label], "labels")
    if params.task == "regression" and labels.dtype.kind == "U":
        raise CheckError(f"the labels of a regression are numbers; column {columns.label!r} holds {said(labels, 2)}")
    return labels


def _reference_rows(sample: Sample, params: PerformanceParams) -> tuple[pa.Table, np.ndarray] | None:
    """The labelled rows of the reference and their labels, or None where it has too few."""
    rows, label = None if sample.reference is None else sample.reference.rows, sample.columns.label
    if rows is None or label not in rows.column_names:
        return None
    try:
        rows = with_labels(rows, label, params.min_labels)
    except NotEnoughData:
        return None
    return rows, _labels(rows, sample.columns, params)


def _baseline(
    sample: Sample, params: PerformanceParams, before: tuple[pa.Table, np.ndarray] | None, wanted: Sequence[str]
) -> tuple[Found, list[str]]:
    """The metrics of the reference's rows, by what was answered to them; none where nobody can tell what that was."""
    if before is None or (sample.model is None and sample.columns.prediction not in before[0].column_names):
        return {}, []
    rows, labels = before
    known = None if params.task == "regression" else labels
    answers = logged(rows, sample.columns, sample.model, labels, params.probable, params.positive, known)
    found, lost = _measured(wanted, labels, answers, params)
    return found, [f"no baseline: in the reference {why}" for why in dict.fromkeys(lost.values())]


def _compared(
    rows: pa.Table, previous: Model, labels: np.ndarray, own: Answers, params: PerformanceParams, wanted: Sequence[str]
) -> tuple[Found, list[str]]:
    """The other version's metrics; where it cannot answer, why, as that speaks not of the version watched."""
    try:
        answers = asked(rows, previous, labels, params.probable, params.positive, own.classes)
        _same_classes(own, answers, previous.version)
    except CheckError as problem:
        return {}, [f"version {previous.version} could not be compared: {problem}"]
    return _measured(wanted, labels, answers, params)[0], []


def _asked_of_reference(
    previous: Model,
    before: tuple[pa.Table, np.ndarray],
    own: Answers,
    params: PerformanceParams,
    wanted: Sequence[str],
) -> tuple[Found, list[str]]:
    """The other version's metrics on the reference's rows: on every so manieth where there are many."""
    rows, labels = before
    if len(labels) > ASKED_OF_REFERENCE:
        places = np.linspace(0, len(labels) - 1, ASKED_OF_REFERENCE).astype(np.int64)
        rows, labels = rows.take(pa.array(places)), labels[places]
    try:
        answers = asked(rows, previous, labels, params.probable, params.positive, own.classes)
        _same_classes(own, answers, previous.version)
    except CheckError as problem:
        return {}, [f"version {previous.version} has no baseline: {problem}"]
    return _measured(wanted, labels, answers, params)[0], []


def _same_classes(own: Answers, other: Answers, version: str) -> None:
    """Raise CheckError where one version tells two classes apart and the other something else."""
    if own.classes is None or other.classes is None or {len(own.classes), len(other.classes)}.isdisjoint({2}):
        return
    if set(own.classes) != set(other.classes):
        raise CheckError(f"its classes are {said(other.classes)}, not {said(own.classes)}")


def _notes(sample: Sample, labels: np.ndarray, own: Answers, dropped: int) -> list[str]:
    """What a reader of any of the measures should know; raises CheckError where no label is of a known class."""
    notes = [f"{dropped} of {sample.rows.num_rows} rows have no label yet"] if dropped else []
    if own.classes is not None:
        knows = "the reference" if sample.model is None or sample.model.classes is None else "the model"
        unknown = labels[~np.isin(labels, own.classes)]
        if len(unknown) == len(labels):
            raise CheckError(f"no label is a class of {knows}: labels are {said(labels)}, classes {said(own.classes)}")
        if len(unknown):
            notes.append(f"{len(unknown)} labels are of no class {knows} knows ({said(unknown)})")
    return notes
