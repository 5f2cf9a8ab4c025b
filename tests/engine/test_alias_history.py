"""The registry's history as the engine keeps it: our moves, and those of others that no window saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bell import Bell
from sqlalchemy import select, update
from world import T0, World

from controlplane.cli.main import call
from controlplane.engine import cycle, references, register
from controlplane.engine.context import Context
from controlplane.store import Store, actions, intents
from controlplane.store.history import Tenure, history_of
from controlplane.store.intents import IntentKind
from controlplane.store.tables import EvidenceRow
from controlplane.store.tables_acts import ActionRow

MINUTE = timedelta(minutes=1)
MakeWorld = Callable[..., World]
Controlplane = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose environment this process has."""
    made = make_world(reaction="propose")
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def controlplane(capsys: pytest.CaptureFixture[str]) -> Controlplane:
    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = call(*argv)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def tenures(context: Context) -> list[Tenure]:
    with context.store.begin() as session:
        [found] = history_of(session, "default", "scorer@champion")
    return found


def roll_back(world: World, context: Context) -> str:
    """Version 2 is released, fails, and is taken back with an approval; the action's id."""
    register.register(context)
    world.publish(0, "1")
    cycle.tick(context)
    world.clock += 10 * MINUTE
    world.release("2")
    world.publish(1, "2")
    cycle.tick(context)
    with context.store.begin() as session:
        [row] = actions.find_action(session, "default", "")
        asked = (IntentKind.APPROVE, row.id, "ann", "agreed", context.now())
        intents.store_intent(session, "default", *asked, bound=row.proof_digest)
    world.clock += MINUTE
    cycle.begin(context)
    return row.id


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> World:
    """A world where version 2 was rolled back, for tests that only ask."""
    bell = Bell()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BELL_URL", bell.url)
        made = World(tmp_path_factory.mktemp("rolled-back"), registry_template, reaction="propose")
        with made.open() as context:
            roll_back(made, context)
    bell.close()
    return made


