"""Where averages hide a regression: declared segments, weak slices that are searched for, and gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from controlplane.checks import slice_answers, slice_grid, slice_report
from controlplane.checks.metrics import METRICS
from controlplane.checks.scored import statistics_of
from controlplane.checks.slice_answers import MEANS
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles.scores import Statistic


@dataclass(frozen=True, slots=True)
class SlicesParams:
    """Which slices are measured, and by what.

    `segments` are columns, or pairs of them as `country x channel`: each value of a category, each quarter of a number,
    is a segment. The groups of each column of `groups` are segments too, and are compared with one another. `search`
    looks for weak slices in the features, of at least `min_support` of the rows (and 30). A slice is weak where
    `metric` (accuracy; for a regression mae) is worse than in the rest by more than `min_gap`: in points of accuracy
    (0.05 by default), for another metric as a share of it over all rows (0.25 by default). `positive` is the class that
    rates and probabilities speak of (default: the greater of two); `min_labels` labelled rows are needed.
    """

    task: Literal["classification", "regression"] = "classification"
    metric: str = ""
    positive: str | None = None
    segments: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    search: bool = True
    min_support: float = 0.02
    min_gap: float | None = None
    min_labels: int = 30

    def __post_init__(self) -> None:
        valid = MEANS[self.task]
        if self.metric and self.metric not in valid:
            raise ValueError(f"slices of a {self.task} are measured by {' or '.join(valid)}, not {self.metric}")
        if not (self.search or self.segments or self.groups):
            raise ValueError("nothing to measure: name segments or groups, or leave search on")
        if not 0 < self.min_support < 0.5:
            raise ValueError(f"min_support is a share of the rows between 0 and 0.5, not {self.min_support:g}")
        if self.min_gap is not None and self.min_gap < 0:
            raise ValueError(f"min_gap must be at least 0, not {self.min_gap:g}")
        if self.min_labels < 2:
            raise ValueError(f"min_labels must be at least 2, not {self.min_labels}")

    @property
    def measured_by(self) -> str:
        """The metric, or the task's own."""
        return self.metric or MEANS[self.task][0]

    @property
    def matters(self) -> float:
        """`min_gap`, or the metric's own."""
        if self.min_gap is not None:
            return self.min_gap
        return 0.05 if self.measured_by == "accuracy" else 0.25


_METRICS = tuple(dict.fromkeys(name for names in MEANS.values() for name in names))


def _specs() -> dict[str, MeasureSpec]:
    specs = {}
    for name in _METRICS:
        specs[name] = METRICS[name]
        said = f"{name} minus {name} of the same segment of the reference rows"
        specs[f"{name}_vs_baseline"] = MeasureSpec(METRICS[name].unit, METRICS[name].higher_is_worse, said)
    return specs | {
        "weak_slices": MeasureSpec("slices", True, "slices found weak and confirmed on rows that did not find them"),
        "new_weak_slices": MeasureSpec("slices", True, "weak slices that are not as weak in the reference"),
        "slice_gap": MeasureSpec("unit of the metric", True, "how much worse the metric is there than in the rest"),
        "rate_gap": MeasureSpec("share", True, "the largest difference between groups in the share answered positive"),
        "error_gap": MeasureSpec("share, or unit of the label", True, "the largest difference between groups in error"),
        "calibration_gap": MeasureSpec(
            "probability, or unit of the label",
            True,
            "the largest difference between groups in mean label minus mean answer",
        ),
    }


class Slices:
    """Labelled quality by slice, with 95 % intervals.

    `<metric>` is measured over all rows and in each declared segment, `<metric>_vs_baseline` against the same segment
    of the reference. The search confirms on rows that had no say in it: at most 5 % of windows without a weak slice
    report any. `slice_gap` says how much worse a slice is, on those rows alone, so that the luck of being found is not
    in it. Rows that come in groups (a person's, a day's) make these chances larger than said.

    By default one weak slice that the reference does not have is a warning and three at once are a failure: a single
    one may be chance in one window of twenty, three hardly ever. Under a page budget scores decide: each declared
    segment's metric, and the gaps of a fixed grid of one-column slices.
    """

    name: ClassVar[str] = "slices"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = SlicesParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.LABELS, Need.MODEL, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = _specs()
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("new_weak_slices", max=2, warn=0),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = (*_METRICS, "slice_gap")
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "segment_fairness"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: SlicesParams) -> Sequence[Measure]:
        """The metric in every segment, gaps between groups, and weak slices; raises NotEnoughData or CheckError."""
        before = slice_answers.baseline(sample, params)
        now = slice_answers.answered(sample, params, before)
        gaps, why = slice_report.gaps(now, before, params)
        found = slice_report.segments(now, before, params, why) + gaps
        if params.search:
            found += slice_report.weak(now, before, sample, params)
        return [replace(measure, version=sample.version) for measure in found]

    def statistics(self, sample: Sample, params: SlicesParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The metric of each declared segment and, with the search on, the gaps of the grid; each on its harmful side.

        What the search finds is another slice in every window, which no block of the reference can be compared with.
        The grid stands in its place: the same slices in every block and window, whose gaps are differences of
        averages, so that their spread shrinks with n as the calibration supposes. A maximum over them would not, and
        would be named by another slice each time. The gap to the rest, not the metric, because a fall of all rows is
        for `performance` to say.
        """
        found = [
            replace(one, name=f"{measure.name} in {measure.segment}")
            for measure in measures
            if measure.segment is not None
            for one in statistics_of([measure], _METRICS, self.measures, sample.version)
        ]
        if params.search:
            now = slice_answers.answered(sample, params, slice_answers.baseline(sample, params))
            found += slice_grid.statistics(now, sample, params)
        return found
