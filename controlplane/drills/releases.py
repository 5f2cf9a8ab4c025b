"""Faults of a release: a bad version takes the alias, and going back is practised, or has to be refused."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.types as pt

from controlplane.domain.action import LIVE, ActionState, Refusal
from controlplane.domain.monitor import Monitor
from controlplane.drills.fault import Fault, checks_with, observes, replayable
from controlplane.drills.faulty import BreakTask, SoftenTask, Wrong, break_version, soften_version
from controlplane.drills.sandbox import Sandbox
from controlplane.drills.stock import Stock
from controlplane.drills.story import MADE, Act, Expectation, Phase, during
from controlplane.drills.versions import largest_file
from controlplane.workers import Task

MAKE_TIMEOUT = 900.0
MOST_CLASSES, MOST_TRAINED = 1000, 2000
FINAL = frozenset(ActionState) - LIVE


class Regression(Fault):
    """A version takes the alias that answers as the good one does, but for a known share of its rows."""

    kind = "regression"
    meaning = "a version takes the alias that answers 40 % of its rows wrongly"
    size: float | None = 0.4

    def obstacle(self, stock: Stock) -> str:
        """It takes labels, and a check that another version can pass."""
        if not stock.supply.labelled:
            return "the rows of its reference bear no labels, so that nobody could tell"
        if not replayable(stock.monitor):
            return "none of its checks depends on the version; performance and evasion do"
        return ""

    def practises(self, monitor: Monitor) -> bool:
        """Unless the monitor only watches."""
        return not observes(monitor)

    def begin(self, box: Sandbox) -> str:
        """Somebody releases the bad version and asks nobody."""
        self._bad = box.register(self.made(box))
        box.release(self._bad)
        return f"version {self._bad}, {self.like(box)}, took the alias from version {box.stock.holder}"

    def made(self, box: Sandbox) -> Path:
        """The bad version's artefacts; made once for all drills of a monitor."""
        into = box.stock.folder / f"broken-{self.size:g}"
        if not into.exists():
            box.ask(
                Task(break_version, (BreakTask(box.place(box.stock.holder), into, self._wrong(box)),), MAKE_TIMEOUT)
            )
        return into

    def like(self, box: Sandbox) -> str:
        """What the bad version is, in words."""
        return f"wrong on {self.size:.0%} of its rows"

    def over(self, box: Sandbox) -> bool:
        """Once the alias is elsewhere, or the monitor that only watches has said it."""
        if observes(box.monitor):
            return self.detected(box) is not None
        return during(box.seen, Phase.FAULT)[-1].holder != self._bad

    def end(self, box: Sandbox) -> None:
        """Where the alias is still with the bad version, somebody puts it back by hand."""
        if box.holder() == self._bad:
            box.release(box.stock.holder)

    def detects(self, box: Sandbox) -> frozenset[str]:
        """The checks that depend on the version."""
        return frozenset(replayable(box.monitor))

    def explained(self, box: Sandbox) -> frozenset[str]:
        """Whatever looks at answers may notice other ones."""
        return frozenset(check.name for check in box.monitor.checks)

    def allowed(self, box: Sandbox) -> Collection[str]:
        """The states of a rollback that goes back to a good version."""
        return () if observes(box.monitor) else {*MADE, ActionState.PROPOSED}

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """The alias is back with a version that was good, by one move that was verified; or nothing was moved."""
        last = during(box.seen, Phase.FAULT)[-1]
        if observes(box.monitor):
            return [
                Expectation("alias", "not moved by us: the job observes", _held(last.holder), last.holder == self._bad)
            ]
        good = {box.stock.holder, *box.stock.earlier}
        ends = {act.id: act.state for one in box.seen for act in one.acts if act.state in FINAL}
        return [
            Expectation("alias", f"back with {_held(box.stock.holder)}", _held(last.holder), last.holder in good),
            Expectation("rollback", "verified", ", ".join(ends.values()) or "none", [*ends.values()] == ["verified"]),
        ]

    def _wrong(self, box: Sandbox) -> Wrong:
        values = box.stock.supply.rows[str(box.monitor.columns.label)].drop_null()
        known = pc.unique(values)
        numbers = pt.is_floating(values.type) or pt.is_integer(values.type)
        by = 3 * float(np.std(values.to_numpy())) if numbers else 1.0
        few = len(known) <= (20 if pt.is_floating(values.type) else MOST_CLASSES)
        return Wrong(self.size or 0.0, by or 1.0, tuple(sorted(known.to_pylist())) if few else ())


