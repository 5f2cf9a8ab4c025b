"""How good the answers probably are while no labels are there, or why that cannot be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.checks import intervals
from controlplane.checks.answers import logged
from controlplane.checks.estimate_domain import Domain, compare
from controlplane.checks.estimate_model import Answered, Estimator, Off
from controlplane.checks.labels import keys, said, with_labels
from controlplane.checks.metrics import Answers
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles.kinds import Floats
from controlplane.profiles.scores import Statistic

UNSEEN = "a change of what the inputs mean that leaves no trace in them cannot be seen without labels"


@dataclass(frozen=True, slots=True)
class EstimateParams:
    """When an estimate is given, and when it is not.

    `positive` is the class whose probability the probability column holds (default: the greater of the two).
    At least `min_rows` answers and `min_reference` labelled reference rows are needed, `min_each` of them with each
    outcome. There is no estimate where more than `max_outside` of the window's rows lie outside the reference, where
    the reference weighted like the window is worth fewer than `min_effective` rows, or where on stretches of the
    reference held out the estimate was off by more than `max_off` beyond chance.
    """

    positive: str | None = None
    min_rows: int = 30
    min_reference: int = 300
    min_each: int = 20
    min_effective: int = 100
    max_outside: float = 0.2
    max_off: float = 0.05

    def __post_init__(self) -> None:
        if min(self.min_rows, self.min_each) < 2 or self.min_reference < 100:
            raise ValueError("min_rows and min_each must be at least 2, min_reference at least 100")
        if not (0 < self.max_outside <= 1 and 0 < self.max_off <= 1):
            raise ValueError("max_outside and max_off must lie above 0 and not above 1")


class EstimatedPerformance:
    """Accuracy, and for two classes ROC AUC, of a classifier before its labels are there.

    Confidence-based: the reference's labels teach how often an answer of a given probability is right, and the
    window's probabilities are read that way (Garg et al. 2022; for the curve reweighted towards the window's inputs,
    Bialek et al. 2024). The interval is one for the metric that the labels will show: chance in the labels, the error
    of the curve, and how far the estimate was off over the reference's own time. It rests on one assumption, that the
    inputs mean what they meant; where the rows themselves speak against it there is no estimate, and the sentence says
    why. A change that leaves no trace in the inputs goes unseen.

    Nothing is handed to the page budget: the estimate moves with inputs and answers, which `drift` scores already, and
    `performance` scores the labels once they come; a third share of the budget would delay both. So under a budget it
    is shown, and pages only by limits that the job writes itself.
    """

    name: ClassVar[str] = "estimated_performance"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = EstimateParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.MODEL, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "estimated_accuracy": MeasureSpec("share", False, "the share of answers expected to be right"),
        "estimated_roc_auc": MeasureSpec("area", False, "the ROC AUC expected once labels are there"),
        "estimated_accuracy_vs_baseline": MeasureSpec("share", False, "estimated minus the reference's own accuracy"),
        "estimated_roc_auc_vs_baseline": MeasureSpec("area", False, "estimated minus the reference's own ROC AUC"),
        "support": MeasureSpec("share", False, "the share of the window's rows that the reference has others like"),
    }
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("estimated_accuracy_vs_baseline", min=-0.05),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ()
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "label_free_estimate"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: EstimateParams) -> Sequence[Measure]:
        """The estimates and the support; raises NotEnoughData with the reason there is none, or CheckError."""
        before, held, hit, window = _prepared(sample, params)
        estimator = Estimator(held, hit, sample.seed)
        _hold(estimator.off["accuracy"], params)
        features = sample.columns.features_of(before.column_names)
        domain = compare(before, sample.rows, features, (held.score, window.score), sample.seed)
        _supported(domain, params)
        found, n = [], sample.rows.num_rows
        weights = domain.weights if domain.shifted else None
        how = "it looks like the window" if weights is None else "weighted like the window"
        if not domain.supported:
            how = "not weighted, as no weights make it look like the window"
        for name, (now, change) in estimator.estimate(window, weights, domain.supported).items():
            then = f"{name} was {estimator.baseline[name]:.3g} on the {len(hit)} labelled reference rows ({how})"
            for suffix, likely in (("", now), ("_vs_baseline", change)):
                bounds = likely.estimate, n, likely.low, likely.high
                found.append(
                    Measure(f"estimated_{name}{suffix}", *bounds, version=sample.version, detail=f"{then}; {UNSEEN}")
                )
        inside = n - int(domain.outside.sum())
        low, high = intervals.wilson(inside, n)
        support = Measure("support", inside / n, n, low, high, version=sample.version, detail=_new(domain))
        return [*found, support]

    def statistics(self, sample: Sample, params: EstimateParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """Nothing."""
        return ()


def _prepared(sample: Sample, params: EstimateParams) -> tuple[pa.Table, Answered, Floats, Answered]:
    """The labelled reference rows by time, their answers and outcomes, and the window's answers."""
    columns, rows = sample.columns, sample.rows
    if sample.reference is None:
        raise CheckError("an estimate without labels needs a reference with labels; the monitor has no reference")
    if rows.num_rows < params.min_rows:
        raise NotEnoughData(
            f"{rows.num_rows} rows; an estimate needs {params.min_rows}", rows.num_rows, params.min_rows
        )
    before = sample.reference.rows
    if columns.label not in before.column_names:
        raise CheckError(f"the reference has no labels to learn from: it has no column {columns.label!r}")
    try:
        before = with_labels(before, columns.label, params.min_reference)
    except NotEnoughData as few:
        raise NotEnoughData(f"the reference is too short: {few}", few.n, few.needed) from None
    if columns.event_time in before.column_names:
        before = before.take(pc.array_sort_indices(before[columns.event_time]))
    labels = keys(before[columns.label], "labels of the reference")
    model = sample.model
    learnt, asked = (
        logged(part, columns, model, labels, probable=True, positive=params.positive) for part in (before, rows)
    )
    if learnt.classes is not None:
        _known(asked.predictions, learnt.classes, "predictions of the window")
        _known(learnt.predictions, learnt.classes, "predictions of the reference")
        _known(labels, learnt.classes, "labels of the reference")
    if learnt.probabilities is None or asked.probabilities is None or learnt.classes is None or asked.classes is None:
        raise CheckError(
            "an estimate needs class probabilities: log a probability column (two classes), "
            "or register a model that gives them"
        )
    if not np.array_equal(learnt.classes, asked.classes):
        raise CheckError(
            f"the window's classes ({said(asked.classes)}) are not the reference's ({said(learnt.classes)})"
        )
    held, window = _answered(learnt), _answered(asked)
    hit = np.asarray(labels == (learnt.classes[1] if held.ranked else learnt.predictions), dtype=np.float64)
    least = int(min(hit.sum(), (1 - hit).sum()))
    if least < params.min_each:
        of = "each class" if held.ranked else "right and of wrong answers"
        raise NotEnoughData(
            f"the reference is too short: {params.min_each} rows of {of} are needed, and of the rarer it holds {least} "
            f"among {len(hit)}",
            least,
            params.min_each,
        )
    return before, held, hit, window


