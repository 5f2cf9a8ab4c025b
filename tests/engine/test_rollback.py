"""A rollback from its plan to its end, and everything that can come between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from world import World

from controlplane.engine import cycle, register
from controlplane.engine.context import Context
from controlplane.store import actions, incidents, intents
from controlplane.store.intents import IntentKind
from controlplane.store.tables_acts import ActionRow

MakeWorld = Callable[..., World]


def the_action(context: Context) -> ActionRow:
    with context.store.begin() as session:
        return actions.find_action(session, "default", "")[0]


def events(context: Context) -> list[str]:
    with context.store.begin() as session:
        (incident,) = [row for row in incidents.find_incident(session, "default", "") if row.cause == "performance"]
        return [change.event for change, _ in incidents.story(session, incident.id)]


def ask(context: Context, kind: IntentKind, target: str) -> None:
    with context.store.begin() as session:
        bound = actions.find_action(session, "default", target)[0].proof_digest
        intents.store_intent(session, "default", kind, target, "ann", "asked", context.now(), bound=bound)


def regress(world: World, context: Context) -> None:
    """One good hour of version 1, then one bad one of version 2, which somebody released."""
    register.register(context)
    world.publish(0, "1")
    cycle.tick(context)
    world.release("2")
    world.publish(1, "2")
    cycle.tick(context)


def test_a_move_by_somebody_else_before_ours_is_never_overwritten(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        action = the_action(context)
        third = world.client().copy_model_version("models:/scorer/1", "scorer").version
        world.release(str(third))
        ask(context, IntentKind.APPROVE, action.id)
        cycle.begin(context)
        action = the_action(context)
        assert action.state == "superseded"
        assert f"version {third}" in action.why
        assert world.champion() == str(third)
        assert events(context) == ["opened", "rollback_proposed", "rollback_superseded"]


def test_a_proposal_that_nobody_answers_runs_out(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        world.clock += timedelta(hours=25)
        cycle.begin(context)
        assert the_action(context).state == "expired"
        assert world.champion() == "2"
        with context.store.begin() as session:
            assert incidents.open_incidents(session, "default", "scorer")["performance"].severity.value == "critical"


def test_a_target_that_fails_too_is_said_and_the_alias_is_not_moved_to_and_fro(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        regress(world, context)
        assert world.champion() == "1"
        # The hour after the move, version 1 answers as badly: its logged predictions look at the wrong feature.
        world.publish(2, "1", answered_like="2")
        cycle.tick(context)
        failed = [row for row in all_actions(context) if row.state == "failed"]
        assert [row.to_version for row in failed] == ["1"]
        assert "version 1 fails performance too" in failed[0].why
        assert world.champion() == "1"
        # One more bad hour: there is nothing left to go back to, and that is said.
        world.publish(3, "1", answered_like="2")
        cycle.tick(context)
        assert [row.code for row in all_actions(context) if row.state == "refused"] == ["no_target"]
        assert world.champion() == "1"


def all_actions(context: Context) -> list[ActionRow]:
    with context.store.begin() as session:
        return actions.find_action(session, "default", "")


@pytest.mark.parametrize(("step", "state"), [("intents applied", "accepted"), ("moving", "moving")])
def test_a_registry_that_goes_away_in_the_middle_of_a_move_is_asked_again(
    make_world: MakeWorld, step: str, state: str
) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        away = world.home / "away.db"
        ask(context, IntentKind.APPROVE, the_action(context).id)
        there = context.registry.registry_uri

        def connect(uri: str) -> None:
            context.registry._connected = None
            context.registry.registry_uri = context.registry.tracking_uri = uri

        # The far end of the network: the same registry under an address where nobody answers.
        world.on[step] = lambda: connect(f"sqlite:///{away}")
        cycle.begin(context)
        action = the_action(context)
        assert (action.state, action.attempt) == (state, 1)
        assert not away.exists()
        world.on.clear()
        connect(there)
        world.clock += timedelta(minutes=5)
        cycle.begin(context)
        assert the_action(context).state == "moved"
        assert world.champion() == "1"


def test_an_alias_that_another_of_us_is_moving_is_waited_for(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        action = the_action(context)
        with context.store.begin() as session:
            lease = timedelta(minutes=2)
            actions.take_alias_lease(session, "default", action.registry_key, "another", context.now(), lease)
        ask(context, IntentKind.APPROVE, action.id)
        cycle.begin(context)
        assert the_action(context).state == "accepted"
        assert world.champion() == "2"
        world.clock += timedelta(minutes=3)
        cycle.begin(context)
        assert the_action(context).state == "moved"


def test_only_watching_plans_nothing(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    with world.open() as context:
        regress(world, context)
        assert all_actions(context) == []
        assert world.champion() == "2"


def test_an_approval_counts_once_and_only_for_what_waits(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        target = the_action(context).id
        for kind in (IntentKind.APPROVE, IntentKind.REJECT, IntentKind.APPROVE):
            ask(context, kind, target)
        cycle.begin(context)
        assert the_action(context).state == "moved"
        assert the_action(context).approved_by == "ann"
        assert events(context).count("rollback_made") == 1


def test_a_version_that_comes_back_starts_a_count_of_its_own(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text() + "tolerance: {fails: 1, blind: 2, recover: 2}\n")
    with world.open() as context:
        regress(world, context)
        for hour in (2, 3):
            world.publish(hour, "1")
            cycle.tick(context)
            with context.store.begin() as session:
                still_open = "performance" in incidents.open_incidents(session, "default", "scorer")
            assert still_open == (hour == 2)