class AttackableVersion(Regression):
    """A version takes the alias that is accurate, and falls to small changes of its inputs."""

    kind = "attackable_version"
    meaning = "a version takes the alias that is accurate and easy to attack"
    size = None

    def obstacle(self, stock: Stock) -> str:
        """It takes a check that attacks."""
        if not _attacking(stock.monitor):
            return "none of its checks attacks a version; evasion does"
        return "" if stock.supply.labelled else "the rows of its reference bear no labels, so that nobody could tell"

    def made(self, box: Sandbox) -> Path:
        """The good version, trained further to be right on clean rows and wrong on attacked ones."""
        into = box.stock.folder / "attackable"
        if not into.exists():
            label, supply = str(box.monitor.columns.label), box.stock.supply
            rows = supply.rows.filter(pc.is_valid(supply.rows[label])).slice(0, MOST_TRAINED)
            (spec,) = [check for check in box.monitor.checks if check.name == _attacking(box.monitor)[0]]
            task = SoftenTask(
                place=box.place(box.stock.holder),
                into=into,
                rows=rows,
                label=label,
                eps=float(spec.params["eps"]),
                clip=tuple(spec.params["clip"]),
                euclidean=spec.params["norm"] != "inf",
                seed=supply.seed,
            )
            box.ask(Task(soften_version, (task,), MAKE_TIMEOUT))
        return into

    def like(self, box: Sandbox) -> str:
        """What the bad version is, in words."""
        return "accurate and easy to attack"

    def detects(self, box: Sandbox) -> frozenset[str]:
        """The checks that attack."""
        return frozenset(_attacking(box.monitor))

    def explained(self, box: Sandbox) -> frozenset[str]:
        """Nothing but what attacks: it is as accurate as the good version."""
        return self.detects(box)


class RegistryConflict(Regression):
    """Somebody else moves the alias between the plan to move it and the move."""

    kind = "registry_conflict"
    meaning = "somebody else moves the alias while a rollback is about to"

    def obstacle(self, stock: Stock) -> str:
        """As for a regression, and something that moves."""
        return super().obstacle(stock) or _only_observes(stock)

    def begin(self, box: Sandbox) -> str:
        """A bad version is out, and a repaired one is ready."""
        said = super().begin(box)
        self._theirs = box.register(box.stock.versions[box.stock.holder])
        self._moved = False
        return f"{said}; while a rollback was about to move it, somebody gave it to version {self._theirs}"

    def heard(self, box: Sandbox, step: str) -> None:
        """Everything is proved and said, and nothing is written yet."""
        if step == "moving" and not self._moved:
            self._moved = True
            box.release(self._theirs)

    def allowed(self, box: Sandbox) -> Collection[str]:
        """It gives way."""
        return {ActionState.PROPOSED, ActionState.SUPERSEDED}

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """What somebody else did is never overwritten, and the rollback ends by saying so."""
        ends = _ends(box)
        where = during(box.seen, Phase.FAULT)[-1].holder
        kept = self._moved and all(one.holder == self._theirs for one in box.seen if one.number >= self._since(box))
        return [
            Expectation(
                "rollback",
                "superseded",
                ", ".join(act.state for act in ends) or "none",
                _states(ends) == ["superseded"],
            ),
            Expectation("alias", f"left with {_held(self._theirs)}", _held(where), kept),
        ]

    def _since(self, box: Sandbox) -> int:
        return during(box.seen, Phase.FAULT)[-1].number


class UnsafeTarget(Regression):
    """The artefacts of every version to go back to are not what they were."""

    kind = "unsafe_target"
    meaning = "the artefacts of the versions to go back to were changed after they were registered"

    def obstacle(self, stock: Stock) -> str:
        """As for a regression, and something that moves."""
        return super().obstacle(stock) or _only_observes(stock)

    def begin(self, box: Sandbox) -> str:
        """A bad version is out, and somebody was at the artefacts of the good ones."""
        said = super().begin(box)
        self._files = {largest_file(folder): 0 for folder in box.stock.versions.values()}
        for path in self._files:
            self._files[path] = path.stat().st_size
            with path.open("ab") as file:
                file.write(b"\n")
        return f"{said}; one byte was added to the weights of version {', '.join(box.stock.versions)}"

    def over(self, box: Sandbox) -> bool:
        """Once a rollback came to an end."""
        return bool(_ends(box))

    def end(self, box: Sandbox) -> None:
        """The artefacts are as they were, and somebody puts the alias back."""
        for path, size in self._files.items():
            with path.open("r+b") as file:
                file.truncate(size)
        super().end(box)

    def allowed(self, box: Sandbox) -> Collection[str]:
        """It is refused."""
        return {ActionState.REFUSED}

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """Nothing is moved, and the refusal names what is wrong."""
        moved = [f"version {one.holder}" for one in during(box.seen, Phase.FAULT) if one.holder != self._bad]
        codes = [act.code or act.state for act in _ends(box)]
        code = Refusal.ARTEFACT_CHANGED.value
        return [
            Expectation("alias", "not moved", f"moved to {moved[0]}" if moved else "not moved", not moved),
            Expectation("rollback", f"refused: {code}", ", ".join(codes) or "none", codes == [code]),
        ]


def _attacking(monitor: Monitor) -> list[str]:
    return checks_with(monitor, lambda check: check.kind == "evasion")


def _only_observes(stock: Stock) -> str:
    said = "its reaction is observe, so that nothing is moved; drill it with --reaction propose or rollback"
    return said if observes(stock.monitor) else ""


def _ends(box: Sandbox) -> list[Act]:
    """The rollbacks that came to an end, as they stood then."""
    return list({act.id: act for one in box.seen for act in one.acts if act.state in FINAL}.values())


def _states(acts: list[Act]) -> list[str]:
    return [act.state for act in acts]


def _held(version: str) -> str:
    return f"version {version}"
