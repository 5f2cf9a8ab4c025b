"""Schedulers that are killed (-9) in the middle of a rollback, and what must be true of it all the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import psycopg
from bell import Bell
from sqlalchemy import create_engine, make_url, select, text
from world import World

from controlplane.domain.action import LIVE, NEXT, ActionState
from controlplane.engine import cycle, register
from controlplane.store import Store, actions, audit, intents
from controlplane.store.intents import IntentKind
from controlplane.store.tables import DeliveryRow, EvidenceRow, TransitionRow
from controlplane.store.tables_acts import ActionRow, HoldingRow

Death = str | float
"""The step right after which a scheduler dies, or the seconds it has to live; "" is none."""

S = ActionState
APPROVED, READY, FAILING = "approved", "ready", "failing"
"""Where a rollback can begin: approved; its snapshot kept, which costs the most; moved, and the target fails too."""
STEPS = {
    APPROVED: ("intents applied", "snapshot kept"),
    READY: ("moving", "write begun", "moved", "move recorded", "sent", "delivered"),
    FAILING: ("write begun", "undone", "sent", "delivered"),
}
LATER = timedelta(minutes=3)
"""What a dead one held for a while, the alias or a delivery in hand, is free again after it."""
MOST_LIVES = 8
_EVENTS = {
    S.PROPOSED: "rollback_proposed",
    S.REFUSED: "rollback_refused",
    S.EXPIRED: "rollback_refused",
    S.MOVED: "rollback_made",
    S.SUPERSEDED: "rollback_superseded",
    S.FAILED: "rollback_failed",
    S.VERIFIED: "rollback_verified",
    S.UNDONE: "rollback_undone",
}


class Databases(Protocol):
    """Databases that can be kept as they are, and be put back."""

    def keep(self, name: str) -> None:
        """Remember everything as it is now."""

    def put_back(self, name: str) -> None:
        """Have everything as it was then."""


class Files:
    """SQLite files, with what a killed writer may leave beside them."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths

    def keep(self, name: str) -> None:
        for path in self._paths:
            shutil.copyfile(path, path.with_name(f"{path.name}.{name}"))

    def put_back(self, name: str) -> None:
        for path in self._paths:
            for left in ("-journal", "-wal", "-shm"):
                path.with_name(path.name + left).unlink(missing_ok=True)
            shutil.copyfile(path.with_name(f"{path.name}.{name}"), path)


class Template:
    """A PostgreSQL database that others are copied from."""

    def __init__(self, url: str) -> None:
        address = make_url(url).set(drivername="postgresql")
        self._name = str(address.database)
        self._server = address.set(database="postgres").render_as_string(hide_password=False)

    def keep(self, name: str) -> None:
        self._copy(self._name, f"{self._name}_{name}")

    def put_back(self, name: str) -> None:
        self._copy(f"{self._name}_{name}", self._name)

    def _copy(self, source: str, target: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as server:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,))
            server.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {target} TEMPLATE {source}")


