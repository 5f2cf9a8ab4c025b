"""A metric as measures: its level, its difference to the reference, and its paired difference to another version."""

from __future__ import annotations

import numpy as np

from controlplane.checks import intervals
from controlplane.checks.contributions import Contributions
from controlplane.domain.verdict import Measure


def level(metric: str, found: Contributions, version: str | None, detail: str = "") -> Measure:
    """The metric itself, with its own interval."""
    return _measure(metric, found.estimate, len(found.values), found.interval, version, detail)


def against_baseline(metric: str, found: Contributions, baseline: Contributions, version: str | None) -> Measure:
    """The metric now minus the metric of the reference rows; independent samples (Newcombe's hybrid, or Welch)."""
    now, then = found.estimate, baseline.estimate
    if found.kind == "mean":
        interval = intervals.welch(found.values, baseline.values)
    else:
        interval = intervals.apart(now, found.interval, then, baseline.interval)
    detail = f"{metric} was {then:.3g} on the {len(baseline.values)} labelled reference rows"
    return _measure(f"{metric}_vs_baseline", now - then, len(found.values), interval, version, detail)


def against_previous(
    metric: str, found: Contributions, previous: Contributions, version: str | None, other: str
) -> Measure:
    """This version's metric minus the other's on the same rows, paired (Agresti and Min for a share, else t).

    For ROC AUC it is the test of DeLong, DeLong and Clarke-Pearson (1988).
    """
    gaps = found.values - previous.values
    detail = f"{metric} of version {other} is {previous.estimate:.3g} on the same rows"
    if found.kind == "share":
        only, others = int(np.count_nonzero(gaps > 0)), int(np.count_nonzero(gaps < 0))
        interval = intervals.paired_proportions(only, others, len(gaps))
        detail += (
            f"; {only} rows are right with version {version} alone, {others} with version {other} alone "
            f"(McNemar's exact test: p = {intervals.mcnemar(only, others):.2g})"
        )
    else:
        interval = intervals.paired(gaps, max(found.step, previous.step))
    return _measure(f"{metric}_vs_previous", float(gaps.mean()), len(gaps), interval, version, detail)


def negative_flips(found: Contributions, previous: Contributions, version: str | None, other: str) -> Measure:
    """The share of rows that the other version had right and this one has wrong (Yan et al. 2021).

    Two versions of one accuracy can differ on many rows, and whoever relied on the old answers meets each of those.
    """
    lost = int(np.count_nonzero(previous.values > found.values))
    won, n = int(np.count_nonzero(found.values > previous.values)), len(found.values)
    detail = f"{lost} rows that version {other} had right are wrong now, {won} that it had wrong are right"
    return _measure("negative_flips", lost / n, n, intervals.wilson(lost, n), version, detail)


def _measure(
    name: str, estimate: float, n: int, interval: intervals.Interval, version: str | None, detail: str
) -> Measure:
    low, high = interval
    return Measure(name, estimate, n, float(low), float(high), version=version, detail=detail)
