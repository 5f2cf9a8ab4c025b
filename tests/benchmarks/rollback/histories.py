"""Simulated histories of a watched model, lived through window by window as the engine would, until a rollback is made.

Labels and the answers of every version are drawn, so that what a rollback would do is known. What is measured comes
from the checks themselves; judging, opening incidents, planning and accepting are the engine's own functions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1] / "performance"))

from attribution import COLUMNS, METRICS, NUMBERS, REFERENCE, Answers, easy, rows_of

from controlplane.checks.drift import Drift, DriftParams
from controlplane.checks.performance import Performance, PerformanceParams
from controlplane.domain.action import Plan, Proof
from controlplane.domain.attribution import compare
from controlplane.domain.guards import Known
from controlplane.domain.incident import Event, Incident, IncidentState, advance
from controlplane.domain.monitor import (
    Budget,
    CheckSpec,
    Columns,
    Fleet,
    Limit,
    ModelRef,
    Monitor,
    Reaction,
    Schedule,
    SourceSpec,
    Window,
)
from controlplane.domain.verdict import CheckResult, DetectorState, Measure, Outcome, Verdict
from controlplane.engine.blocks import ScoredCheck, cut
from controlplane.engine.judgement import decide
from controlplane.engine.measure import CheckTask, score
from controlplane.engine.policy import Policy, Rehearsal, Would
from controlplane.errors import NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import ProfileBuilder, Reference, build_reference
from controlplane.profiles.promise import Promise, promise

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
CHECK, INPUTS = "labels", "inputs"
QUIET, LONG, SOON = 4, 30, 10
JUDGES = ("level", "baseline", "difference", "budget")
BLOCKS, POOL = 60, 2
MIN_EFFECT, LEAST = 0.05, 30
OURS = "9"
OTHERS = ("8", "7", "6")


@dataclass(frozen=True)
class Story:
    """One kind of history, whose effects are in units of 8 points of accuracy, or as much of another metric.

    From window `QUIET` on version 9, which holds the alias, falls by `fall`, and every version by `world` (None: by
    something between an eighth and two; `swings`: by another amount in every window). `others` is how much worse the
    other versions are, `always` how much worse all are from the start, `alike` how alike they err. `helps` says that
    one of the others does not fall and is worth going back to; those beside it are as bad as version 9.
    """

    name: str
    helps: bool = False
    fall: float = 0.0
    world: float | None = 0.0
    swings: bool = False
    others: float = 0.0
    always: float = 0.0
    alike: float = 0.5
    drift: bool = False
    rows: tuple[int, ...] = (200, 500, 1000, 2000)


@dataclass(frozen=True)
class Case:
    """One history: how it is watched, how many rows a window has, and which other versions there are."""

    metric: str
    judge: str
    rows: int
    targets: tuple[str, ...]
    good: str
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Lived:
    """What came of a history: how many windows failed, how often a replay was asked, and what was done about it."""

    case: Case
    failing: int
    proofs: int
    policy: Policy

    @property
    def made(self) -> tuple[int, str] | None:
        """How many windows after the change the rollback was made, and to which version."""
        for response in self.policy.responses:
            if response.would is Would.ROLL_BACK:
                return round((response.window.start - FIRST) / DAY) - QUIET, str(response.to_version)
        return None

    @property
    def found(self) -> bool:
        """Whether it was made after the change, soon enough, and to the version that does better."""
        return self.made is not None and 0 <= self.made[0] < SOON and self.made[1] == self.case.good


def case_of(story: Story, turn: int, seed: tuple[int, ...]) -> Case:
    """The case of this turn: metrics, ways to watch, sizes and numbers of targets in turn, mixed from the first on."""
    places, place = [], 0
    for width in (len(METRICS), len(JUDGES), len(story.rows), len(OTHERS)):
        place += turn % width
        places.append(place % width)
        turn //= width
    metric, judge, rows, more = places
    targets = OTHERS[: more + 1]
    # A limit on the difference to the version before sees nothing where that one fell too.
    among = 1 if JUDGES[judge] == "difference" else len(targets)
    good = targets[int(np.random.default_rng((*seed, 1)).integers(among))] if story.helps else ""
    return Case(METRICS[metric], JUDGES[judge], story.rows[rows], targets, good, seed)


def live(story: Story, case: Case) -> Lived:
    """Live through a history until a rollback is made, or to its end."""
    rng = np.random.default_rng(case.seed)
    number = QUIET + (SOON if story.helps else LONG)
    world = float(rng.uniform(0.125, 2.0)) if story.world is None else story.world
    monitor, watched = _monitor(case, story), _watched(case, story, rng)
    rehearsal = Rehearsal(monitor, Fleet(), lambda at: Known())
    state, pages = DetectorState(), _Pages(monitor)
    failing, proofs = 0, 0
    for turn in range(number):
        changed = turn >= QUIET
        falls = np.full(len(case.targets) + 1, story.always)
        falls[1:] += story.others
        if changed:
            falls += rng.uniform(0, world) if story.swings else world
            falls[0] += story.fall
            falls[1:] += [0.0 if name == case.good or not story.helps else story.fall for name in case.targets]
        rows = _rows(case, story, rng, case.rows, falls, FIRST + turn * DAY, drifted=changed and story.drift)
        window = Window(FIRST + turn * DAY, FIRST + (turn + 1) * DAY)
        results = _results(case, monitor, watched, window, rows)
        judged = decide(monitor, window, results, OURS, watched.promise, state)
        state = judged.state
        pages.advance(judged.verdict, window.end)
        failing += any(finding.outcome is Outcome.FAIL for finding in judged.findings)

        def prove(plan: Plan, window: Window = window, rows: pa.Table = rows) -> list[Proof]:
            nonlocal proofs
            proofs += 1
            return [_proof(case, watched, window, rows, plan, target) for target in plan.targets]

        response = rehearsal.meet(window, window.end, judged.findings, pages.open, OURS, 0, case.targets, prove)
        if response is not None and response.would is Would.ROLL_BACK:
            break
    return Lived(case, failing, proofs, rehearsal.end())


@dataclass(frozen=True)
class _Watched:
    """What the checks compare with, and what the page budget may cost."""

    reference: Reference
    params: PerformanceParams
    promise: Promise | None = None


def _monitor(case: Case, story: Story) -> Monitor:
    """A monitor with limits as tight as can be: at what the reference, or the model at its best, does."""
    harm = Performance.measures[case.metric].higher_is_worse
    at = {
        "level": {case.metric: _level(case.metric)},
        "baseline": {f"{case.metric}_vs_baseline": 0.0},
        "difference": {f"{case.metric}_vs_previous": 0.0},
        "budget": {},
    }[case.judge]
    limits = tuple(Limit(name, max=one) if harm else Limit(name, min=one) for name, one in at.items())
    checks = [CheckSpec(CHECK, "performance", limits=limits, min_rows=LEAST)]
    if story.drift:
        checks.append(CheckSpec(INPUTS, "drift", limits=(Limit("drift", max=0.15),)))
    return Monitor(
        "simulated",
        ModelRef("simulated", "champion"),
        SourceSpec("files"),
        _columns(case),
        Schedule("0 0 * * *", DAY),
        tuple(checks),
        budget=Budget(1, 90 * DAY, MIN_EFFECT) if case.judge == "budget" else None,
        reaction=Reaction.ROLLBACK,
    )


def _columns(case: Case) -> Columns:
    return NUMBERS if case.metric == "mae" else COLUMNS


@cache
def _level(metric: str) -> float:
    """What a version at its best does, over many rows."""
    rng = np.random.default_rng(0)
    n = 200_000
    rows = rows_of(metric, easy(rng, (n,), 0.0, 1), rng.random(n) < 0.4, [0.0], [""])
    columns = NUMBERS if metric == "mae" else COLUMNS
    found = Performance().measure(Sample(Window(FIRST, FIRST + DAY), rows, columns, OURS), _params(metric))
    return found[0].estimate


def _params(metric: str) -> PerformanceParams:
    return PerformanceParams(task="regression" if metric == "mae" else "classification", metrics=(metric,))


def _rows(
    case: Case,
    story: Story,
    rng: np.random.Generator,
    n: int,
    falls: Sequence[float] | np.ndarray,
    start: datetime,
    drifted: bool = False,
) -> pa.Table:
    """Rows with the answers of every version; those logged are version 9's."""
    names = [OURS, *case.targets]
    drawn, truth = easy(rng, (n,), story.alike, len(names)), rng.random(n) < 0.4
    table = rows_of(case.metric, drawn, truth, list(falls), ["", *(f"{name}_" for name in case.targets)])
    times = pa.array(np.datetime64(start.replace(tzinfo=None), "us") + np.sort(rng.integers(0, 86_400_000_000, n)))
    x = rng.normal(float(drifted), 1.0, n)
    return table.set_column(table.column_names.index("x"), "x", pa.array(x)).append_column(
        "at", times.cast(pa.timestamp("us", "UTC"))
    )