@pytest.fixture
def settled(rolled_back: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """That world, its environment being this process's."""
    for name, value in rolled_back.environment().items():
        monkeypatch.setenv(name, value)
    return rolled_back


def test_a_move_by_somebody_else_is_noted_at_the_next_tick_though_no_window_is_due(world: World) -> None:
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        for version in ("2", "1"):
            world.clock += MINUTE
            world.release(version)
            assert cycle.tick(context) == []
        first, second, third = tenures(context)
    assert [first.holding.version, second.holding.version, third.holding.version] == ["1", "2", "1"]
    assert (second.unsure_since, second.holding.since) == (T0 + 60 * MINUTE, T0 + 61 * MINUTE)
    assert [one.moved_by for one in (first, second, third)] == ["", "somebody else", "somebody else"]


def test_a_version_that_takes_the_alias_over_has_its_reference_before_its_first_window_is_due(world: World) -> None:
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        monitor = context.monitors["scorer"]
        assert references.find(context, monitor, "2") is None
        world.clock += MINUTE
        world.release("2")
        assert cycle.tick(context) == []
        assert references.find(context, monitor, "2") is not None


def test_an_alias_that_two_monitors_watch_is_asked_for_once_a_tick(world: World) -> None:
    job = world.home / "jobs" / "scorer.yaml"
    (world.home / "jobs" / "other.yaml").write_text(job.read_text().replace("name: scorer\n", "name: other\n", 1))
    asked = []
    with world.open() as context:
        register.register(context)
        ask = context.registry.holder
        context.registry.holder = lambda model: asked.append(str(model)) or ask(model)  # type: ignore[method-assign]
        cycle.tick(context)
    assert asked == ["scorer@champion"]


def test_a_registry_that_is_away_stops_no_tick(world: World) -> None:
    with world.open() as context:
        register.register(context)
        (world.home / "mlflow.db").rename(world.home / "away.db")
        assert cycle.tick(context) == []


def test_our_own_move_whose_end_was_not_recorded_yet_is_not_taken_for_somebody_elses(world: World) -> None:
    with world.open() as context:
        action = roll_back(world, context)
        with context.store.begin() as session:
            rows = history_of(session, "default", "scorer@champion")[0]
            session.delete(rows[-1].holding)
            session.execute(update(ActionRow).where(ActionRow.id == action).values(state="moving", moved_at=None))
        world.clock += MINUTE
        cycle._poll(context, set())
        last = tenures(context)[-1]
    assert (last.holding.version, last.holding.action_id) == ("1", action)
    assert last.moved_by == "us: moved in mode propose, approved by ann"


def test_history_says_who_held_the_alias_who_moved_it_and_on_what_evidence(
    world: World, controlplane: Controlplane
) -> None:
    with world.open() as context:
        action = roll_back(world, context)
        with context.store.begin() as session:
            evidence = set(session.scalars(select(EvidenceRow.id).where(EvidenceRow.source == f"action:{action}")))
    code, out, _ = controlplane("history", "scorer", "--json")
    first, second, third = json.loads(out)["history"]
    assert code == 0
    assert [one["version"] for one in (first, second, third)] == ["1", "2", "1"]
    assert [one["moved_by"] for one in (first, second, third)] == [
        "",
        "somebody else",
        "us: moved in mode propose, approved by ann",
    ]
    assert (second["unseen_since"], second["since"]) == ("2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z")
    assert (third["mode"], third["approved_by"], third["action_id"]) == ("propose", "ann", action)
    assert "on the same 400 rows accuracy is" in third["proof"][0]
    assert set(third["evidence"]) == evidence != set()
    code, out, _ = controlplane("history", "scorer@champion")
    assert code == 0
    assert "approved by ann" in " ".join(out.split())


@pytest.mark.parametrize(
    ("at", "version", "said"),
    [
        ("2026-03-01T00:30Z", None, "not known: it was first looked at"),
        ("2026-03-01T01:00Z", "1", "version 1"),
        ("2026-03-01T01:30Z", None, "version 1 was last seen at"),
        ("2026-03-01T03:00+01:00", "2", "version 2"),
        ("2026-03-01T02:01Z", "1", "approved by ann"),
        ("2031-01-01T00:00Z", None, "and nobody looked after that"),
    ],
)
def test_history_at_a_moment_is_certain_or_says_between_what(
    settled: World, controlplane: Controlplane, at: str, version: str | None, said: str
) -> None:
    code, out, _ = controlplane("history", "scorer", "--at", at)
    assert code == 0
    assert said in " ".join(out.split())
    [answer] = json.loads(controlplane("history", "scorer", "--at", at, "--json")[1])["aliases"]
    assert (answer["certain"], answer["version"]) == (version is not None, version)


def test_an_audit_says_intact_and_after_one_edit_which_row_it_was(world: World, controlplane: Controlplane) -> None:
    with world.open() as context:
        roll_back(world, context)
    kept = world.home / "head.txt"
    code, out, _ = controlplane("audit", "head")
    assert code == 0
    kept.write_text(out)
    for given in ([], ["--head", str(kept)], ["--head", out.strip()]):
        code, out, _ = controlplane("audit", "verify", *given)
        assert code == 0
        assert out.startswith("intact all ")
    kept.write_text(controlplane("audit", "head", "--json")[1])
    told: dict[str, Any] = json.loads(controlplane("audit", "verify", "--head", str(kept), "--json")[1])
    assert told["intact"] is True
    assert told["links"] > told["rows"] > 0

    store = Store(world.settings.database)
    with store.begin() as session:
        row_id = session.scalar(select(ActionRow.id))
        session.execute(update(ActionRow).values(approved_by="nobody"))
    store.close()
    code, out, _ = controlplane("audit", "verify", "--json")
    assert code == 1
    told = json.loads(out)
    assert (told["intact"], told["what"], told["table"], told["row_id"]) == (False, "edited", "cp_actions", row_id)
    code, out, _ = controlplane("audit", "verify")
    assert (code, " ".join(out.split())) == (1, f"broken {told['why']}")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["history", "scorr"], "no history of 'scorr'; valid: scorer@champion"),
        (["history", "scorer", "--at", "yesterday"], "--at is an ISO 8601 moment with a zone"),
        (["history", "scorer", "--at", "2026-03-01T00:00"], "it has no zone"),
        (["audit", "verify", "--head", "12"], "'12' is no head of a chain; valid: SEQUENCE:HASH"),
        (["audit", "verify", "--head", "/proc/self/mem"], "/proc/self/mem"),
    ],
)
def test_bad_questions_about_the_past_are_one_sentence(
    settled: World, controlplane: Controlplane, argv: list[str], said: str
) -> None:
    code, out, err = controlplane(*argv)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_an_empty_chain_has_no_head_to_keep(world: World, controlplane: Controlplane) -> None:
    assert controlplane("db", "upgrade")[0] == 0
    code, _, err = controlplane("audit", "head")
    assert (code, err) == (3, "error: the chain is empty: nothing was asked, done or found here yet\n")
    assert controlplane("audit", "verify")[0] == 0
