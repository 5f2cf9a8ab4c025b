"""Rollbacks as rows: each step is claimed under a fence, and one of us at a time may move an alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from store_samples import HOUR, KEY, LEASE, PLAN, REFUSED, T0, led, monitor, nobody_gone, opened, planned, recorded

from controlplane.domain.action import ActionState, Proof, Refusal, Refused
from controlplane.domain.attribution import Replay
from controlplane.domain.incident import Event, Severity, Transition
from controlplane.domain.monitor import RunKind
from controlplane.domain.verdict import Finding, Measure, Outcome
from controlplane.errors import LeaseLost
from controlplane.store import Session, Store, actions, incidents
from controlplane.store.tables_acts import ActionRow

SCORER = monitor()
FINAL = sorted(set(ActionState) - {ActionState(state) for state in actions.LIVE})


def take(session: Session, owner: str = "first", now: Any = T0, is_gone: Any = nobody_gone) -> list[ActionRow]:
    return actions.claim_actions(session, "default", owner, now, LEASE, is_gone)


def test_a_plan_becomes_an_action_to_prove_and_a_refusal_is_final(store: Store) -> None:
    with store.begin() as session:
        plan = planned(session, SCORER)
        refusal = planned(session, SCORER, 1, REFUSED, "drift")
        assert (plan.state, plan.from_version, plan.to_version, plan.measures) == ("planned", "2", "1", "accuracy")
        assert (refusal.state, refusal.code, refusal.to_version) == ("refused", "world_changed", None)
        assert (refusal.ended_at, refusal.why) == (T0, "the inputs changed")
    with store.begin() as session:
        assert [row.id for row in take(session)] == [plan.id]


def test_a_run_plans_one_rollback_an_incident(store: Store) -> None:
    with store.begin() as session:
        row = planned(session, SCORER)
    with pytest.raises(IntegrityError), store.begin() as session:
        same = {column.key: getattr(row, column.key) for column in ActionRow.__table__.columns}
        session.add(ActionRow(**same | {"id": "another"}))


def test_two_processes_that_take_actions_at_once_share_them_without_a_double(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    with store.begin() as session:
        made = {planned(session, monitor(f"scorer-{number}"), number).id for number in range(10)}
    first, second = race("claim_actions", store_url)
    assert {*first, *second} == made
    assert len(first) + len(second) == 10


@pytest.mark.parametrize("how", ["the lease ran out", "the owner is gone"])
def test_an_action_of_the_dead_is_taken_over_and_its_old_owner_is_out(store: Store, how: str) -> None:
    now = T0 + LEASE if how == "the lease ran out" else T0
    with store.begin() as session:
        planned(session, SCORER)
        [slow] = take(session)
        assert take(session, "second") == []
    with store.begin() as session:
        [quick] = take(session, "second", now, nobody_gone if now > T0 else "first".__eq__)
        assert quick.fence == slow.fence + 1
    with pytest.raises(LeaseLost, match="was taken over"), store.begin() as session:
        transition = Transition("performance", Event.ROLLBACK_MADE, "moved", Severity.WARNING, slow.incident_id)
        incidents.store_transition(session, SCORER, transition, T0, slow.run_id, slow.id)
        led(session, slow, ActionState.MOVED, moved_at=T0)
    with store.begin() as session:
        row = session.get_one(ActionRow, slow.id)
        assert (row.state, row.owner, row.moved_at) == ("planned", "second", None)
        assert [change.event for change, _ in incidents.story(session, slow.incident_id)] == ["opened"]
        actions.step_action(session, quick, ActionState.ACCEPTED)


def test_a_step_frees_the_action_for_the_next_process_unless_it_is_kept(store: Store) -> None:
    with store.begin() as session:
        planned(session, SCORER)
        [row] = take(session)
    with store.begin() as session:
        led(session, row, ActionState.MOVING, release=False, gap_seconds=0.006)
        assert take(session, "second") == []
    with store.begin() as session:
        led(session, row, ActionState.MOVED, moved_at=T0)
        [next_row] = take(session, "second")
        assert (next_row.state, next_row.owner, next_row.gap_seconds) == ("moved", "second", 0.006)


def test_a_step_that_has_to_wait_is_taken_up_when_its_time_has_come(store: Store) -> None:
    with store.begin() as session:
        planned(session, SCORER)
        [row] = take(session)
        again = T0 + timedelta(seconds=20)
        actions.step_action(session, row, ActionState.PLANNED, release=False, attempt=1, lease_expires=again)
    with store.begin() as session:
        assert take(session, now=again - timedelta(microseconds=1)) == []
        [row] = take(session, now=again)
        assert row.attempt == 1


@pytest.mark.parametrize("state", FINAL)
def test_an_action_that_ended_is_nobodys_to_take(store: Store, state: ActionState) -> None:
    with store.begin() as session:
        planned(session, SCORER)
        [row] = take(session)
        led(session, row, state, ended_at=T0)
        assert take(session, now=T0 + HOUR) == []


def test_of_two_processes_that_want_to_move_an_alias_first_exactly_one_may(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    from controlplane.store.tables_acts import AliasLeaseRow

    for _ in range(10):
        assert sorted(race("take_alias_lease", store_url)) == [False, True]
        with store.begin() as session:
            session.query(AliasLeaseRow).delete()


def test_an_alias_lease_keeps_others_out_until_it_ends(store: Store) -> None:
    def may(holder: str, now: Any = T0, key: str = KEY) -> bool:
        with store.begin() as session:
            return actions.take_alias_lease(session, "default", key, holder, now, LEASE)

    assert may("first")
    assert may("first", T0 + timedelta(minutes=1))  # the holder may renew it
    assert not may("second", T0 + LEASE)
    assert may("second", key="another alias")
    assert may("second", T0 + timedelta(minutes=1) + LEASE)
    assert not may("first", T0 + timedelta(minutes=1) + LEASE)


def test_a_freed_alias_lease_is_the_next_ones_at_once_and_only_its_holder_frees_it(store: Store) -> None:
    with store.begin() as session:
        assert actions.take_alias_lease(session, "default", KEY, "first", T0, LEASE)
        actions.free_alias_lease(session, "default", KEY, "second", T0)
        assert not actions.take_alias_lease(session, "default", KEY, "second", T0, LEASE)
        actions.free_alias_lease(session, "default", KEY, "first", T0)
        assert actions.take_alias_lease(session, "default", KEY, "second", T0, LEASE)


def test_no_plan_is_wanted_while_an_action_of_the_monitor_is_under_way(store: Store) -> None:
    with store.begin() as session:
        row = planned(session, SCORER)
        other = opened(session, SCORER, row.run_id, "drift")
        for state in (ActionState.PROPOSED, ActionState.ACCEPTED, ActionState.MOVING, ActionState.MOVED):
            actions.step_action(session, row, state)
            assert not actions.wants_plan(session, SCORER, row.incident_id, PLAN)
            assert not actions.wants_plan(session, SCORER, other, REFUSED)
        assert actions.wants_plan(session, monitor("other"), "none", PLAN)


def test_a_refusal_is_news_once(store: Store) -> None:
    with store.begin() as session:
        incident = planned(session, SCORER, 0, REFUSED).incident_id
        assert not actions.wants_plan(session, SCORER, incident, REFUSED)
        assert not actions.wants_plan(session, SCORER, incident, Refused(REFUSED.code, "in other words"))
        assert actions.wants_plan(session, SCORER, incident, Refused(Refusal.NO_TARGET, "nobody left"))
        assert actions.wants_plan(session, SCORER, incident, PLAN)


@pytest.mark.parametrize("state", FINAL)
def test_after_an_action_ended_another_is_wanted_unless_the_incident_is_a_persons(
    store: Store, state: ActionState
) -> None:
    with store.begin() as session:
        row = planned(session, SCORER)
        led(session, row, state, ended_at=T0)
        wanted = state not in (ActionState.REJECTED, ActionState.UNDONE)
        assert actions.wants_plan(session, SCORER, row.incident_id, PLAN) is wanted


def test_a_version_that_came_back_by_a_later_move_is_no_longer_in_quarantine(store: Store) -> None:
    with store.begin() as session:
        led(session, planned(session, SCORER), ActionState.MOVED, moved_at=T0 + HOUR)
        back = planned(session, SCORER, 1, replace(PLAN, from_version="1", targets=("2",)), current="1")
        assert actions.past_of(session, SCORER, KEY, []).rolled_back_from == {"2"}
        led(session, back, ActionState.MOVED, moved_at=T0 + 2 * HOUR)
        assert actions.past_of(session, SCORER, KEY, []).rolled_back_from == {"1"}


def test_the_past_tells_what_was_rolled_back_from_and_what_fails_by_itself(store: Store) -> None:
    with store.begin() as session:
        moved = planned(session, SCORER)
        led(session, moved, ActionState.MOVED, moved_at=T0 + HOUR)
        led(session, moved, ActionState.VERIFIED)
        still = planned(session, SCORER, 1, cause="evasion")
        led(session, still, ActionState.SUPERSEDED)
        drifted = opened(session, SCORER, still.run_id, "drift", "3")
    with store.begin() as session:
        past = actions.past_of(session, SCORER, KEY, ["performance", "evasion"])
        assert past.rolled_back_from == {"2"}
        assert past.failing == {"2"}
        assert actions.past_of(session, SCORER, KEY, ["drift"]).failing == {"3"}
        other = actions.past_of(session, SCORER, "another alias", ["performance"])
        assert other.rolled_back_from == set()
        closed = Transition("drift", Event.CLOSED, "well", Severity.WARNING, drifted)
        incidents.store_transition(session, SCORER, closed, T0, still.run_id)
        assert actions.past_of(session, SCORER, KEY, ["drift"]).failing == set()


def test_a_proof_is_kept_once_and_holds_only_finite_numbers(store: Store) -> None:
    fell = Measure("accuracy_vs_baseline", -0.2, 400, -0.25, float("-inf"))
    good = Replay("accuracy", 0.6, 0.8, -0.2, -0.25, -0.15, 400, False, own=fell)
    broken = Replay("f1", float("nan"), 0.8, float("nan"), float("-inf"), 0.1, 400, False)
    with store.begin() as session:
        row = planned(session, SCORER)
        for _ in range(2):
            actions.store_proofs(session, row, [Proof("1", (good, broken))], "d" * 64)
            session.flush()
    with store.begin() as session:
        [kept] = actions.replays_of(session, row.id)
        assert (kept.measure, kept.current, kept.candidate, kept.low, kept.n) == ("accuracy", 0.6, 0.8, -0.25, 400)
        assert kept.attribution == "version regressed"
        assert (kept.own, kept.own_low, kept.own_high, kept.other) == (-0.2, -0.25, None, None)


def moved_action(session: Session) -> ActionRow:
    row = planned(session, SCORER)
    led(session, row, ActionState.MOVED, moved_at=T0)
    return row


def answered(session: Session, hour: int, outcome: Outcome, version: str = "1", **more: Any) -> None:
    """A window that a version answered, recorded after the move."""
    finding = Finding("performance", outcome, "said", "accuracy", version=version)
    recorded(session, SCORER, hour, [finding], version, T0 + hour * HOUR, **more)


def test_the_move_is_judged_by_the_first_window_that_the_target_answered(store: Store) -> None:
    with store.begin() as session:
        row = moved_action(session)
        assert actions.outcomes_after_move(session, row) == set()
        answered(session, 1, Outcome.FAIL, "2")
        assert actions.outcomes_after_move(session, row) == set()
        answered(session, 2, Outcome.PASS)
        answered(session, 3, Outcome.FAIL)
        assert actions.outcomes_after_move(session, row) == {"PASS"}


def test_a_blind_window_after_the_move_is_passed_over(store: Store) -> None:
    with store.begin() as session:
        row = moved_action(session)
        answered(session, 1, Outcome.INCONCLUSIVE)
        answered(session, 2, Outcome.ERROR)
        assert actions.outcomes_after_move(session, row) == set()
        answered(session, 3, Outcome.FAIL)
        assert actions.outcomes_after_move(session, row) == {"FAIL"}


def test_a_manual_run_of_an_old_window_proves_nothing_about_the_move(store: Store) -> None:
    with store.begin() as session:
        row = moved_action(session)
        answered(session, 1, Outcome.PASS, kind=RunKind.MANUAL)
        assert actions.outcomes_after_move(session, row) == set()


def test_actions_are_found_by_the_beginning_of_their_id_newest_first(store: Store) -> None:
    with store.begin() as session:
        made = [planned(session, monitor(f"scorer-{number}"), number).id for number in range(3)]
        assert [row.id for row in actions.find_action(session, "default", "")] == made[::-1]
        assert [row.id for row in actions.find_action(session, "default", made[1])] == [made[1]]
        assert actions.find_action(session, "default", "%") == []
    with store.begin() as session:
        assert session.scalars(select(ActionRow.id).order_by(ActionRow.id)).all() == made