def _known(values: np.ndarray, classes: np.ndarray, what: str) -> None:
    strange = values[~np.isin(values, classes)]
    if len(strange):
        raise CheckError(f"{len(strange)} {what} are no class ({said(strange)}); the classes are {said(classes)}")


def _answered(answers: Answers) -> Answered:
    """Two classes by the chance of the greater; more by the chance of the class that was answered."""
    assert answers.probabilities is not None and answers.classes is not None
    if len(answers.classes) == 2:
        sign = np.where(answers.predictions == answers.classes[1], 1.0, -1.0)
        return Answered(answers.probabilities[:, 1], sign, True)
    given = (answers.predictions[:, None] == answers.classes[None, :]) * answers.probabilities
    return Answered(given.sum(axis=1), np.ones(len(given)), False)


def _hold(off: Off, params: EstimateParams) -> None:
    """Raise NotEnoughData where the curve did not carry over from one stretch of the reference to the next."""
    if off.beyond > params.max_off and off.p_value < 0.01:
        raise NotEnoughData(
            f"no estimate: on stretches of the reference held out it was off by {off.beyond:.3f} beyond chance "
            f"(p {off.p_value:.1g}), and at most {params.max_off:g} is allowed; what a probability means changes "
            "within the reference, so one is needed over which it does not"
        )


def _supported(domain: Domain, params: EstimateParams) -> None:
    """Raise NotEnoughData where the reference has too little like the window to learn from."""
    share = float(domain.outside.mean())
    if share > params.max_outside:
        raise NotEnoughData(
            f"no estimate: {share:.0%} of the window's {len(domain.outside)} rows lie outside the reference, and at "
            f"most {params.max_outside:.0%} may{_new(domain, '; ')}; labels, or a reference with such rows, are needed",
            int((~domain.outside).sum()),
        )
    if domain.effective < params.min_effective:
        raise NotEnoughData(
            f"no estimate: weighted like the window, the reference's {len(domain.weights)} rows are worth "
            f"{domain.effective:.0f}, and {params.min_effective} are needed; labels, or a reference with more such "
            "rows, are needed",
            int(domain.effective),
            params.min_effective,
        )


def _new(domain: Domain, before: str = "") -> str:
    """Which column brings most values that the reference never had, in words."""
    if not domain.new:
        return ""
    name = max(domain.new, key=lambda one: domain.new[one])
    return f"{before}{domain.new[name]:.0%} of the rows hold a value of {name} that the reference never had"
