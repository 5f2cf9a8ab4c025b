"""A drill's report: what was expected beside what happened, and how long it took. Its record is evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.evidence import Evidence
from controlplane.domain.verdict import Outcome
from controlplane.drills.story import Detection, Expectation, Seen

KEPT = timedelta(days=90)
PRACTISED, EFFECTIVE = "rollback_drill", "monitor_effectiveness"


@dataclass(frozen=True, slots=True)
class Report:
    """How one drill of one monitor went.

    `moved_seconds` is the time from the bad window's file to the alias read back, `recovered` the number of healthy
    windows until every incident was closed (None: not within the drill), `practised` whether a rollback was part of it.
    """

    id: str
    kind: str
    monitor: str
    version: str
    fault: str
    expectations: tuple[Expectation, ...]
    detection: Detection | None
    moved_seconds: float | None
    recovered: int | None
    false_actions: tuple[str, ...]
    seen: tuple[Seen, ...]
    practised: bool
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """PASS where everything went as expected, else FAIL."""
        return Outcome.PASS if all(one.held for one in self.expectations) else Outcome.FAIL

    @property
    def unmet(self) -> tuple[Expectation, ...]:
        """What did not go as expected."""
        return tuple(one for one in self.expectations if not one.held)

    @property
    def numbers(self) -> str:
        """The delays and the false actions, in words."""
        return "; ".join(
            [
                self.detected or "no incident",
                "alias not moved" if self.moved_seconds is None else f"alias moved after {self.moved_seconds:.1f} s",
                "not recovered" if self.recovered is None else f"recovered after {windows(self.recovered)}",
                f"{len(self.false_actions)} false actions",
            ]
        )

    @property
    def detected(self) -> str:
        """When and by what the fault was noticed; empty where it was not."""
        found = self.detection
        if found is None:
            return ""
        return f"{', '.join(found.causes)} in window {found.windows} with the fault, after {found.seconds:.1f} s"

    def evidence(self, collected: datetime) -> Evidence:
        """The drill's record."""
        unmet = "; ".join(f"{one.what}: expected {one.expected}, happened: {one.happened}" for one in self.unmet)
        return Evidence(
            PRACTISED if self.practised else EFFECTIVE,
            self.monitor,
            f"drill:{self.id}",
            self.outcome.value,
            f"drill {self.kind}: {self.fault}; {self.numbers}" + (f". Not as expected: {unmet}" if unmet else ""),
            collected,
            collected + KEPT,
            self.version,
            sum(one.n_rows for one in self.seen),
        )


def windows(count: int) -> str:
    """A number of windows, in words.

    >>> windows(1), windows(3)
    ('1 window', '3 windows')
    """
    return "1 window" if count == 1 else f"{count} windows"
