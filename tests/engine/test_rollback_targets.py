"""Which versions a rollback may go back to, and what is kept before anything is moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from test_rollback import all_actions, ask, events, the_action
from world import World

from controlplane.engine import cycle, register
from controlplane.engine.context import Context
from controlplane.engine.quarantine import TAG
from controlplane.store import actions, incidents
from controlplane.store.intents import IntentKind
from controlplane.store.tables import AttachmentRow
from controlplane.store.tables_acts import VersionRow

MakeWorld = Callable[..., World]


def declare(world: World, *targets: str, more: str = "") -> None:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text() + f"rollback_targets: [{', '.join(map(repr, targets))}]\n{more}")


def regress_to(world: World, context: Context) -> None:
    """Version 2 from the first hour on: one good hour, answered as version 1 would, and a bad one."""
    register.register(context)
    world.publish(0, "2", answered_like="1")
    cycle.tick(context)
    world.publish(1, "2")
    cycle.tick(context)


def test_a_target_whose_artefacts_changed_since_it_was_seen_is_refused(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    good, folder = world.copy("1")
    world.release("2")
    declare(world, good)
    with world.open() as context:
        register.register(context)
        world.publish(0, "2", answered_like="1")
        cycle.tick(context)
        [code] = folder.rglob("scorer_a.py")
        code.write_text(code.read_text() + "\n# another hand\n")
        world.publish(1, "2")
        cycle.tick(context)
        action = the_action(context)
        assert (action.state, action.code) == ("refused", "artefact_changed"), action.why
        assert f"the artefacts of version {good} are not those first seen at 2026-03-01 01:00 UTC" in action.why
        assert world.champion() == "2"
        assert events(context) == ["opened", "rollback_refused"]
        with context.store.begin() as session:
            assert incidents.open_incidents(session, "default", "scorer")["performance"].severity.value == "critical"


def test_a_target_with_another_signature_is_refused(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    other, folder = world.copy("1")
    described = folder / "MLmodel"
    described.write_text(described.read_text().replace('"name": "b"', '"name": "c"'))
    world.release("2")
    declare(world, other)
    with world.open() as context:
        regress_to(world, context)
        action = the_action(context)
        assert (action.state, action.code) == ("refused", "other_signature")
        assert world.champion() == "2"


@pytest.mark.parametrize("broken", ["no artefacts", "no such version"])
def test_a_target_that_cannot_be_opened_is_refused(make_world: MakeWorld, broken: str) -> None:
    world = make_world(reaction="rollback")
    target = "9"
    if broken == "no artefacts":
        target, folder = world.copy("1")
        (folder / "MLmodel").unlink()
    world.release("2")
    declare(world, target)
    with world.open() as context:
        regress_to(world, context)
        action = the_action(context)
        assert (action.state, action.code) == ("refused", "not_loaded")
        assert f"version {target} cannot be used" in action.why
        assert world.champion() == "2"


def test_where_the_first_target_is_no_good_the_next_one_is_taken(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    as_bad, _ = world.copy("2")
    world.release("2")
    declare(world, as_bad, "1")
    with world.open() as context:
        regress_to(world, context)
        action = the_action(context)
        assert (action.state, action.to_version, action.targets) == ("moved", "1", f"{as_bad},1")
        assert world.champion() == "1"
        with context.store.begin() as session:
            proof = {row.version: row.attribution for row in actions.replays_of(session, action.id)}
        assert proof["1"] == "version regressed"
        assert proof[as_bad] != "version regressed"


def test_what_the_move_rests_on_is_kept_before_the_alias_is_touched(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(reaction="rollback")
    world.release("2")
    declare(world, "1")
    held: list[str] = []
    world.on["snapshot kept"] = lambda: held.append(world.champion())
    with world.open() as context:
        regress_to(world, context)
        action = the_action(context)
        assert (held, world.champion()) == (["2"], "1")
        with context.store.begin() as session:
            kept = actions.snapshot_of(session, action.id)
            assert kept is not None
            rows = session.query(AttachmentRow).filter_by(kind=f"snapshot_rows {action.id}").one()
            seen = {row.version: row.digest for row in session.query(VersionRow)}
        into = tmp_path / "fetched"
        into.mkdir()
        said = context.registry.fetch_artifact(kept.uri, into).read_bytes()
        assert sha256(said).hexdigest() == kept.digest
        manifest = json.loads(said)
        assert (manifest["from"], manifest["to"], manifest["action"]) == ("2", "1", action.id)
        assert {version: one["digest"] for version, one in manifest["versions"].items()} == seen
        assert {one["outcome"] for one in manifest["findings"]} == {"FAIL", "PASS", None}
        sample = context.registry.fetch_artifact(rows.uri, into)
        assert manifest["run"]["sample"] == rows.digest
        assert sample.read_bytes() == context.sample_path(rows.digest).read_bytes()


def test_a_version_that_was_rolled_back_from_comes_back_only_when_a_person_agrees(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        world.release("2")
        world.publish(1, "2")
        cycle.tick(context)
        assert world.champion() == "1"
        tags = world.client().get_model_version("scorer", "2").tags
        assert tags[TAG] == f"rolled back from by scorer, rollback {the_action(context).id}"
        world.publish(2, "1")
        cycle.tick(context)
        assert the_action(context).state == "verified"
        # Somebody releases a third version, which is as bad; version 1 is deleted, so that only version 2 is left.
        third, _ = world.copy("2")
        world.release(third)
        world.client().delete_model_version("scorer", "1")
        world.clock += timedelta(days=2)
        world.publish(50, third)
        cycle.tick(context)
        ended = all_actions(context)[0]
        assert (ended.state, ended.code) == ("refused", "not_loaded")
        assert world.champion() == third


def test_a_quarantined_version_that_is_proved_waits_for_a_person_and_loses_its_mark(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        register.register(context)
        world.publish(0, "2", answered_like="1")
        world.release("2")
        cycle.tick(context)
        world.release("1")
        # Version 1 is blamed for rows that it did not answer well, by a log that looks at the wrong feature.
        world.publish(1, "1", answered_like="2")
        cycle.tick(context)
        assert [row.state for row in all_actions(context)] == ["refused"]


def test_an_approval_of_an_action_that_was_changed_since_is_refused(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    world.release("2")
    declare(world, "1")
    with world.open() as context:
        regress_to(world, context)
        shown = the_action(context)
        assert shown.state == "proposed"
        with context.store.begin() as session:
            row = actions.find_action(session, "default", shown.id)[0]
            row.to_version = "2"
        ask(context, IntentKind.APPROVE, shown.id)
        cycle.begin(context)
        assert the_action(context).state == "proposed"
        assert world.champion() == "2"


def test_an_approval_after_the_proposal_ran_out_moves_nothing(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    world.release("2")
    declare(world, "1")
    with world.open() as context:
        regress_to(world, context)
        world.clock += timedelta(hours=24)
        ask(context, IntentKind.APPROVE, the_action(context).id)
        cycle.begin(context)
        assert the_action(context).state == "expired"
        assert world.champion() == "2"
        assert events(context) == ["opened", "rollback_proposed", "rollback_refused"]


def test_a_proved_action_that_is_changed_before_the_move_is_not_made(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    world.release("2")
    declare(world, "1")
    with world.open() as context:

        def tamper() -> None:
            with context.store.begin() as session:
                actions.find_action(session, "default", "")[0].measures = "brier"

        world.on["snapshot kept"] = tamper
        regress_to(world, context)
        action = the_action(context)
        assert (action.state, action.code) == ("refused", "changed")
        assert world.champion() == "2"
