"""What every fault has: what it needs, what it does to a sandbox, and what is expected of the engine then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

import pyarrow as pa

from controlplane import ports
from controlplane.domain.monitor import CheckSpec, Monitor, Reaction
from controlplane.drills.sandbox import Sandbox
from controlplane.drills.stock import Stock
from controlplane.drills.story import Detection, Expectation, Phase, detection, during, false_actions
from controlplane.engine.late import needs_labels

NOTHING = "none"


class Fault:
    """A known fault of one kind, for one drill; each kind says what differs.

    `size` is how large it is, in the kind's own unit; None where a kind has none.
    """

    kind: ClassVar[str]
    meaning: ClassVar[str]
    size: float | None = None
    early: Callable[[pa.Table], pa.Table] | None = None

    def obstacle(self, stock: Stock) -> str:
        """Why this fault cannot be put into the monitor, in one sentence; empty where it can."""
        return ""

    def practises(self, monitor: Monitor) -> bool:
        """Whether a rollback is part of the drill."""
        return False

    def begin(self, box: Sandbox) -> str:
        """Put the fault in, before the first window with it; what it is, in words."""
        raise NotImplementedError

    def heard(self, box: Sandbox, step: str) -> None:
        """What happens when the engine ends a step."""

    def alter(self, rows: pa.Table) -> pa.Table:
        """The rows of a window with the fault, before they are answered."""
        return rows

    def over(self, box: Sandbox) -> bool:
        """Whether the fault was there for long enough."""
        return self.detected(box) is not None

    def end(self, box: Sandbox) -> None:
        """Take the fault out again."""

    def detects(self, box: Sandbox) -> frozenset[str]:
        """The causes, of which one has to be noticed."""
        raise NotImplementedError

    def explained(self, box: Sandbox) -> frozenset[str]:
        """The causes of incidents that this fault explains."""
        return self.detects(box)

    def allowed(self, box: Sandbox) -> Collection[str]:
        """The states of rollbacks that are right from the fault on."""
        return ()

    def expectations(self, box: Sandbox) -> list[Expectation]:
        """What this kind expects besides what all do, and what happened."""
        return []

    def detected(self, box: Sandbox) -> Detection | None:
        """When one of the causes was noticed that have to be."""
        return detection(box.seen, self.detects(box))

    def false(self, box: Sandbox) -> list[str]:
        """What was done that the fault does not explain."""
        return false_actions(box.seen, self.explained(box), frozenset(self.allowed(box)))

    def judged(self, box: Sandbox) -> tuple[Expectation, ...]:
        """Everything that was expected, beside what happened."""
        found, false = self.detected(box), self.false(box)
        causes = sorted(self.detects(box))
        noticed = [
            Expectation(
                "incident",
                f"of {' or '.join(causes)}" if causes else NOTHING,
                NOTHING if found is None else f"of {', '.join(found.causes)}",
                (found is not None) == bool(causes),
            )
        ]
        quiet = box.quiet()
        after = len(during(box.seen, Phase.AFTER))
        recovered = f"after {after} healthy" if quiet else f"something is open after {after} healthy windows"
        return (
            *noticed,
            *self.expectations(box),
            Expectation("recovery", "every incident closed, nothing under way", recovered, quiet),
            Expectation("false actions", NOTHING, "; ".join(false) or NOTHING, not false),
        )


def checks_with(monitor: Monitor, fits: Callable[[CheckSpec], bool]) -> list[str]:
    """The names of the checks that judge and that fit."""
    return [check.name for check in monitor.checks if not check.dry_run and fits(check)]


def replayable(monitor: Monitor) -> list[str]:
    """The checks whose failing another version may undo."""
    return checks_with(monitor, lambda check: bool(ports.load("checks", check.kind).replayable))


def labelled(monitor: Monitor) -> list[str]:
    """The checks that measure nothing without labels."""
    return checks_with(monitor, needs_labels)


def observes(monitor: Monitor) -> bool:
    """Whether the monitor only watches."""
    return monitor.reaction is Reaction.OBSERVE


def outcomes_of(box: Sandbox, phase: Phase, checks: Collection[str]) -> list[Mapping[str, str]]:
    """How the named checks ended in each window of a phase."""
    return [{name: one.outcomes[name] for name in checks if name in one.outcomes} for one in during(box.seen, phase)]
