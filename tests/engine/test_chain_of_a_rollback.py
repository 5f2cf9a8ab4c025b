"""A whole rollback, from the failing window to the verified move, under the chain."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select
from world import World

from controlplane.engine import cycle, register
from controlplane.store.audit import Verified, verify
from controlplane.store.chain import LINKS
from controlplane.store.tables_acts import ActionRow

MakeWorld = Callable[..., World]


def test_everything_a_rollback_writes_is_linked(make_world: MakeWorld, store_url: str) -> None:
    world = make_world(reaction="rollback", database=store_url)
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        world.release("2")
        world.publish(1, "2")
        cycle.tick(context)
        world.publish(2, "1")
        cycle.tick(context)
        with context.store.snapshot() as session:
            assert session.scalar(select(ActionRow.state)) == "verified"
            found = verify(session, "default")
            tables = set(session.scalars(select(LINKS.c.table)))
    assert isinstance(found, Verified), found
    assert {"cp_actions", "cp_replays", "cp_evidence", "cp_alias_holdings", "cp_versions"} <= tables
