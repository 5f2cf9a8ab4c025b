"""Faults of what comes in, and of the measuring itself: nothing that a rollback would undo."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from controlplane import ports
from controlplane.domain.incident import BLIND_CAUSE
from controlplane.domain.verdict import BLIND
from controlplane.drills.fault import Fault, checks_with, labelled, outcomes_of
from controlplane.drills.sandbox import Sandbox
from controlplane.drills.stock import Stock
from controlplane.drills.story import Expectation, Phase, during
from controlplane.drills.supply import numeric, shifted
from controlplane.engine.measure import CheckTask, ModelPlace
from controlplane.models.importance import importance
from controlplane.store import windows
from controlplane.workers import Result, Task, Workers

OF_INPUTS = frozenset({"drift_check", "ood_rate"})
EARLY, MOST_HELD = 0.2, 3
IN_THE_MIDDLE, WEIGH_TIMEOUT = 0.05, 600.0


class Drift(Fault):
    """The inputs move; the versions stay as they are."""

    kind = "drift"
    meaning = "the column that the model listens to most is shifted by one standard deviation"
    size = 1.0

    def __init__(self) -> None:
        self._shift: Callable[[pa.Table], pa.Table] = lambda rows: rows

    def obstacle(self, stock: Stock) -> str:
        """It takes a check of inputs, and numbers to shift."""
        if not _of_inputs(stock):
            return "none of its checks watches inputs; drift, ood and evidently do"
        return "" if numeric(stock.supply.rows, stock.supply.features) else "none of its features is a number to shift"

    def begin(self, box: Sandbox) -> str:
        """From now on one column is higher."""
        supply, size = box.stock.supply, self.size or 0.0
        names = numeric(supply.rows, supply.features)
        weights = box.stock.importance
        if not weights:
            weights = box.ask(Task(weigh, (box.place(box.stock.holder), supply.rows, names), WEIGH_TIMEOUT))
        name = max(names, key=lambda each: weights.get(each, 0.0))
        self._shift = lambda rows: shifted(rows, supply.rows, [name], size)
        return f"{name} shifted by {size:+g} standard deviations"

    def alter(self, rows: pa.Table) -> pa.Table:
        """The rows with the column moved."""
        return self._shift(rows)

    def detects(self, box: Sandbox) -> frozenset[str]:
        """The checks of inputs."""
        return frozenset(_of_inputs(box.stock))

    def explained(self, box: Sandbox) -> frozenset[str]:
        """Whatever looks at the rows or at what was made of them."""
        return frozenset(check.name for check in box.monitor.checks)

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """No other version undoes a change of the world."""
        moved = [f"version {one.holder} in window {one.number}" for one in box.seen if one.holder != box.stock.holder]
        return [Expectation("alias", f"stays with version {box.stock.holder}", "; ".join(moved) or "stayed", not moved)]


def weigh(place: ModelPlace, rows: pa.Table, names: Sequence[str]) -> dict[str, float]:
    """How much each column weighs in a version's answers; runs in a worker."""
    return importance(place.open(), rows, names)


class LateLabels(Fault):
    """Labels are held back for some windows; of those that come early, most are of rows answered wrongly."""

    kind = "late_labels"
    meaning = "labels are held back for some windows, and come later where the job waits for them"

    def obstacle(self, stock: Stock) -> str:
        """It takes labels, and a check that needs them."""
        if not stock.supply.labelled:
            return "the rows of its reference bear no labels"
        if not labelled(stock.monitor):
            return "none of its checks needs labels"
        late, schedule = stock.monitor.late_labels, stock.monitor.schedule
        if late is not None and late.wait <= schedule.window:
            return f"it waits {late.wait} for labels, no longer than a window of {schedule.window}"
        return ""

    def begin(self, box: Sandbox) -> str:
        """From now on labels are missing."""
        late, columns = box.monitor.late_labels, box.monitor.columns
        self.early = lambda rows: rows.slice(0, 0)
        if late is None:
            self._held = box.monitor.tolerance.blind
            return f"no labels for {self._held} windows; the job waits for none"
        share = min(EARLY, late.coverage / 2)
        self._held = max(1, min(MOST_HELD, int(late.wait / box.monitor.schedule.window) - 1))
        if columns.prediction is not None:
            self.early = lambda rows: _wrong_first(rows, str(columns.prediction), str(columns.label), share)
        return f"labels of {self._held} windows come late, {share:.0%} of them at once, wrong answers first"

    def over(self, box: Sandbox) -> bool:
        """After so many windows."""
        return len(during(box.seen, Phase.FAULT)) >= self._held

    def end(self, box: Sandbox) -> None:
        """The labels arrive."""
        box.give_labels()

    def detects(self, box: Sandbox) -> frozenset[str]:
        """A monitor that waits for labels says nothing of those that came early; another one that it cannot see."""
        return frozenset() if box.monitor.late_labels is not None else frozenset({BLIND_CAUSE})

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """Each window is judged by its labels once, or is called blind, and never healthy."""
        if box.monitor.late_labels is None:
            found = [set(one.values()) for one in outcomes_of(box, Phase.FAULT, labelled(box.monitor))]
            blind = all(outcomes <= {outcome.value for outcome in BLIND} for outcomes in found)
            happened = ", ".join(sorted(set().union(*found)))
            return [Expectation("checks that need labels", "cannot see", happened, blind)]
        judged = []
        with box.context.store.begin() as session:
            for one in during(box.seen, Phase.FAULT):
                runs = windows.revisions(session, box.monitor, one.window)
                judged.append([run.outcome for run in runs if not run.awaits_labels])
        happened = "; ".join(", ".join(filter(None, each)) or "never" for each in judged)
        once = all(len(each) == 1 for each in judged)
        return [Expectation("judged by its labels", "each window once, when most are there", happened, once)]


