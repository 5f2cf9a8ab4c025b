"""What a backtest says the reaction would have done: as runs plan and prove it, and nothing kept or moved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bell import Bell
from sqlalchemy import select
from world import HOUR, T0, World

from controlplane.cli.main import call
from controlplane.domain.monitor import Monitor, Reaction, Window
from controlplane.engine import cycle
from controlplane.engine.backtest import replay, windows_of
from controlplane.engine.context import Context
from controlplane.engine.policy import Compared, Policy, Would
from controlplane.store import actions
from controlplane.store.rows import Row
from controlplane.store.tables_acts import ReplayRow

MakeWorld = Callable[..., World]
HOURS = 10
END = T0 + HOURS * HOUR


def contents(context: Context) -> dict[str, list[str]]:
    with context.store.begin() as session:
        return {table.name: sorted(map(repr, session.execute(select(table)))) for table in Row.metadata.sorted_tables}


def aliases(world: World) -> list[tuple[str, str, dict[str, str]]]:
    """Everything of the registered model that a move or a quarantine could change."""
    model = world.client().get_registered_model("scorer")
    versions = world.client().search_model_versions("name='scorer'")
    return [(str(model.aliases), "", {}), *sorted((one.version, one.run_id, one.tags) for one in versions)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[World]:
    """Ten hours that were only watched: version 1 answered badly in hours 3 and 4, and in hours 6, 7 and 8 the worse
    version 2 held the alias, until somebody put version 1 back."""
    made = World(tmp_path_factory.mktemp("policy") / "world", registry_template, reaction="observe")
    bell = Bell()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BELL_URL", bell.url)
        with made.open() as context:
            for hour in range(HOURS):
                holder = "2" if hour in (6, 7, 8) else "1"
                if holder != made.champion():
                    made.release(holder)
                made.publish(hour, holder, answered_like="2" if hour in (3, 4) else "")
                cycle.tick(context)
        yield made
    bell.close()


@pytest.fixture(scope="module")
def context(world: World) -> Iterator[Context]:
    """The wired engine, once for all tests."""
    with world.open() as opened:
        yield opened


def rehearsed(context: Context, reaction: Reaction, **changes: Any) -> Policy:
    monitor = replace(context.monitors["scorer"], reaction=reaction, **changes)
    policy = replay(context, monitor, windows_of(context, monitor, 1, END)).policy
    assert policy is not None
    return policy


def test_every_page_gets_its_plan_its_proof_and_what_would_have_come_of_it(world: World, context: Context) -> None:
    before, registered = contents(context), aliases(world)
    policy = rehearsed(context, Reaction.ROLLBACK)
    refused, moved = policy.responses
    assert (refused.page, refused.would, refused.code, refused.windows) == (1, Would.REFUSE, "no_target", 2)
    assert (refused.window, refused.until) == (Window(T0 + 3 * HOUR, T0 + 4 * HOUR), T0 + 5 * HOUR)
    assert (refused.from_version, refused.to_version, refused.proof) == ("1", None, ())
    assert (moved.page, moved.would, moved.code) == (2, Would.ROLL_BACK, None)
    assert (moved.from_version, moved.to_version, moved.targets) == ("2", "1", ("1",))
    assert (moved.check, moved.measures, moved.at) == ("performance", ("accuracy",), T0 + 7 * HOUR)
    (proof,) = moved.proof
    assert (proof.version, proof.measure, proof.n, proof.attribution) == ("1", "accuracy", 400, "version regressed")
    assert proof.current < 0.6 < 0.9 < proof.candidate and proof.low < proof.difference < proof.high < 0
    assert "on the same 400 rows" in moved.why
    assert (policy.reaction, policy.counts) == (
        Reaction.ROLLBACK,
        {Would.ROLL_BACK: 1, Would.PROPOSE: 0, Would.REFUSE: 1},
    )
    # Hours 7 and 8 were answered by the version that would have been gone; hour 9 is version 1's in truth too.
    assert policy.unknown == 2
    assert (contents(context), aliases(world)) == (before, registered)
    assert list(world.settings.home.glob("backtest-*")) == []


def test_a_proposal_waits_without_an_answer_and_is_made_again_once_it_ran_out(context: Context) -> None:
    guards = context.monitors["scorer"].guards
    day = rehearsed(context, Reaction.PROPOSE)
    assert [(one.would, one.window.start) for one in day.responses] == [
        (Would.REFUSE, T0 + 3 * HOUR),
        (Would.PROPOSE, T0 + 6 * HOUR),
    ]
    hasty = rehearsed(context, Reaction.PROPOSE, guards=replace(guards, approval_expires=timedelta(hours=2)))
    assert [one.window.start for one in hasty.responses if one.would is Would.PROPOSE] == [
        T0 + 6 * HOUR,
        T0 + 8 * HOUR,
    ]
    assert hasty.unknown == 0


def test_a_target_that_cannot_be_used_is_refused_and_the_next_one_proved(context: Context) -> None:
    policy = rehearsed(context, Reaction.ROLLBACK, rollback_targets=("99",))
    refused, moved = policy.responses
    assert (refused.code, refused.targets, refused.windows) == ("not_loaded", ("99",), 2)
    assert "version 99 cannot be used" in refused.why
    assert (moved.targets, moved.to_version, {one.version for one in moved.proof}) == (("99", "1"), "1", {"1"})


def test_a_monitor_that_only_observes_shows_nothing_unless_asked_what_if(
    world: World, context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    monitor: Monitor = context.monitors["scorer"]
    assert replay(context, monitor, windows_of(context, monitor, 1, END)).policy is None
    asked = ["backtest", "scorer", "--days", "1", "--until", END.isoformat()]
    assert call(*asked) == 0
    assert "it only observes, so it would have done nothing; ask with --reaction" in capsys.readouterr().out
    assert call(*asked, "--reaction", "rollback") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "what the reaction rollback would have done" in text
    assert "refuse: no_target" in text and "2 → 1" in text
    assert "would have rolled back once, proposed 0 times and refused once (no_target 1); nothing was moved" in text
    assert "2 windows, until the alias was really moved, are passed over" in text
    assert call(*asked, "--reaction", "rollback", "--json") == 0
    told = json.loads(capsys.readouterr().out)["backtest"]["policy"]
    assert (told["reaction"], told["unknown"], told["counts"]["roll back"]) == ("rollback", 2, 1)
    assert told["responses"][1]["proof"][0]["attribution"] == "version regressed"
    assert call(*asked, "--reaction", "hope") == 2
    assert "Invalid value for '--reaction'" in " ".join(capsys.readouterr().err.split())


def test_it_says_of_runs_that_reacted_what_they_did(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        for hour in range(8):
            if hour in (2, 5):
                world.release("2")
            world.publish(hour, world.champion())
            # A scheduler is never there to the second.
            world.clock += timedelta(seconds=7)
            cycle.tick(context)
        with context.store.begin() as session:
            stored = list(reversed(actions.find_action(session, "default", "")))
            proofs = [actions.replays_of(session, row.id) for row in stored]
        assert [row.code for row in stored] == ["", "cooldown", "flapping", "flapping"]
        assert stored[0].state == "verified"
        monitor = context.monitors["scorer"]
        policy = replay(context, monitor, windows_of(context, monitor, 1)).policy
        assert policy is not None
        told = policy.responses
        assert [(one.would, one.code, one.windows) for one in told] == [
            (Would.ROLL_BACK, None, 1),
            (Would.REFUSE, "cooldown", 1),
            (Would.REFUSE, "flapping", 2),
        ]
        for one, row, proof in zip(told, stored, proofs, strict=False):
            assert (one.at, one.from_version, one.why) == (row.planned_at, row.from_version, row.why[-len(one.why) :])
            assert (one.check, ",".join(one.measures), ",".join(one.targets)) == (row.check, row.measures, row.targets)
            assert [_numbers(each) for each in one.proof] == [_numbers(each) for each in proof]
        assert told[0].to_version == stored[0].to_version == "1"
        assert policy.unknown == 0


def _numbers(one: Compared | ReplayRow) -> tuple[object, ...]:
    return one.version, one.measure, one.current, one.candidate, one.difference, one.low, one.high, one.n
