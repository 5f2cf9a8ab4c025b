"""Guards on a real registry: what the store knows of moves holds the next one back, or lets it through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from world import HOUR, World

from controlplane.domain.monitor import Fleet, FreezeWindow, RiskTier
from controlplane.engine import cycle, guarding, register
from controlplane.engine.context import Context
from controlplane.store import actions, incidents, records
from controlplane.store.tables_acts import ActionRow

MakeWorld = Callable[..., World]
SECOND = timedelta(seconds=1)


def all_actions(context: Context) -> list[ActionRow]:
    with context.store.begin() as session:
        return actions.find_action(session, "default", "")


def regress(world: World, context: Context) -> None:
    """One good hour of version 1, then one bad one of version 2, which somebody released."""
    register.register(context)
    world.publish(0, "1")
    cycle.tick(context)
    world.release("2")
    world.publish(1, "2")
    cycle.tick(context)


@pytest.mark.parametrize(("reaction", "ends"), [("rollback", "refused"), ("propose", "proposed")])
def test_who_gives_the_alias_back_to_a_bad_version_is_asked_and_not_overruled(
    make_world: MakeWorld, reaction: str, ends: str
) -> None:
    world = make_world()
    with world.open() as context:
        regress(world, context)
        assert world.champion() == "1"
        world.publish(2, "1")
        cycle.tick(context)
        assert all_actions(context)[0].state == "verified"
        world.release("2")
    job = world.settings.jobs / "scorer.yaml"
    job.write_text(job.read_text().replace("reaction: rollback", f"reaction: {reaction}"))
    with world.open() as context:
        for hour in (3, 4):
            world.publish(hour, "2")
            cycle.tick(context)
        codes = [(row.state, row.code) for row in reversed(all_actions(context))]
        refused = [("refused", "cooldown"), ("refused", "flapping")] if ends == "refused" else [("proposed", "")]
        assert codes == [("verified", ""), *refused]
        assert world.champion() == "2"


def test_a_freeze_window_of_the_job_or_of_all_jobs_holds_and_ends(make_world: MakeWorld) -> None:
    world = make_world()
    early = FreezeWindow("0 0 1 3 *", 2 * HOUR, "the first of March")
    with world.open() as plain:
        context = replace(plain, fleet=Fleet(freeze_windows=(early,)))
        regress(world, context)
        # The window's last second: when it was over, the alias was moved.
        assert (world.champion(), [row.state for row in all_actions(context)]) == ("1", ["moved"])
        world.clock -= SECOND
        monitor = context.monitors["scorer"]
        own = replace(monitor, guards=replace(monitor.guards, freeze_windows=(early,)))
        with context.store.begin() as session:
            for one, held in ((context, monitor), (plain, own)):
                refused = guarding.hold(one, session, held, world.clock, "2", "1", approved=True)
                assert refused is not None
                assert refused.why == "a freeze window is open until 2026-03-01T02:00:00Z: the first of March"
                assert guarding.hold(one, session, held, world.clock + SECOND, "2", "1", approved=True) is None


def test_caps_count_what_the_whole_workspace_did(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        regress(world, context)
        monitor = context.monitors["scorer"]
        # Another monitor of the same tier, on an alias of its own.
        other = replace(monitor, name="other", model=replace(monitor.model, alias="shadow"))
        with context.store.begin() as session:
            records.store_monitor(session, other, world.clock)

            def code(fleet: Fleet, approved: bool = False, after: timedelta = 0 * HOUR) -> str:
                here = replace(context, fleet=fleet)
                now = world.clock + after
                refused = guarding.hold(here, session, other, now, "2", "1", approved=approved)
                return "" if refused is None else refused.code.value

            assert code(Fleet(most_per_hour=1)) == "fleet_cap"
            assert code(Fleet(most_per_hour=1), approved=True) == ""
            assert code(Fleet(most_per_hour=1), after=HOUR) == ""
            assert code(Fleet(most_per_hour=2)) == ""
            assert code(Fleet(blast_radius={RiskTier.MEDIUM: 1})) == "blast_radius"
            assert code(Fleet(blast_radius={RiskTier.MEDIUM: 2})) == ""
        world.publish(2, "1")
        cycle.tick(context)
        assert all_actions(context)[0].state == "verified"
        with context.store.begin() as session:
            assert (
                guarding.hold(
                    replace(context, fleet=Fleet(blast_radius={RiskTier.MEDIUM: 1})),
                    session,
                    other,
                    world.clock,
                    "2",
                    "1",
                )
                is None
            )


def test_a_detector_outlives_a_change_of_guards_and_starts_afresh_with_a_check(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    job = world.settings.jobs / "scorer.yaml"
    base = job.read_text() + "tolerance: {fails: 2, blind: 2, recover: 1}\n"

    def bad_hour(hour: int, text: str) -> bool:
        """Whether an incident was opened by one more failing window, judged by this job."""
        job.write_text(text)
        with world.open() as context:
            register.register(context)
            world.publish(hour, "1", answered_like="2")
            cycle.tick(context)
            with context.store.begin() as session:
                return "performance" in incidents.open_incidents(session, "default", "scorer")

    assert not bad_hour(0, base)
    assert not bad_hour(1, base.replace("min: 0.8", "min: 0.81"))
    assert bad_hour(2, base.replace("min: 0.8", "min: 0.81") + "guards: {most_moves: 1}\nrisk_tier: high\n")