def _watched(case: Case, story: Story, rng: np.random.Generator) -> _Watched:
    if case.judge == "budget":
        # A page budget learns from many days; histories alike share a few references.
        return _learnt(case.metric, case.rows, story.always, story.others, case.seed[-1] % POOL)
    falls = [story.always, *[story.always + story.others] * len(case.targets)]
    rows = _rows(case, story, rng, REFERENCE, falls, FIRST - DAY)
    return _Watched(replace(_frame(), rows=rows, columns=_columns(case)), _params(case.metric))


@cache
def _frame() -> Reference:
    """A profile of the one input column; the rows of a history's own reference are put into it."""
    rows = pa.table({"x": np.random.default_rng(0).normal(size=REFERENCE)})
    return build_reference(rows.to_batches, Columns("at", features=("x",)))


@cache
def _learnt(metric: str, rows: int, always: float, others: float, turn: int) -> _Watched:
    rng = np.random.default_rng([rows, turn])
    case = Case(metric, "budget", rows, OTHERS, "", ())
    falls = [always, *[always + others] * len(OTHERS)]
    days = [_rows(case, Story(""), rng, rows, falls, FIRST - (BLOCKS - day) * DAY) for day in range(BLOCKS)]
    table = pa.concat_tables(days)
    reference = build_reference(table.to_batches, _columns(case), OURS, REFERENCE)
    params = _params(metric)
    options = {"task": params.task, "metrics": params.metrics}
    blocks = cut(table, reference, [ScoredCheck(CHECK, "performance", options, LEAST)], None, DAY, FIRST)
    assert blocks is not None
    budget = Budget(1, 90 * DAY, MIN_EFFECT)
    promised = promise(blocks, budget.horizon(DAY), MIN_EFFECT)
    return _Watched(replace(reference, blocks=blocks), params, promised)


