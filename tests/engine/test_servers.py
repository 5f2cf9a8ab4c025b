"""Servers that cannot serve what their alias holds open an incident of the monitors that watch it, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from world import World

from controlplane.engine import cycle, register
from controlplane.engine.context import Context
from controlplane.store import incidents, servers

MakeWorld = Callable[..., World]
WHY = "version 2 could not be loaded: no such library"


def tell(context: Context, served: str, wanted: str, why: str = "", server: str = "host:1") -> None:
    key = context.registry.key(context.monitors["scorer"].model)
    with context.store.begin() as session:
        servers.store_word(session, "default", server, key, "live", wanted, served, why, context.now())


def causes(context: Context) -> dict[str, str]:
    with context.store.begin() as session:
        found = incidents.open_incidents(session, "default", "scorer")
        return {cause: incident.title for cause, incident in found.items()}


def told(context: Context) -> list[str]:
    """What happened to all incidents of servers, oldest first."""
    with context.store.begin() as session:
        rows = [row for row in incidents.find_incident(session, "default", "") if row.cause == "serving"]
        return [change.event for row in reversed(rows) for change, _ in incidents.story(session, row.id)]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(reaction="observe", checks=("quality",))


def test_a_version_that_is_not_served_opens_one_incident_and_its_end_closes_it(world: World) -> None:
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        tell(context, "1", "2", WHY)
        for _ in range(2):
            cycle.tick(context)
        assert causes(context) == {"serving": f"host:1 answers with version 1: {WHY}"}
        tell(context, "2", "2")
        tell(context, "1", "2", WHY, server="host:2")
        cycle.tick(context)
        assert list(causes(context)) == ["serving"]
        tell(context, "2", "2", server="host:2")
        cycle.tick(context)
        assert causes(context) == {}
        assert told(context) == ["opened", "closed"]
        world.clock += timedelta(seconds=1)
        tell(context, "1", "2", WHY)
        cycle.tick(context)
        assert told(context) == ["opened", "closed", "opened"]


def test_a_server_that_was_stopped_or_fell_silent_opens_nothing(world: World) -> None:
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        tell(context, "1", "2", WHY)
        world.clock += timedelta(minutes=3)
        cycle.tick(context)
        assert causes(context) == {}
        tell(context, "1", "2", WHY)
        with context.store.begin() as session:
            servers.forget(session, "default", "host:1")
        cycle.tick(context)
        assert causes(context) == {}
