"""Measures as statistics: how a check with intervals of its own hands its numbers to the page budget."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from controlplane.domain.verdict import Measure
from controlplane.ports import MeasureSpec
from controlplane.profiles.intervals import Z
from controlplane.profiles.scores import Statistic


def statistics_of(
    measures: Sequence[Measure], scored: Collection[str], specs: Mapping[str, MeasureSpec], version: str | None
) -> list[Statistic]:
    """One statistic a scored measure of this version, on its harmful side; the variance is read off its interval.

    >>> specs = {"accuracy": MeasureSpec("share", False, "right answers")}
    >>> found = statistics_of([Measure("accuracy", 0.8, 100, 0.7, 0.9)], ["accuracy"], specs, None)
    >>> found[0].side, round(found[0].variance, 2)
    (-1, 0.26)
    """
    found = []
    for measure in measures:
        if measure.name not in scored or measure.version not in (None, version) or measure.n == 0:
            continue
        if measure.low is None or measure.high is None:
            continue
        error = (measure.high - measure.low) / (2 * Z)
        side = 1 if specs[measure.name].higher_is_worse else -1
        variance = max(error * error * measure.n, 1e-12)
        found.append(Statistic(measure.name, measure.estimate, measure.n, variance, measure.column, side, measure.name))
    return found
