"""Drills: which kinds there are, and one of them from its sandbox to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path

from controlplane.drills.fault import Fault
from controlplane.drills.inputs import DeadWorker, Drift, LateLabels
from controlplane.drills.releases import AttackableVersion, RegistryConflict, Regression, UnsafeTarget
from controlplane.drills.report import Report
from controlplane.drills.sandbox import Sandbox, open_sandbox
from controlplane.drills.stock import Stock
from controlplane.drills.story import Phase, during
from controlplane.errors import ConfigError
from controlplane.ports import suggest
from controlplane.store import new_id

KINDS: dict[str, type[Fault]] = {
    kind.kind: kind
    for kind in (Drift, Regression, AttackableVersion, LateLabels, RegistryConflict, DeadWorker, UnsafeTarget)
}
ALL = "all"
MOST, MOST_WITH_BUDGET = 12, 60


def faults(kind: str, size: float | None = None) -> list[Fault]:
    """The faults that a kind, or `all`, stands for; raises ConfigError for another name or a size that is none."""
    if kind != ALL and kind not in KINDS:
        raise ConfigError(f"unknown drill {kind!r}; {suggest(kind, [*KINDS, ALL])}")
    found = [made() for name, made in KINDS.items() if kind in (ALL, name)]
    if size is not None:
        sized = [fault for fault in found if fault.size is not None]
        if kind == ALL or not sized:
            names = ", ".join(name for name, made in KINDS.items() if made.size is not None)
            raise ConfigError(f"--size is for one kind of drill that has a size; valid: {names}")
        if kind == Drift.kind and not (isfinite(size) and size):
            raise ConfigError(f"the size of {kind} is a number other than 0; got {size:g}")
        if kind != Drift.kind and not 0 < size <= 1:
            raise ConfigError(f"the size of {kind} is a share of rows, above 0 and at most 1; got {size:g}")
        sized[0].size = size
    return found


def drill(
    stock: Stock,
    fault: Fault,
    home: Path,
    healthy: int,
    told: Callable[[str], None] = lambda step: None,
) -> Report:
    """Put one fault into a sandbox in `home` and let it run its course; `told` hears which window is in hand.

    Raises ConfigError for a fault that the monitor does not fit, CheckError for a version that cannot be opened.
    """
    obstacle = fault.obstacle(stock)
    if obstacle:
        raise ConfigError(f"{fault.kind} cannot be drilled on {stock.monitor.name}: {obstacle}")
    started = time.perf_counter()
    opened: list[Sandbox] = []
    most = MOST if stock.monitor.budget is None else MOST_WITH_BUDGET

    def heard(step: str) -> None:
        if opened:
            fault.heard(opened[0], step)

    with open_sandbox(stock, home, healthy, heard) as box:
        opened.append(box)
        for number in range(healthy):
            told(f"healthy window {number + 1} of {healthy}")
            box.live(Phase.BEFORE)
        told("putting the fault in")
        said = fault.begin(box)
        try:
            for number in range(most):
                told(f"window {number + 1} with the fault")
                box.live(Phase.FAULT, fault.alter, fault.early)
                if fault.over(box):
                    break
        finally:
            fault.end(box)
        for number in range(most):
            told(f"window {number + 1} after it")
            box.live(Phase.AFTER)
            if box.quiet():
                break
        moved = next((one for one in during(box.seen, Phase.FAULT) if one.moves()), None)
        return Report(
            id=new_id(),
            kind=fault.kind,
            monitor=stock.monitor.name,
            version=stock.holder,
            fault=said,
            expectations=fault.judged(box),
            detection=fault.detected(box),
            moved_seconds=None if moved is None else moved.settled,
            recovered=len(during(box.seen, Phase.AFTER)) if box.quiet() else None,
            false_actions=tuple(fault.false(box)),
            seen=tuple(box.seen),
            practised=fault.practises(stock.monitor),
            seconds=time.perf_counter() - started,
        )
