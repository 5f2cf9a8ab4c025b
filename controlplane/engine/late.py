"""Late labels: which windows wait for theirs, and which are to be judged again because more came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import pyarrow as pa

from controlplane import ports
from controlplane.domain.monitor import CheckSpec, Monitor, Window, iso
from controlplane.domain.verdict import CheckResult, Finding, Measure
from controlplane.engine.context import Context
from controlplane.engine.freeze import Frozen, read_table, write_table
from controlplane.engine.labels import Joined, Labels, count, held, join, row_ids
from controlplane.store import records, revisions, runs

LABELS = "labels"
# A window that is not mature yet is looked at again once this share more of its rows is labelled.
STEP = 0.1
QUEUED = "its own are here, but a window before it still waits for labels"


@dataclass(frozen=True, slots=True)
class Again:
    """A recorded window to be judged again: its rows with the labels they have by now.

    `early` says why they are still not judged by (empty: they are, for good); `counts` whether that feeds detectors and
    actions: the version that held the alias then holds it now, and no later window was judged by its labels before.
    """

    run_id: str
    window: Window
    version: str
    parts: tuple[Frozen, ...]
    n_read: int
    early: str
    counts: bool


def labels_of(context: Context, monitor: Monitor, kept: Sequence[runs.Part] = ()) -> Labels | None:
    """The labels as they are known now, where they come from a source of their own.

    Those that the rows `kept` of an earlier look bear came first, whatever the source says by now.
    """
    if monitor.labels is None:
        return None
    fetch = partial(context.open_source(monitor, monitor.labels).fetch, None)
    known_at = None if monitor.late_labels is None else monitor.late_labels.known_at
    borne = [held(read_table(context.sample_path(part.sample_digest)), monitor.columns) for part in kept]
    first = pa.concat_tables(borne, promote_options="permissive") if borne else None
    return Labels(fetch, monitor.columns, known_at, context.now(), first)


def needs_labels(spec: CheckSpec) -> bool:
    """Whether a check measures nothing without labels."""
    return ports.Need.LABELS in ports.load("checks", spec.kind).needs


def queue(context: Context, monitor: Monitor, window: Window) -> str:
    """Says that a window before this one still waits for its labels: each check counts windows in their order."""
    if monitor.late_labels is None:
        return ""
    with context.store.begin() as session:
        waiting = revisions.waiting_for_labels(session, monitor)
    return QUEUED if any(one.window.end < window.end for one in waiting) else ""


def early(monitor: Monitor, window: Window, parts: Sequence[Frozen], now: datetime, held_up: str) -> str:
    """Why a window is not judged by its labels yet, in one sentence; empty where it is.

    `held_up` says why not even one that has its labels is.
    """
    wait = monitor.late_labels
    if wait is None or not any(needs_labels(spec) for spec in monitor.checks):
        return ""
    labelled, kept = _labelled(parts)
    if wait.mature(window, labelled, kept, now):
        return held_up
    return (
        f"{labelled} of {kept} rows have one so far, and those that come early are a biased sample; judged from "
        f"{wait.coverage:.0%} on, or as they are at {iso(window.end + wait.wait)}"
    )


def told(monitor: Monitor, window: Window, parts: Sequence[Frozen], now: datetime) -> list[CheckResult]:
    """The coverage of each part whose labels come late: the share of its kept rows that bear one."""
    if monitor.late_labels is None:
        return []
    results = []
    for part in parts:
        if part.labelled is None or not part.kept:
            continue
        days = (now - window.end).total_seconds() / 86_400
        said = f"{part.labelled} of {part.kept} rows, {days:.3g} days after the window"
        if part.changed:
            said += f"; {part.changed} labels changed after they were first known, and the first is kept"
        coverage = Measure("coverage", part.labelled / part.kept, part.kept, version=part.version, detail=said)
        results.append(CheckResult(LABELS, part.version, measures=(coverage,)))
    return results


def kept(monitor: Monitor, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings of a recorded window that more labels do not change."""
    anew = {LABELS, *(spec.name for spec in monitor.checks if needs_labels(spec))}
    return tuple(finding for finding in findings if finding.check not in anew)


def ripe(context: Context, monitor: Monitor) -> Iterator[Again]:
    """The windows to be judged again, oldest first, so that each check counts windows in their order.

    A window is final only once none before it still waits; until then it is shown, where enough labels more came.
    """
    wait = monitor.late_labels
    if wait is None:
        return
    with context.store.begin() as session:
        waiting = revisions.waiting_for_labels(session, monitor)
        past = records.holdings(session, context.workspace, context.registry.key(monitor.model))
    holder = past[-1].version if past else None
    labels = labels_of(context, monitor)
    if not waiting or labels is None:
        return
    tables = [[read_table(context.sample_path(part.sample_digest)) for part in one.parts] for one in waiting]
    ids = [row_ids(table, monitor.columns) for each in tables for table in each]
    known = labels.of(pa.concat_arrays(ids).unique() if ids else pa.array([], pa.string()))
    held_up = ""
    for one, before in zip(waiting, tables, strict=True):
        joined = [join(table, known, monitor.columns, again=True) for table in before]
        parts = tuple(_relabelled(*pair) for pair in zip(one.parts, joined, strict=True))
        said = early(monitor, one.window, parts, context.now(), held_up)
        held_up = QUEUED if said else held_up
        if not said or _grown(monitor, before, parts):
            # Written only now: most looks find too little that is new to keep it.
            digests = [write_table(each.table, context.sample_path) for each in joined]
            parts = tuple(replace(part, sample_digest=digest) for part, digest in zip(parts, digests, strict=True))
            counts = one.version == holder and not _overtaken(context, monitor, one.window)
            yield Again(one.run_id, one.window, one.version or "unknown", parts, one.n_read, said, counts)


def _overtaken(context: Context, monitor: Monitor, window: Window) -> bool:
    with context.store.begin() as session:
        return revisions.rows_judged_after(session, monitor, window, by_labels=True)


def _relabelled(part: runs.Part, joined: Joined) -> Frozen:
    return Frozen(
        part.version,
        part.n_rows,
        part.sample_digest,
        part.sample_rate,
        kept=joined.table.num_rows,
        labelled=joined.labelled,
        changed=joined.changed,
        requests_digest=part.requests_digest,
    )


def _grown(monitor: Monitor, before: Sequence[pa.Table], parts: Sequence[Frozen]) -> bool:
    """Whether so many labels came since the last look that it is worth another."""
    labelled, rows = _labelled(parts)
    known = sum(count(table.column(monitor.columns.label)) for table in before)
    return labelled - known >= STEP * rows and labelled > known


def _labelled(parts: Sequence[Frozen]) -> tuple[int, int]:
    return sum(part.labelled or 0 for part in parts), sum(part.kept for part in parts)