class Nursery:
    """Starts schedulers within milliseconds, see nursery.py."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("nursery.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, world: World, death: Death = "") -> int:
        """Start a scheduler that does what is due and dies right after a step, or after some seconds; its id."""
        step, after = (death, None) if isinstance(death, str) else ("", death)
        environment = world.environment() | {"BELL_URL": os.environ["BELL_URL"]}
        return self._ask({"live": [step, world.clock.isoformat()], "after": after, "environment": environment})

    def run(self, command: Sequence[str], environment: dict[str, str], into: Path) -> int:
        """Start `controlplane` with these arguments; its id. What it prints goes to `out` and `err` in a folder."""
        return self._ask({"command": list(command), "environment": environment, "into": str(into)})

    def end(self, pid: int) -> int:
        """Wait for a scheduler's end; its exit code, negative for a signal."""
        return self._ask({"end": pid})

    def close(self) -> None:
        """Let it go."""
        self._process.communicate(timeout=60)

    def _ask(self, said: dict[str, object]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@dataclass
class Story:
    """What became of one rollback: how often one was killed, what both databases noted, and what is not as promised."""

    kills: int = 0
    lives: int = 0
    states: list[ActionState] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    holder: str = ""
    wrong: list[str] = field(default_factory=list)


class Stage:
    """One world whose only rollback can be lived through again and again from the same moment."""

    def __init__(self, world: World, bell: Bell, nursery: Nursery, kept: Sequence[Databases]) -> None:
        self.world, self._bell, self._nursery, self._kept = world, bell, nursery, kept
        self._clocks: dict[str, datetime] = {}
        self._written: dict[str, int] = {}
        job = world.home / "jobs" / "scorer.yaml"
        job.write_text(job.read_text() + "guards: {on_failure: undo}\n")
        note_alias_writes(world)
        note_states(world)
        with world.open() as context:
            register.register(context)
            world.publish(0, "1")
            cycle.tick(context)
            world.copy("1")
            world.release("2")
            world.publish(1, "2")
            cycle.tick(context)
            with context.store.begin() as session:
                (action,) = actions.find_action(session, "default", "")
                approval = (IntentKind.APPROVE, action.id, "ann", "asked", context.now())
                intents.store_intent(session, "default", *approval, bound=action.proof_digest)
        self._keep(APPROVED)
        assert nursery.end(nursery.start(world, "snapshot kept")) < 0
        world.clock += LATER
        self._keep(READY)

    def fail(self) -> None:
        """Make the moment when the move was made, and the window after it has just been found to be no better."""
        self._put_back(READY)
        assert self._nursery.end(self._nursery.start(self.world)) == 0
        self.world.publish(2, "1", answered_like="2")
        assert self._nursery.end(self._nursery.start(self.world, "recorded")) < 0
        self.world.clock += LATER
        self._keep(FAILING)

    def play(self, begin: str, deaths: Sequence[Sequence[Death]], stranger: str = "", verified: bool = False) -> Story:
        """Live through the rollback: some schedulers at once, each with its death; then the next; then unharmed ones.

        After the first ones somebody may set the alias. `verified` has a good window come after the move; else the
        action may end up waiting for one.
        """
        self._put_back(begin)
        self._bell.told.clear()
        story = Story()
        for number, together in enumerate(deaths):
            self._live(story, together)
            if stranger and number == 0:
                self.world.release(stranger)
        self._live(story, [""])
        while self._states()[-1] in LIVE - {S.MOVED} and story.lives < MOST_LIVES:
            self._live(story, [""])
        if verified and self._states()[-1] is S.MOVED:
            self.world.publish(2, "1")
            self._live(story, [""])
        self._look(story, begin, stranger, verified)
        return story

    def _live(self, story: Story, deaths: Sequence[Death]) -> None:
        started = [self._nursery.start(self.world, death) for death in deaths]
        codes = [self._nursery.end(pid) for pid in started]
        story.lives += len(codes)
        story.kills += codes.count(-signal.SIGKILL)
        story.wrong += [f"a scheduler ended with code {code}" for code in codes if code not in (0, -signal.SIGKILL)]
        self.world.clock += LATER

    def _keep(self, name: str) -> None:
        self._clocks[name], self._written[name] = self.world.clock, len(alias_writes(self.world))
        for databases in self._kept:
            databases.keep(name)

    def _put_back(self, name: str) -> None:
        for databases in self._kept:
            databases.put_back(name)
        self.world.clock = self._clocks[name]

    def _states(self) -> list[ActionState]:
        query = text("SELECT value FROM noted_states ORDER BY number")
        with closing(Store(self.world.settings.database)) as store, store.begin() as session:
            return [ActionState(state) for state in session.scalars(query)]

    def _look(self, story: Story, begin: str, stranger: str, verified: bool) -> None:
        """Hold what is kept of the rollback against what is promised."""
        story.states, story.holder = self._states(), _holder(self.world)
        story.writes = alias_writes(self.world)[self._written[begin] :]
        with closing(Store(self.world.settings.database)) as store, store.begin() as session:
            action = session.scalars(select(ActionRow)).one()
            told = session.scalars(select(TransitionRow).where(TransitionRow.action_id == action.id)).all()
            unsent = session.scalars(select(DeliveryRow.state).where(DeliveryRow.state != "sent")).all()
            held = session.scalars(select(HoldingRow).order_by(HoldingRow.sequence)).all()
            audited = audit.verify(session, "default")
            moves = session.scalars(select(EvidenceRow.id).where(EvidenceRow.kind == "change_record")).all()
        path = [S.PLANNED, *story.states]
        made = [state for state in path if state in (S.MOVED, S.UNDONE)]
        target = "2" if begin == FAILING else "1"
        rings = {message["key"] for message in self._bell.told}
        promised = {
            "each state may follow the one before": all(b in NEXT.get(a, ()) for a, b in pairwise(path)),
            "the last state is final": path[-1] not in (LIVE if verified else LIVE - {S.MOVED}),
            "the alias is moved once at most": story.writes.count(target) <= 1,
            "what is recorded was made": {S.MOVED: "1", S.VERIFIED: "1", S.UNDONE: "2"}.get(path[-1], story.holder)
            == story.holder
            # Whoever comes after the end of an action is nobody's concern.
            or (path[-1] in (S.VERIFIED, S.UNDONE) and story.holder == stranger),
            "what somebody else set stays": stranger not in story.writes or story.writes[-1] == stranger,
            "each event is told once": sorted(one.event for one in told)
            == sorted(_EVENTS[state] for state in path if state in _EVENTS),
            "every delivery was made, under keys of ours": not unsent and rings <= self._keys(),
            "each move is one line of history": [one.action_id for one in held].count(action.id) == len(made),
            "no holder stands twice in a row": all(a.version != b.version for a, b in pairwise(held)),
            "each move is one piece of evidence": len(moves) == len(made),
            "the chain is whole": isinstance(audited, audit.Verified),
        }
        story.wrong += [name for name, kept in promised.items() if not kept]

    def _keys(self) -> set[str]:
        with closing(Store(self.world.settings.database)) as store, store.begin() as session:
            return set(session.scalars(select(TransitionRow.key)))


def note_alias_writes(world: World) -> None:
    """Have MLflow's own database note every version an alias is set to, whoever sets it."""
    with closing(sqlite3.connect(world.home / "mlflow.db")) as database:
        database.execute("CREATE TABLE alias_writes (version TEXT)")
        for event in ("INSERT", "UPDATE"):
            database.execute(
                f"CREATE TRIGGER note_{event} AFTER {event} ON registered_model_aliases "
                "BEGIN INSERT INTO alias_writes VALUES (NEW.version); END"
            )
        database.commit()


def note_states(world: World) -> None:
    """Have our own database note every state that an action comes to have."""
    engine = create_engine(world.settings.database)
    with engine.begin() as connection:
        for statement in _NOTING[engine.dialect.name]:
            connection.execute(text(statement))
    engine.dispose()


def _holder(world: World) -> str:
    """Who holds the alias. A connection that was open before its file was put back may read what it read then."""
    with closing(sqlite3.connect(world.home / "mlflow.db")) as database:
        ((version,),) = database.execute("SELECT version FROM registered_model_aliases WHERE alias = 'champion'")
    return str(version)


def alias_writes(world: World) -> list[str]:
    """Every version the alias was set to since `note_alias_writes`, in order."""
    with closing(sqlite3.connect(world.home / "mlflow.db")) as database:
        return [str(version) for (version,) in database.execute("SELECT version FROM alias_writes ORDER BY rowid")]


_NOTING = {
    "sqlite": (
        "CREATE TABLE noted_states (number INTEGER PRIMARY KEY, value TEXT)",
        "CREATE TRIGGER note AFTER UPDATE OF state ON cp_actions WHEN OLD.state <> NEW.state "
        "BEGIN INSERT INTO noted_states (value) VALUES (NEW.state); END",
    ),
    "postgresql": (
        "CREATE TABLE noted_states (number SERIAL PRIMARY KEY, value TEXT)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO noted_states (value) VALUES (NEW.state); RETURN NEW; END'",
        "CREATE TRIGGER note AFTER UPDATE ON cp_actions FOR EACH ROW WHEN (OLD.state <> NEW.state) "
        "EXECUTE FUNCTION note()",
    ),
}
