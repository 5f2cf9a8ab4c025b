"""What is made of a drill's windows: when the fault was noticed, and what was done that it does not explain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controlplane.domain.monitor import Window
from controlplane.drills.story import Act, Phase, Seen, detection, false_actions

START = datetime(2026, 3, 1, tzinfo=UTC)


def seen(number: int, phase: Phase, opened: tuple[str, ...] = (), acts: tuple[Act, ...] = ()) -> Seen:
    window = Window(START + timedelta(hours=number), START + timedelta(hours=number + 1))
    return Seen(number, phase, window, "2", "PASS", "", {}, opened, (), acts, "2", 0.5, 1.5, 100)


def act(state: str) -> Act:
    return Act("a", state, "", "2", "1", "")


def test_the_fault_is_noticed_in_the_first_window_that_it_explains() -> None:
    told = [
        seen(1, Phase.BEFORE, ("drift",)),
        seen(2, Phase.FAULT, ("quality",)),
        seen(3, Phase.FAULT, ("drift", "quality")),
    ]
    found = detection(told, frozenset({"drift"}))
    assert found is not None
    assert (found.windows, found.causes, found.seconds) == (2, ("drift",), 0.5)
    assert detection(told, frozenset({"evasion"})) is None


def test_every_incident_outside_the_fault_is_false_and_inside_it_what_it_does_not_explain() -> None:
    told = [
        seen(1, Phase.BEFORE, ("drift",)),
        seen(2, Phase.FAULT, ("drift", "quality")),
        seen(3, Phase.AFTER, ("drift",)),
    ]
    assert false_actions(told, frozenset({"drift"}), frozenset()) == [
        "window 1 (healthy): incident drift",
        "window 2 (with the fault): incident quality",
        "window 3 (healthy): incident drift",
    ]


def test_a_rollback_is_false_unless_its_state_is_allowed_and_never_right_before_the_fault() -> None:
    allowed = frozenset({"moved", "verified"})
    told = [
        seen(1, Phase.BEFORE, acts=(act("moved"),)),
        seen(2, Phase.FAULT, acts=(act("moved"), act("refused"))),
        seen(3, Phase.AFTER, acts=(act("verified"), act("undone"))),
    ]
    assert false_actions(told, frozenset(), allowed) == [
        "window 1 (healthy): rollback moved",
        "window 3 (healthy): rollback undone",
    ]
