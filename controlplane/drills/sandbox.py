"""One drill's world: the real engine on a store, a registry and a clock of its own, and the rows that arrive there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.arrival import publish, write
from controlplane.domain.action import LIVE, ActionState
from controlplane.domain.monitor import Monitor, SourceSpec, Window
from controlplane.drills.stock import Stock, open_home
from controlplane.drills.story import Act, Phase, Seen
from controlplane.drills.versions import add_version, release
from controlplane.engine import cycle, references
from controlplane.engine.context import Context
from controlplane.engine.measure import ModelPlace
from controlplane.engine.schedule import due, next_due
from controlplane.errors import CheckError, ControlPlaneError
from controlplane.store import actions, incidents, intents, records
from controlplane.store.tables import IncidentRow
from controlplane.store.tables_acts import ActionRow
from controlplane.workers import Task

ANSWER_TIMEOUT = 600.0
PERSON, REASON = "drill", "the replay shows it"
CLOSED = "closed"


@dataclass
class Sandbox:
    """A monitor's copy with its own clock. `seen` is what became of each window so far."""

    stock: Stock
    monitor: Monitor
    home: Path
    context: Context
    clock: Clock
    slot: datetime
    seen: list[Seen] = field(default_factory=list)
    held: list[pa.Table] = field(default_factory=list)
    labels: int = 0
    added: int = 0

    @property
    def uri(self) -> str:
        """The sandbox's registry."""
        return self.context.registry.registry_uri

    def holder(self) -> str:
        """Which version holds the alias now."""
        return self.context.registry.holder(self.monitor.model)

    def register(self, folder: Path) -> str:
        """Register a version; its number."""
        self.added += 1
        return add_version(self.uri, self.monitor.model.name, folder, str(self.stock.newest + self.added))

    def release(self, version: str) -> None:
        """Somebody gives a version the alias, past the product."""
        release(self.uri, self.monitor.model, version)

    def ask(self, task: Task) -> Any:
        """What a worker brings back of a task; raises CheckError with its sentence where it failed."""
        done = self.context.workers.measure_all([task])[0]
        if done.error or done.blind:
            raise CheckError(str(done.error or done.blind))
        return done.value

    def place(self, version: str) -> ModelPlace:
        """Where a worker finds a version."""
        return references.place_of(self.context, self.monitor, version)

    def live(
        self,
        phase: Phase,
        alter: Callable[[pa.Table], pa.Table] = lambda rows: rows,
        early: Callable[[pa.Table], pa.Table] | None = None,
    ) -> Seen:
        """One window: rows arrive, answered by the version in charge, and the engine does what is due.

        Where `early` is given, only the labels of the rows that it picks arrive with them, the others at `give_labels`.
        What is proposed is approved, as a person would.
        """
        window, span = self._next()
        number = len(self.seen) + 1
        version = self.holder()
        rows = alter(self.stock.supply.draw(span, number))
        answered = self.ask(Task(references.scored, (rows, self.monitor.columns, self.place(version)), ANSWER_TIMEOUT))
        self.clock.now = window.end + self.monitor.schedule.delay
        table = self._without_labels(answered, early)
        publish(table, self.monitor.columns, version, span, self.home / "rows")
        arrived = time.perf_counter()
        before = self._state()
        cycle.begin(self.context)
        run = cycle.run_next(self.context, self.monitor)
        if run is None:
            raise ControlPlaneError(f"window {window} of {self.monitor.name} was not due in its sandbox")
        recorded = time.perf_counter()
        cycle.settle(self.context)
        self._approve()
        holder = self.holder()
        settled = time.perf_counter()
        cycle.judge_again(self.context, self.monitor)
        opened, closed, acts = self._changes(before)
        outcomes = {check.check: check.outcome.value for check in run.verdict.checks}
        seen = Seen(
            *(number, phase, window, version, run.verdict.outcome.value, run.verdict.why, outcomes),
            *(opened, closed, acts, holder, recorded - arrived, settled - arrived, table.num_rows),
        )
        self.seen.append(seen)
        return seen

    def quiet(self) -> bool:
        """Whether no incident is open and no action under way."""
        causes, states = self._state()
        return not any(state != CLOSED for _, state in causes.values()) and not any(
            act.state in set(LIVE) for act in states.values()
        )

    def give_labels(self) -> None:
        """Let the labels that were held back arrive; where they come with the rows, they never do."""
        for table in self.held:
            self._write_labels(table)
        self.held.clear()

    def _next(self) -> tuple[Window, Window]:
        """The next window, and the part of it that no earlier window held, in which its rows happen."""
        schedule = self.monitor.schedule
        before, self.slot = self.slot, next_due(replace(schedule, delay=timedelta(0)), self.slot)
        window = Window(self.slot - schedule.window, self.slot)
        return window, Window(max(before, window.start), window.end)

    def _without_labels(self, table: pa.Table, early: Callable[[pa.Table], pa.Table] | None) -> pa.Table:
        """The rows as their source gives them: labels of a source of their own arrive there, late ones not yet."""
        label = self.monitor.columns.label
        if label is None or label not in table.column_names:
            return table
        if self.monitor.labels is not None:
            self._write_labels(table if early is None else early(table))
            if early is not None:
                self.held.append(table)
            return table.drop_columns([label])
        if early is None:
            return table
        ids = pa.array(range(table.num_rows))
        kept = early(table.append_column("_row", ids))["_row"]
        values = pc.if_else(pc.is_in(ids, value_set=kept.combine_chunks()), table[label], None)
        return table.set_column(table.column_names.index(label), label, values)

    def _write_labels(self, table: pa.Table) -> None:
        row_id, label, late = self.monitor.columns.row_id, self.monitor.columns.label, self.monitor.late_labels
        table = table.select([row_id, label])
        if late is not None and late.known_at is not None:
            known = pa.array([self.clock.now] * table.num_rows, pa.timestamp("us", tz="UTC"))
            table = table.append_column(late.known_at, known)
        self.labels += 1
        write(table, self.home / "labels" / f"{self.labels:04d}.parquet")

    def _approve(self) -> None:
        """Say yes to what is proposed, as people do by command."""
        proposed = [act for act in self._state()[1].values() if act.state == ActionState.PROPOSED]
        for act in proposed:
            with self.context.store.begin() as session:
                (row,) = actions.find_action(session, self.context.workspace, act.id)
                intents.store_intent(
                    session,
                    self.context.workspace,
                    intents.IntentKind.APPROVE,
                    row.id,
                    PERSON,
                    REASON,
                    self.context.now(),
                    bound=row.proof_digest,
                )
        if proposed:
            cycle.begin(self.context)

    def _state(self) -> tuple[dict[str, tuple[str, str]], dict[str, Act]]:
        """Every incident (cause and state) and every action of the sandbox, by id."""
        with self.context.store.begin() as session:
            found: list[IncidentRow] = incidents.find_incident(session, self.context.workspace, "")
            acts: list[ActionRow] = actions.find_action(session, self.context.workspace, "")
            return {row.id: (row.cause, row.state) for row in reversed(found)}, {
                row.id: Act(row.id, row.state, row.code, row.from_version, row.to_version, row.why)
                for row in reversed(acts)
            }

    def _changes(
        self, before: tuple[dict[str, tuple[str, str]], dict[str, Act]]
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Act, ...]]:
        """The causes that opened and closed since, and the actions that are new or in another state."""
        causes, acts = self._state()
        opened = tuple(cause for each, (cause, _) in causes.items() if each not in before[0])
        closed = tuple(
            cause
            for each, (cause, state) in causes.items()
            if state == CLOSED and (each not in before[0] or before[0][each][1] != CLOSED)
        )
        return opened, closed, tuple(act for each, act in acts.items() if before[1].get(each) != act)


