"""The kill switch: what it stops, who may throw it when nothing else works, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from world import HOUR, T0, World

from controlplane.cli.main import call
from controlplane.engine import cycle, freezing, register
from controlplane.engine.context import Context
from controlplane.engine.intents import apply as apply_intents
from controlplane.store import Store, actions, freezes, intents
from controlplane.store.intents import IntentKind
from controlplane.store.records import evidence_of
from controlplane.store.tables_acts import ActionRow, FreezeRow, IntentRow, LinkRow

MakeWorld = Callable[..., World]
Said = tuple[int, str, str]
Controlplane = Callable[..., Said]


@pytest.fixture
def controlplane(capsys: pytest.CaptureFixture[str]) -> Controlplane:
    """Runs one command line: exit code, standard output, standard error."""

    def run(*argv: str) -> Said:
        capsys.readouterr()
        code = call(*argv)
        printed = capsys.readouterr()
        return code, " ".join(printed.out.split()), " ".join(printed.err.split())

    return run


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An installation that has a database and nothing else: no registry answers, no job file is in order."""
    folder = tmp_path / "bare"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "scorer.yaml").write_text("not: [a job")
    place = f"sqlite:///{folder}/controlplane.db"
    for name, value in {
        "CONTROLPLANE_HOME": str(folder / "home"),
        "CONTROLPLANE_JOBS": str(folder / "jobs"),
        "CONTROLPLANE_DATABASE_URL": place,
        "CONTROLPLANE_TRACKING_URI": f"sqlite:///{folder}/away/mlflow.db",
    }.items():
        monkeypatch.setenv(name, value)
    return Store(place)


def rows(store: Store, table: type) -> list[Any]:
    with store.begin() as session:
        found = list(session.scalars(select(table).order_by(table.id)))  # type: ignore[attr-defined]
    store.close()
    return found


def test_everything_is_frozen_and_unfrozen_while_registry_and_job_files_are_broken(
    bare: Store, controlplane: Controlplane
) -> None:
    code, out, _ = controlplane("freeze", "--why", "something is off", "--by", "ann")
    assert code == 0
    assert out.startswith("everything is frozen since ") and out.endswith(
        "until it is lifted, by ann: something is off"
    )
    code, out, _ = controlplane("unfreeze", "--by", "bob", "--why", "all clear")
    assert code == 0
    assert out.startswith("bob lifted the freeze of all monitors (all clear); it was: everything is frozen since ")
    (freeze,) = rows(bare, FreezeRow)
    assert (freeze.monitor, freeze.author, freeze.why, freeze.lifted_by) == (None, "ann", "something is off", "bob")
    assert [intent.state for intent in rows(bare, IntentRow)] == ["applied", "applied"]
    with bare.begin() as session:
        evidence = evidence_of(session, "default")
    assert [(one.kind, one.subject, one.outcome) for one in evidence] == [
        ("silence_override", "all monitors", "FROZEN"),
        ("silence_override", "all monitors", "UNFROZEN"),
    ]
    assert evidence[0].source == evidence[1].source == f"freeze:{freeze.id}"


def test_what_there_is_nothing_to_do_about_is_said(bare: Store, controlplane: Controlplane) -> None:
    code, _, err = controlplane("unfreeze")
    assert (code, err) == (2, "error: nothing to lift: there is no freeze of all monitors")
    assert controlplane("freeze", "--why", "audit", "--by", "ann", "--hours", "2")[0] == 0
    code, _, err = controlplane("freeze", "--why", "audit", "--hours", "1")
    assert code == 2
    assert err.startswith("error: nothing to do: everything is frozen since") and err.endswith("by ann: audit")
    # One that lasts longer is no repetition.
    code, out, _ = controlplane("freeze", "--why", "audit goes on", "--json")
    assert (code, json.loads(out)["intent"]["state"]) == (0, "applied")
    assert controlplane("unfreeze")[0] == 0
    assert {row.lifted_at is not None for row in rows(bare, FreezeRow)} == {True}


