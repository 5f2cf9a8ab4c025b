"""What the store knows of moves: of one alias by anybody, of all aliases by us."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select
from store_samples import HOUR, KEY, T0, monitor, planned

from controlplane.domain.action import ActionState
from controlplane.domain.guards import Move
from controlplane.domain.monitor import RiskTier
from controlplane.store import Session, Store, moves, records
from controlplane.store.tables_acts import ActionRow


def acted(session: Session, name: str, hour: int, state: str, moved_at: datetime | None = None) -> ActionRow:
    """An action of a monitor of that name, whose alias is its own."""
    watched = monitor(name)
    records.store_monitor(session, watched, T0)
    row = planned(session, watched, hour)
    row.registry_key, row.state, row.moved_at = f"registry {name}@champion", state, moved_at
    session.flush()
    return row


def see(session: Session, version: str, hour: int, action_id: str | None = None, key: str = KEY) -> None:
    records.see_holder(session, "default", key, version, T0 + hour * HOUR, action_id)


def test_moves_of_an_alias_are_told_apart_by_who_made_them(store: Store) -> None:
    with store.begin() as session:
        action = planned(session, monitor())
        see(session, "1", 0)
        assert moves.of_alias(session, "default", KEY) == []
        see(session, "2", 1)
        see(session, "1", 2, action.id)
        action.moved_at = T0 + 2 * HOUR
        see(session, "2", 3)
        session.flush()
        assert moves.of_alias(session, "default", KEY) == [
            Move("1", "2", T0 + HOUR, ours=False),
            Move("2", "1", T0 + 2 * HOUR, ours=True),
            Move("1", "2", T0 + 3 * HOUR, ours=False),
        ]
        assert moves.of_alias(session, "another", KEY) == []


def test_a_move_of_ours_that_another_of_us_saw_first_is_still_ours(store: Store) -> None:
    with store.begin() as session:
        action = planned(session, monitor())
        see(session, "2", 0)
        see(session, "1", 1)
        see(session, "1", 2, action.id)
        action.moved_at = T0 + 2 * HOUR
        session.flush()
        assert [move for move in moves.of_alias(session, "default", KEY) if move.ours] == [
            Move("2", "1", T0 + 2 * HOUR, ours=True)
        ]
        assert moves.made_since(session, "default", T0) == [T0 + 2 * HOUR]


def test_moves_of_all_aliases_are_counted_once_there_and_once_back(store: Store) -> None:
    with store.begin() as session:
        there = acted(session, "first", 0, "undone", T0 + HOUR)
        see(session, "2", 0, key=there.registry_key)
        see(session, "1", 1, there.id, there.registry_key)
        see(session, "2", 3, there.id, there.registry_key)
        acted(session, "second", 1, "moved", T0 + 2 * HOUR)
        acted(session, "third", 2, "accepted")
        assert moves.made_since(session, "default", T0) == [T0 + HOUR, T0 + 2 * HOUR, T0 + 3 * HOUR]
        assert moves.made_since(session, "default", T0 + HOUR) == [T0 + 2 * HOUR, T0 + 3 * HOUR]
        assert moves.made_since(session, "another", T0) == []


def test_a_move_under_way_counts_for_others_and_not_for_itself(store: Store) -> None:
    with store.begin() as session:
        row = acted(session, "first", 0, "moving")
        acted(session, "second", 1, "moved", T0)
        assert moves.under_way(session, "default") == 1
        assert moves.under_way(session, "default", row.id) == 0


@pytest.mark.parametrize("state", list(ActionState))
def test_an_alias_is_out_from_the_moment_it_is_about_to_be_moved_until_its_end(
    store: Store, state: ActionState
) -> None:
    with store.begin() as session:
        row = acted(session, "first", 0, state.value, T0)
        out = state in (ActionState.MOVING, ActionState.MOVED, ActionState.UNDOING)
        assert moves.unverified(session, "default", RiskTier.MEDIUM, KEY) == (1 if out else 0)
        assert moves.unverified(session, "default", RiskTier.HIGH, KEY) == 0
        assert moves.unverified(session, "default", RiskTier.MEDIUM, row.registry_key) == 0


def test_two_processes_that_begin_a_move_at_once_see_each_other(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for attempt in range(5):
        with store.begin() as session:
            for row in session.scalars(select(ActionRow)):
                row.state = "failed"
            for number in range(2):
                acted(session, f"racer-{number}", attempt, "accepted")
        assert sorted(race("begin_move", store_url)) == [False, True]


def test_two_actions_on_one_alias_are_one_alias(store: Store) -> None:
    with store.begin() as session:
        acted(session, "first", 0, "moved", T0)
        acted(session, "second", 1, "moved", T0).registry_key = "registry first@champion"
        session.flush()
        assert moves.unverified(session, "default", RiskTier.MEDIUM, KEY) == 1
