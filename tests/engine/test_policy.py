"""A reaction rehearsed: the order of plan, guards, proof and guards again, and what it remembers of its own moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.domain.action import Plan, Proof
from controlplane.domain.attribution import Replay
from controlplane.domain.guards import Freeze, Known, Move
from controlplane.domain.incident import Incident, IncidentState, Severity
from controlplane.domain.monitor import (
    CheckSpec,
    Columns,
    Fleet,
    ModelRef,
    Monitor,
    Reaction,
    Schedule,
    SourceSpec,
    Window,
)
from controlplane.domain.verdict import Finding, Outcome
from controlplane.engine.policy import Policy, Rehearsal, Response, Would

HOUR = timedelta(hours=1)
T0 = datetime(2026, 3, 1, tzinfo=UTC)
MONITOR = Monitor(
    "scorer",
    ModelRef("scorer", "champion"),
    SourceSpec("files"),
    Columns("at"),
    Schedule("0 * * * *", HOUR),
    (CheckSpec("labels", "performance"), CheckSpec("inputs", "drift")),
    reaction=Reaction.ROLLBACK,
)
BETTER = Replay("accuracy", 0.6, 0.8, -0.2, -0.25, -0.15, 900, False)
ALIKE = Replay("accuracy", 0.6, 0.61, -0.01, -0.05, 0.03, 900, False)


class Story:
    """Failing windows, one an hour, met by a reaction; every target does as `replay` says."""

    def __init__(self, monitor: Monitor = MONITOR, known: Callable[[datetime], Known] = lambda at: Known()) -> None:
        self.rehearsal = Rehearsal(monitor, Fleet(), known)
        self.proofs: list[tuple[int, tuple[str, ...]]] = []

    def fail(
        self,
        hour: int,
        version: str = "2",
        tenure: int = 1,
        earlier: Sequence[str] = ("1",),
        replay: Replay = BETTER,
        check: str = "labels",
        page: int = 1,
    ) -> Response | None:
        window = Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)
        opened = Incident(str(page), "scorer", check, IncidentState.OPEN, Severity.WARNING, "", window.end, version)
        finding = Finding(check, Outcome.FAIL, "it failed", "accuracy", version=version)

        def prove(plan: Plan) -> list[Proof]:
            self.proofs.append((hour, plan.targets))
            return [Proof(target, (replay,)) for target in plan.targets]

        return self.rehearsal.meet(window, window.end, [finding], {check: opened}, version, tenure, earlier, prove)

    def end(self) -> Policy:
        return self.rehearsal.end()


def test_the_same_refusal_of_a_page_is_told_once_and_counted() -> None:
    story = Story()
    first = story.fail(0, replay=ALIKE)
    assert first is not None and first.code == "cannot_tell"
    assert [story.fail(hour, replay=ALIKE) for hour in (1, 2)] == [None, None]
    other = story.fail(3, replay=ALIKE, page=2)
    assert other is not None
    assert [(one.page, one.windows, one.until) for one in story.end().responses] == [
        (1, 3, T0 + 3 * HOUR),
        (2, 1, T0 + 4 * HOUR),
    ]
    # More rows may tell what fewer could not: as in runs, every failing window is proved anew.
    assert [hour for hour, _ in story.proofs] == [0, 1, 2, 3]


def test_what_no_rollback_could_undo_is_refused_without_a_proof() -> None:
    story = Story()
    refused = story.fail(0, check="inputs")
    assert refused is not None and refused.code == "world_changed"
    assert story.proofs == []


def test_after_a_rollback_windows_are_unknown_until_the_alias_really_moved() -> None:
    story = Story()
    made = story.fail(0)
    assert made is not None and (made.would, made.to_version) == (Would.ROLL_BACK, "1")
    assert [story.fail(hour) for hour in (1, 2)] == [None, None]
    assert story.end().unknown == 2
    cooling = story.fail(0, version="3", tenure=2, earlier=("2", "1"), page=2)
    assert cooling is not None and cooling.code == "cooldown"
    again = story.fail(3, version="3", tenure=2, earlier=("2", "1"), page=2)
    # Version 2 was left because it was worse: it is no target any more.
    assert again is not None and (again.would, again.targets) == (Would.ROLL_BACK, ("1",))
    assert story.end().unknown == 2


def test_a_target_that_was_left_before_is_only_proposed() -> None:
    story = Story()
    story.fail(0)
    asked = story.fail(5, version="1", tenure=2, earlier=("2",), page=2)
    assert asked is not None
    assert (asked.would, asked.to_version) == (Would.PROPOSE, "2")
    assert story.fail(6, version="1", tenure=2, earlier=("2",), page=2) is None
    assert story.end().unknown == 0


@pytest.mark.parametrize(
    ("known", "code"),
    [
        (Known(freezes=[Freeze(None, "ann", "audit", T0)]), "frozen"),
        (Known(moves=[Move("1", "2", T0 + HOUR / 2, True)]), "cooldown"),
        (Known(made=[T0 + HOUR / 2] * 3), "fleet_cap"),
    ],
)
def test_guards_hold_it_back_before_anything_is_proved(known: Known, code: str) -> None:
    story = Story(known=lambda at: known)
    refused = story.fail(0)
    assert refused is not None and (refused.would, refused.code) == (Would.REFUSE, code)
    assert story.proofs == []
    asking = Story(replace(MONITOR, reaction=Reaction.PROPOSE), lambda at: known)
    proposed = asking.fail(0)
    assert proposed is not None and (proposed.code == "frozen") is (code == "frozen")


def test_a_move_that_was_really_made_and_would_have_been_is_counted_once() -> None:
    real = [Move("2", "1", T0 + 1.5 * HOUR, True), Move("1", "3", T0 + 3 * HOUR, False)]
    known = [Known(moves=real[:n], made=[T0 + 1.5 * HOUR][:n]) for n in (0, 2)]
    story = Story(known=lambda at: known[at > T0 + 2 * HOUR])
    first = story.fail(0)
    second = story.fail(6, version="3", tenure=3, page=2)
    assert [one.would for one in (first, second) if one] == [Would.ROLL_BACK, Would.ROLL_BACK]
    # Two of its own in a day, none of them twice; a third is one too many.
    third = story.fail(9, version="4", tenure=5, page=3)
    assert third is not None and third.code == "flapping"
    assert "2 times" in third.why