def test_a_monitor_that_nobody_knows_is_refused_with_the_names_there_are(
    bare: Store, make_world: MakeWorld, controlplane: Controlplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = controlplane("freeze", "scorer", "--why", "audit")
    assert code == 2
    assert "unknown monitor 'scorer'; no monitor was ever loaded; leave it out to mean everything" in err
    world = make_world()
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    code, _, err = controlplane("freeze", "scorr", "--why", "audit")
    assert (code, err) == (2, "error: unknown monitor 'scorr'; did you mean 'scorer'?")
    assert controlplane("freeze", "scorer", "--why", "audit")[0] == 0
    (world.settings.jobs / "scorer.yaml").unlink()
    # What was frozen can be let go, also where its job is gone.
    assert controlplane("unfreeze", "scorer")[0] == 0
    code, _, err = controlplane("unfreeze", "scorer")
    assert code == 2 and "unknown monitor 'scorer'" in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("freeze",), "Missing option '--why'"),
        (("freeze", "--why", " "), "a freeze needs a reason"),
        (("freeze", "--why", "x", "--hours", "0"), "greater than or equal to 0.01"),
    ],
)
def test_a_freeze_without_a_reason_or_with_no_length_is_refused(
    bare: Store, controlplane: Controlplane, argv: tuple[str, ...], said: str
) -> None:
    code, out, err = controlplane(*argv)
    assert code == 2
    assert said in out + err


