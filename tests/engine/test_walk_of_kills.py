"""The process is killed (-9) after every step of the straight line and started again: the story stays the same.

Here on SQLite; `test_kills_in_a_move` kills on PostgreSQL, and `make bench-rollback` on both.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from bell import Bell
from kills import LATER, Nursery, alias_writes, note_alias_writes
from sqlalchemy import select
from world import World

from controlplane.store import Store
from controlplane.store.tables import DeliveryRow, EvidenceRow, FollowupRow, IncidentRow, RunRow, TransitionRow
from controlplane.store.tables_acts import ActionRow, HoldingRow

STEPS = [
    "registered",
    "reference built",
    "claimed",
    "resolved",
    "frozen",
    "measured",
    "concluded",
    "recorded",
    "sent",
    "delivered",
    "replayed",
    "accepted",
    "snapshot kept",
    "moving",
    "moved",
    "move recorded",
    "followed up",
]


def live(nursery: Nursery, world: World, deadly_step: str = "") -> int:
    """Start a scheduler that dies after the step, and wait for its end; returns its exit code."""
    code = nursery.end(nursery.start(world, deadly_step))
    world.clock += LATER
    return code


def test_a_kill_after_every_step_leaves_one_incident_one_move_and_every_notification(
    make_world: Callable[..., World], bell: Bell, nursery: Nursery
) -> None:
    world = make_world(checks=("drift",))
    world.publish(0, "1")
    assert live(nursery, world) == 0
    note_alias_writes(world)
    world.release("2")
    world.publish(1, "2", shift=3.0)

    for step in STEPS[1:]:
        assert live(nursery, world, step) == -signal.SIGKILL, f"nothing was left to die at {step!r}"
    assert live(nursery, world) == 0

    world.publish(2, world.champion())
    for step in ("claimed", "concluded", "recorded", "sent"):
        assert live(nursery, world, step) == -signal.SIGKILL, f"nothing was left to die at {step!r}"
    assert live(nursery, world) == 0

    assert world.champion() == "1"
    assert alias_writes(world) == ["2", "1"]
    store = Store(world.settings.database)
    with store.begin() as session:
        runs = session.scalars(select(RunRow).order_by(RunRow.window_end)).all()
        incidents = session.scalars(select(IncidentRow)).all()
        actions = session.scalars(select(ActionRow)).all()
        transitions = session.scalars(select(TransitionRow)).all()
        deliveries = session.scalars(select(DeliveryRow)).all()
        holdings = session.scalars(select(HoldingRow).order_by(HoldingRow.sequence)).all()
        moves = session.scalars(select(EvidenceRow).where(EvidenceRow.kind == "change_record")).all()
        reports = session.scalars(select(FollowupRow)).all()
    store.close()
    assert [(run.state, run.outcome) for run in runs] == [
        ("recorded", "PASS"),
        ("recorded", "FAIL"),
        ("recorded", "PASS"),
    ]
    assert sorted((incident.cause, incident.state) for incident in incidents) == [
        ("drift", "closed"),
        ("performance", "closed"),
    ]
    assert [(action.state, action.from_version, action.to_version) for action in actions] == [("verified", "2", "1")]
    assert [holding.version for holding in holdings] == ["1", "2", "1"]
    assert len(moves) == 1
    assert [report.state for report in reports] == ["done"]
    assert {delivery.state for delivery in deliveries} == {"sent"}
    assert len(deliveries) == 2 * len(transitions)
    assert bell.keys() == {transition.key for transition in transitions}