class DeadWorker(Fault):
    """The process of one check is killed while it measures."""

    kind = "dead_worker"
    meaning = "the process of one check is killed (-9) while it measures"

    def obstacle(self, stock: Stock) -> str:
        """It takes a check that judges."""
        return "" if _doomed(stock) else "all of its checks are dry runs"

    def begin(self, box: Sandbox) -> str:
        """From now on that check's worker dies."""
        self._check = _doomed(box.stock)
        self._workers = box.context.workers
        box.context = replace(box.context, workers=Deadly(self._workers, self._check))
        return f"the worker of {self._check} killed in every window"

    def over(self, box: Sandbox) -> bool:
        """Once it was to be told."""
        return len(during(box.seen, Phase.FAULT)) >= box.monitor.tolerance.blind

    def end(self, box: Sandbox) -> None:
        """The workers live again."""
        box.context = replace(box.context, workers=self._workers)

    def detects(self, box: Sandbox) -> frozenset[str]:
        """A monitor that cannot see says so."""
        return frozenset({BLIND_CAUSE})

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """That check ends as ERROR, and no other one is harmed."""
        own = {one[self._check] for one in outcomes_of(box, Phase.FAULT, [self._check])}
        names = [check.name for check in box.monitor.checks if check.name != self._check]
        harmed = sorted(
            {
                f"{name} {outcome}"
                for one in outcomes_of(box, Phase.FAULT, names)
                for name, outcome in one.items()
                if outcome in {each.value for each in BLIND}
            }
        )
        return [
            Expectation(self._check, "ERROR", ", ".join(sorted(own)), own == {"ERROR"}),
            Expectation("the other checks", "unharmed", ", ".join(harmed) or "unharmed", not harmed),
        ]


class Deadly(Workers):
    """Workers of which those that are handed one check die of it; everything else is done by the real ones."""

    def __init__(self, inner: Workers, check: str) -> None:
        self._inner, self._check = inner, check

    def measure_all(self, tasks: Sequence[Task]) -> list[Result]:
        """The tasks' results, of which one is that its process was killed."""
        return self._inner.measure_all([self._doomed(task) for task in tasks])

    def _doomed(self, task: Task) -> Task:
        mine = [each for each in task.args if isinstance(each, CheckTask) and each.name == self._check]
        return replace(task, fn=die_of, args=(task.fn, task.args)) if mine else task


def die_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Do the work and be killed meanwhile, or right after it and before anybody is told; runs in a worker."""
    threading.Timer(IN_THE_MIDDLE, os.kill, (os.getpid(), signal.SIGKILL)).start()
    fn(*args)
    time.sleep(60)


def _of_inputs(stock: Stock) -> list[str]:
    return checks_with(stock.monitor, lambda check: ports.load("checks", check.kind).evidence in OF_INPUTS)


def _doomed(stock: Stock) -> str:
    """The check whose worker dies: one that opens a model where there is one, for that takes longest."""
    judging = checks_with(stock.monitor, lambda check: True)
    opening = checks_with(stock.monitor, lambda check: ports.Need.MODEL in ports.load("checks", check.kind).needs)
    return next(iter([*opening, *judging]), "")


def _wrong_first(rows: pa.Table, prediction: str, label: str, share: float) -> pa.Table:
    """So many of the rows, the worst answers first, as where complaints come before everything else."""
    said, true = rows[prediction], rows[label]
    if all(pa.types.is_integer(each.type) or pa.types.is_floating(each.type) for each in (said, true)):
        error = pc.abs(pc.subtract(said.cast(pa.float64()), true.cast(pa.float64())))
    else:
        error = pc.not_equal(said.cast(pa.string()), true.cast(pa.string())).cast(pa.float64())
    order = pc.sort_indices(pa.table({"error": error}), sort_keys=[("error", "descending")])
    return rows.take(order.slice(0, max(1, int(share * rows.num_rows))))