def test_one_monitor_stays_frozen_when_everything_else_is_let_go(
    make_world: MakeWorld, controlplane: Controlplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    job = world.settings.jobs / "scorer.yaml"
    job.write_text(job.read_text().replace("starts: 2026", "starts: 2096"))
    controlplane("freeze", "--why", "audit", "--by", "ann")
    code, _, err = controlplane("unfreeze", "scorer")
    assert code == 2
    assert "there is no freeze of scorer; everything is frozen since" in err
    controlplane("freeze", "scorer", "--why", "mine", "--by", "bob")
    code, out, _ = controlplane("unfreeze")
    assert code == 0
    assert "Still in force: scorer is frozen since" in out
    listed = json.loads(controlplane("rollbacks", "list", "--json")[1])
    assert [(freeze["monitor"], freeze["author"]) for freeze in listed["freezes"]] == [("scorer", "bob")]
    assert "frozen: scorer is frozen since" in controlplane("rollbacks", "list")[1]
    once = json.loads(controlplane("scheduler", "--once", "--json")[1])
    assert [freeze["monitor"] for freeze in once["freezes"]] == ["scorer"]


def test_what_was_asked_for_before_is_applied_first_and_all_of_it_is_under_the_chain(store_url: str) -> None:
    store = Store(store_url)
    with store.begin() as session:
        earlier = intents.store_intent(session, "default", IntentKind.FREEZE, "*", "ann", "audit", T0)
        other = intents.store_intent(session, "default", IntentKind.ACKNOWLEDGE, "incident", "ann", "", T0)
    lifted = freezing.throw(store, IntentKind.UNFREEZE, None, "bob", "", T0 + HOUR)
    assert lifted.state == "applied"
    assert "by ann: audit" in lifted.result
    with store.begin() as session:
        assert intents.intent_of(session, earlier).state == "applied"
        assert intents.intent_of(session, other).state == "stored"
        assert freezes.in_force(session, "default", T0 + HOUR) == []
        (row,) = session.scalars(select(FreezeRow))
        assert (row.author, row.lifted_by, row.lifted_at) == ("ann", "bob", T0 + HOUR)
        linked = set(session.scalars(select(LinkRow.table)))
    assert linked == {"cp_intents", "cp_freezes", "cp_evidence"}
    store.close()


def ask(context: Context, kind: IntentKind, target: str, why: str = "asked") -> str:
    with context.store.begin() as session:
        bound = actions.find_action(session, "default", target)[0].proof_digest if kind is IntentKind.APPROVE else ""
        return intents.store_intent(session, "default", kind, target, "ann", why, context.now(), bound=bound)


def became(context: Context, intent: str) -> tuple[str, str]:
    with context.store.begin() as session:
        row = intents.intent_of(session, intent)
        return row.state, row.result


def the_action(context: Context) -> ActionRow:
    with context.store.begin() as session:
        return actions.find_action(session, "default", "")[0]


def regress(world: World, context: Context) -> None:
    """One good hour of version 1, then one bad one of version 2, which somebody released."""
    register.register(context)
    world.publish(0, "1")
    cycle.tick(context)
    world.release("2")
    world.publish(1, "2")
    cycle.tick(context)


def test_nothing_is_planned_while_frozen_and_the_next_bad_window_plans_once_it_is_lifted(make_world: MakeWorld) -> None:
    world = make_world()
    with world.open() as context:
        ask(context, IntentKind.FREEZE, "*", "audit")
        regress(world, context)
        action = the_action(context)
        assert (action.state, action.code) == ("refused", "frozen")
        assert action.why.endswith("by ann: audit")
        assert world.champion() == "2"
        ask(context, IntentKind.UNFREEZE, "*")
        world.publish(2, "2")
        cycle.tick(context)
        assert the_action(context).state == "moved"
        assert world.champion() == "1"


def test_a_proposal_waits_while_frozen_and_can_be_approved_once_it_is_lifted(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        action = the_action(context)
        ask(context, IntentKind.FREEZE, "scorer", "audit")
        approval = ask(context, IntentKind.APPROVE, action.id)
        cycle.begin(context)
        state, result = became(context, approval)
        assert state == "refused"
        assert result.startswith("scorer is frozen since") and result.endswith("by ann: audit; the proposal waits")
        assert the_action(context).state == "proposed"
        assert world.champion() == "2"
        ask(context, IntentKind.UNFREEZE, "scorer")
        ask(context, IntentKind.APPROVE, action.id)
        cycle.begin(context)
        assert the_action(context).state == "moved"
        assert world.champion() == "1"


def test_a_freeze_between_the_approval_and_the_move_ends_the_rollback(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        action = the_action(context)
        ask(context, IntentKind.APPROVE, action.id)
        apply_intents(context)
        assert the_action(context).state == "accepted"
        ask(context, IntentKind.FREEZE, "*", "audit")
        cycle.begin(context)
        action = the_action(context)
        assert (action.state, action.code, action.moved_at) == ("refused", "frozen", None)
        assert action.why.endswith("by ann: audit")
        assert world.champion() == "2"


def test_a_freeze_that_waits_for_its_turn_holds_already(make_world: MakeWorld) -> None:
    world = make_world()
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        cycle.tick(context)
        world.release("2")
        world.publish(1, "2")
        # As if somebody asked for it in the middle of a long tick: its intents were applied at the beginning.
        ask(context, IntentKind.FREEZE, "*", "audit")
        cycle.run_next(context, context.monitors["scorer"])
        cycle.settle(context)
        assert (the_action(context).state, the_action(context).code) == ("refused", "frozen")
        with context.store.begin() as session:
            assert freezes.in_force(session, "default", context.now()) == []


def test_a_freeze_that_is_over_holds_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    with world.open() as context:
        with context.store.begin() as session:
            until = world.clock + HOUR
            intents.store_intent(session, "default", IntentKind.FREEZE, "*", "ann", "audit", world.clock, until)
        cycle.begin(context)
        regress(world, context)
        assert world.champion() == "1"


def test_the_engine_refuses_what_the_command_would(make_world: MakeWorld) -> None:
    world = make_world()
    with world.open() as context:
        with context.store.begin() as session:
            late = intents.store_intent(
                session, "default", IntentKind.FREEZE, "*", "ann", "audit", context.now(), context.now()
            )
        unknown = ask(context, IntentKind.FREEZE, "scorr")
        cycle.begin(context)
        assert became(context, late) == ("refused", "a freeze needs an end in the future, or none")
        assert became(context, unknown) == ("refused", "unknown monitor 'scorr'; did you mean 'scorer'?")
