"""The move itself and what comes after it: freezes, a registry that fails, the serving side, recovery and undoing."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from test_rollback import all_actions, ask, events, regress, the_action
from world import World

from controlplane.engine import cycle, rollback
from controlplane.engine.context import Context
from controlplane.errors import ProbeError
from controlplane.probe import served_version
from controlplane.store import new_id
from controlplane.store.intents import IntentKind
from controlplane.store.tables_acts import FreezeRow

MakeWorld = Callable[..., World]


def add(world: World, text: str) -> None:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text() + text)


def freeze(context: Context) -> None:
    with context.store.begin() as session:
        session.add(
            FreezeRow(id=new_id(), workspace="default", monitor=None, author="ann", why="audit", since=context.now())
        )


@pytest.mark.parametrize("step", ["replayed", "snapshot kept", "moving"])
def test_a_freeze_in_the_middle_of_a_rollback_ends_it_before_the_write(make_world: MakeWorld, step: str) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        world.on[step] = lambda: freeze(context)
        regress(world, context)
        action = the_action(context)
        assert (action.state, action.code) == ("refused", "frozen")
        assert "by ann: audit" in action.why
        assert world.champion() == "2"
        assert events(context) == ["opened", "rollback_refused"]


def test_a_freeze_after_the_write_was_begun_leaves_the_move_whole(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    with world.open() as context:
        world.on["write begun"] = lambda: freeze(context)
        regress(world, context)
        assert the_action(context).state == "moved"
        assert world.champion() == "1"
        assert events(context) == ["opened", "rollback_made"]


def failing_write(context: Context, monkeypatch: pytest.MonkeyPatch, lands: bool) -> None:
    """The far end of the network: the write does or does not arrive, and its answer is lost."""
    client = context.registry._client()
    write = client.set_registered_model_alias

    def lost(*given: Any) -> None:
        if lands:
            write(*given)
        raise TimeoutError("no answer within 10 seconds")

    monkeypatch.setattr(client, "set_registered_model_alias", lost)


@pytest.mark.parametrize("lands", [True, False])
def test_a_write_whose_answer_is_lost_is_looked_after_and_never_repeated(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        failing_write(context, monkeypatch, lands)
        ask(context, IntentKind.APPROVE, the_action(context).id)
        cycle.begin(context)
        assert the_action(context).state == "moving"
        monkeypatch.undo()
        world.clock += timedelta(minutes=1)
        cycle.begin(context)
        assert the_action(context).state == ("moved" if lands else "moving")
        world.clock += timedelta(minutes=2)
        cycle.begin(context)
        action = the_action(context)
        if lands:
            assert (action.state, world.champion()) == ("moved", "1")
            assert events(context).count("rollback_made") == 1
        else:
            assert (action.state, world.champion()) == ("failed", "2")
            assert "was not seen; it holds version 2, and is left alone" in action.why
            assert events(context)[-1] == "rollback_failed"


def test_who_takes_the_alias_back_after_a_lost_answer_is_not_overwritten(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        failing_write(context, monkeypatch, lands=True)
        ask(context, IntentKind.APPROVE, the_action(context).id)
        cycle.begin(context)
        monkeypatch.undo()
        world.release("2")
        for _ in range(4):
            world.clock += timedelta(minutes=2)
            cycle.begin(context)
        assert the_action(context).state == "failed"
        assert world.champion() == "2"


def test_an_alias_that_was_deleted_meanwhile_is_left_alone(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        world.client().delete_registered_model_alias("scorer", "champion")
        ask(context, IntentKind.APPROVE, the_action(context).id)
        cycle.begin(context)
        action = the_action(context)
        assert action.state == "superseded"
        assert "it holds no version now" in action.why


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("the target", "'scorer' has no version 1 to move 'champion' to; valid: 2"),
        ("the model", "there is no model 'scorer' in the registry"),
    ],
)
def test_what_was_deleted_after_the_proof_ends_the_move_with_its_reason(
    make_world: MakeWorld, gone: str, said: str
) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        ask(context, IntentKind.APPROVE, the_action(context).id)
        client = world.client()
        take = client.delete_model_version if gone == "the target" else client.delete_registered_model
        world.on["moving"] = lambda: take(*(("scorer", "1") if gone == "the target" else ("scorer",)))
        cycle.begin(context)
        world.on.clear()
        for _ in range(6):
            world.clock += timedelta(minutes=6)
            rollback.advance(context)
        action = the_action(context)
        assert action.state == "failed"
        assert said in action.why
        assert events(context)[-1] == "rollback_failed"


def test_a_registry_that_may_only_be_read_ends_the_move_with_its_reason(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        ask(context, IntentKind.APPROVE, the_action(context).id)
        with sqlite3.connect(world.home / "mlflow.db") as registry:
            registry.execute(
                "CREATE TRIGGER read_only BEFORE UPDATE ON registered_model_aliases "
                "BEGIN SELECT RAISE(ABORT, 'the registry is read-only'); END"
            )
        for _ in range(3):
            cycle.begin(context)
            world.clock += timedelta(minutes=3)
        action = the_action(context)
        assert (action.state, world.champion()) == ("failed", "2")
        assert "whether scorer@champion was moved to version 1 was not seen" in action.why


def test_a_clock_that_goes_backwards_neither_moves_twice_nor_loses_the_move(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        world.clock -= timedelta(hours=3)
        ask(context, IntentKind.APPROVE, the_action(context).id)
        cycle.begin(context)
        assert (the_action(context).state, world.champion()) == ("moved", "1")
        world.clock -= timedelta(hours=3)
        cycle.begin(context)
        world.publish(2, "1")
        cycle.tick(context)
        assert the_action(context).state == "verified"
        assert events(context).count("rollback_made") == 1


def test_two_people_who_decide_at_once_end_in_one_decision(make_world: MakeWorld) -> None:
    world = make_world(reaction="propose")
    with world.open() as context:
        regress(world, context)
        target = the_action(context).id
        ask(context, IntentKind.REJECT, target)
        ask(context, IntentKind.APPROVE, target)
        cycle.begin(context)
        assert the_action(context).state == "rejected"
        assert world.champion() == "2"


def test_a_move_that_did_not_help_is_undone_where_the_job_says_so_and_nothing_more_is_tried(
    make_world: MakeWorld,
) -> None:
    world = make_world(reaction="rollback")
    add(world, "guards: {on_failure: undo, cooldown: 0m}\n")
    with world.open() as context:
        regress(world, context)
        assert world.champion() == "1"
        world.publish(2, "1", answered_like="2")
        cycle.tick(context)
        action = the_action(context)
        assert (action.state, world.champion()) == ("undone", "2")
        assert events(context) == ["opened", "rollback_made", "rollback_undone"]
        for hour in (3, 4):
            world.publish(hour, "2")
            cycle.tick(context)
        assert [row.state for row in all_actions(context)] == ["undone"]
        assert world.champion() == "2"


def test_a_freeze_keeps_a_failed_move_from_being_undone(make_world: MakeWorld) -> None:
    world = make_world(reaction="rollback")
    add(world, "guards: {on_failure: undo}\n")
    with world.open() as context:
        regress(world, context)
        freeze(context)
        world.publish(2, "1", answered_like="2")
        cycle.tick(context)
        assert [row.state for row in all_actions(context) if row.moved_at] == ["failed"]
        assert world.champion() == "1"


class Serving:
    """A server of models, as far as the probe sees it."""

    def __init__(self) -> None:
        self.body: bytes = b'{"version": "2"}'
        self.status = 200
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.status)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/version"


@pytest.fixture
def serving() -> Iterator[Serving]:
    with running() as server:
        yield server


@contextmanager
def running() -> Iterator[Serving]:
    server = Serving()
    thread = threading.Thread(target=server.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_a_serving_side_that_does_not_follow_is_told_once_and_then_seen_to_follow(
    make_world: MakeWorld, serving: Serving
) -> None:
    world = make_world(reaction="rollback")
    add(world, f"serving: {{url: {serving.url!r}, within: 60s}}\n")
    with world.open() as context:
        regress(world, context)
        assert (the_action(context).state, the_action(context).served_at) == ("moved", None)
        for _ in range(2):
            world.clock += timedelta(seconds=61)
            cycle.begin(context)
        assert events(context) == ["opened", "rollback_made", "rollback_not_served"]
        serving.body = json.dumps({"version": 1}).encode()
        cycle.begin(context)
        assert the_action(context).served_at == world.clock
        world.publish(2, "1")
        cycle.tick(context)
        assert the_action(context).state == "verified"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b"", "answered with status 503, not 200"),
        (302, b"", "answered with status 302, not 200"),
        (200, b"<html>", "answered with something that is no JSON"),
        (200, b"[1]", "names no version; valid: a JSON object such as"),
        (200, b'{"version": true}', "names no version"),
        (200, b" " * 70_000, "answered with more than 65536 bytes"),
    ],
)
def test_an_answer_that_names_no_version_is_one_sentence(serving: Serving, status: int, body: bytes, said: str) -> None:
    serving.status, serving.body = status, body
    with pytest.raises(ProbeError, match=said):
        served_version(serving.url)


def test_a_server_that_is_not_there_is_one_sentence_without_its_password() -> None:
    with pytest.raises(ProbeError, match="did not answer") as raised:
        served_version("http://ann:secret@127.0.0.1:9/version")
    assert "secret" not in str(raised.value)
