"""Estimates beside their own track record: what was estimated of earlier windows, and what their labels showed."""

from __future__ import annotations

from dataclasses import replace

from controlplane.domain.monitor import Monitor
from controlplane.domain.track_record import LEAST, Estimate, Truth, track_record
from controlplane.domain.verdict import CheckResult, Measure
from controlplane.store import Session, runs

ESTIMATED = "estimated_"
ERROR = "_error"


def beside_record(session: Session, monitor: Monitor, results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    """The results, with `<estimate>_error` after each estimate that labels caught up with in other windows.

    It is the mean absolute error of the version's estimates over windows with labels, its interval and n counted in
    windows; its detail says how many truths lay inside the estimates' intervals.
    """
    return tuple(_beside(session, monitor, result) for result in results)


def _beside(session: Session, monitor: Monitor, result: CheckResult) -> CheckResult:
    records = []
    for measure in result.measures:
        metric = measure.name.removeprefix(ESTIMATED)
        if metric == measure.name or measure.segment or measure.column or metric.endswith("_vs_baseline"):
            continue
        known = runs.estimated_and_true(session, monitor, result.check, result.version, measure.name, metric)
        pairs = [(Estimate(*said), Truth(*true)) for said, true in known]
        record = track_record(pairs)
        if record.windows < LEAST or record.off_interval is None:
            continue
        low, high = record.off_interval
        name = measure.name + ERROR
        records.append(Measure(name, record.off, record.windows, low, high, version=result.version, detail=str(record)))
    return replace(result, measures=(*result.measures, *records)) if records else result