def _results(case: Case, monitor: Monitor, watched: _Watched, window: Window, rows: pa.Table) -> list[CheckResult]:
    other = _other(case.targets[0]) if case.judge == "difference" else None
    results = [_measured(case, watched, window, rows, other)]
    if len(monitor.checks) > 1:
        builder = ProfileBuilder(_frame().profile.bins)
        for batch in rows.to_batches():
            builder.add(batch)
        sample = Sample(window, rows, _columns(case), OURS, builder.build(), _frame())
        results.append(CheckResult(INPUTS, OURS, tuple(Drift().measure(sample, DriftParams()))))
    return results


def _other(name: str) -> Answers:
    return Answers(name, f"{name}_")


def _measured(case: Case, watched: _Watched, window: Window, rows: pa.Table, other: Answers | None) -> CheckResult:
    if rows.num_rows < LEAST:
        return CheckResult(CHECK, OURS, blind=f"{rows.num_rows} rows")
    try:
        found = _asked(case, watched, window, rows, other)
    except NotEnoughData as why:
        return CheckResult(CHECK, OURS, blind=str(why))
    result = CheckResult(CHECK, OURS, tuple(found), compared=None if other is None else other.version)
    if watched.promise is None:
        return result
    sample = Sample(window, rows, _columns(case), OURS, reference=watched.reference)
    task = CheckTask(
        "performance", {}, LEAST, window, _columns(case), OURS, Path(), 1.0, 0, name=CHECK, min_effect=MIN_EFFECT
    )
    scores, why = score(task, watched.reference, Performance().statistics(sample, watched.params, found))
    return replace(result, scored=True, scores=scores, unscored=why)


def _asked(case: Case, watched: _Watched, window: Window, rows: pa.Table, other: Answers | None) -> Sequence[Measure]:
    sample = Sample(window, rows, _columns(case), OURS, reference=watched.reference, previous=other)
    return Performance().measure(sample, watched.params)


def _proof(case: Case, watched: _Watched, window: Window, rows: pa.Table, plan: Plan, target: str) -> Proof:
    found = _asked(case, watched, window, rows, _other(target))
    worse = {case.metric: Performance.measures[case.metric].higher_is_worse}
    return Proof(target, tuple(compare(found, plan.measures, OURS, worse)))


class _Pages:
    """The incidents of a history, opened and closed as a run does."""

    def __init__(self, monitor: Monitor) -> None:
        self.open: dict[str, Incident] = {}
        self._monitor, self._number = monitor, 0

    def advance(self, verdict: Verdict, at: datetime) -> None:
        for change in advance(self.open, verdict, self._monitor.tolerance):
            if change.event is Event.CLOSED:
                del self.open[change.cause]
                continue
            self._number += 1
            known = str(self._number), self._monitor.name, change.cause, IncidentState.OPEN
            self.open[change.cause] = Incident(*known, change.severity, change.text, at, OURS)