@dataclass
class Clock:
    """The sandbox's own time: it stands still until the next window is complete."""

    now: datetime

    def __call__(self) -> datetime:
        """What time it is in the sandbox."""
        return self.now


@contextmanager
def open_sandbox(
    stock: Stock, home: Path, healthy: int, observe: Callable[[str], None] = lambda step: None
) -> Iterator[Sandbox]:
    """A fresh sandbox in `home`, in which the window after `healthy` ones is the newest that is complete by now."""
    stock.lay_out(home)
    # One slot more than are needed: the first window's rows begin where that one ends.
    schedule = replace(stock.monitor.schedule, catch_up=healthy + 2)
    slots = due(replace(schedule, delay=timedelta(0)), datetime.min.replace(tzinfo=UTC), datetime.now(UTC))
    monitor = replace(
        stock.monitor,
        source=_files(home / "rows"),
        labels=None if stock.monitor.labels is None else _files(home / "labels"),
        schedule=replace(stock.monitor.schedule, starts=slots[1].start),
    )
    clock = Clock(slots[1].start)
    with open_home(stock.settings, stock.jobs, monitor, home, clock, observe) as context:
        sandbox = Sandbox(stock, monitor, home, context, clock, slots[0].end)
        sandbox.release(stock.holder)
        key = context.registry.key(monitor.model)
        with context.store.begin() as session:
            for version in (*stock.earlier, stock.holder):
                records.see_holder(session, context.workspace, key, version, clock.now)
            for row in stock.seen:
                actions.see_version(
                    session, context.workspace, key, row.version, row.digest, row.signature, row.seen_at
                )
        yield sandbox


def _files(folder: Path) -> SourceSpec:
    return SourceSpec("files", {"path": f"{folder}/*.parquet"})
