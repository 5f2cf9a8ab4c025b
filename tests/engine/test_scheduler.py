"""The scheduler as a process of its own: it runs what is due, and ends in order when asked to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kills import Nursery
from sqlalchemy import select
from world import World

from controlplane.store import Store
from controlplane.store.tables import RunRow

# A check that somebody else's distribution brings: it says that it has begun, and takes its time.
SLOW = """
import time
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.ports import MeasureSpec, Need


@dataclass(frozen=True)
class SlowParams:
    begun: str
    seconds: float = 1.5


class Slow:
    name = "slow"
    version = 1
    Params = SlowParams
    needs = frozenset({Need.ROWS})
    measures = {"rows": MeasureSpec("rows", False, "how many rows there are")}
    default_limits = (Limit("rows", min=1),)
    scored = ()
    evidence = "data_quality"
    replayable = False

    def measure(self, sample, params):
        Path(params.begun).touch()
        time.sleep(params.seconds)
        return [Measure("rows", float(sample.rows.num_rows), sample.rows.num_rows)]
"""


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A world whose one check comes from an installed plugin."""
    world = make_world(reaction="observe")
    plugin = world.home / "plugin" / "slowcheck-1.dist-info"
    plugin.mkdir(parents=True)
    (plugin.parent / "slowcheck.py").write_text(SLOW)
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: slowcheck\nVersion: 1\n")
    (plugin / "entry_points.txt").write_text("[controlplane.checks]\nslow = slowcheck:Slow\n")
    job = world.home / "jobs" / "scorer.yaml"
    head, _, rest = job.read_text().partition("checks:\n")
    tail = rest[rest.index("reaction:") :]
    check = f"checks:\n  - check: slow\n    params: {{begun: {world.home / 'begun'}}}\n"
    job.write_text(head + check + tail)
    return world


def environment(world: World) -> dict[str, str]:
    return os.environ | world.environment() | {"PYTHONPATH": str(world.home / "plugin")}


@contextmanager
def started(world: World, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "controlplane", "scheduler", *options]
    with subprocess.Popen(
        command, env=environment(world), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Forked:
    """A command that a nursery started, within milliseconds."""

    def __init__(self, nursery: Nursery, world: World, *options: str) -> None:
        self._nursery, self._into = nursery, world.home / f"said-{time.monotonic_ns()}"
        self._into.mkdir()
        self.pid = nursery.run(["scheduler", *options], environment(world), self._into)

    def poll(self) -> str | None:
        """What it said in error once it is gone."""
        return None if Path(f"/proc/{self.pid}").exists() else (self._into / "err").read_text()

    def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Wait for its end, after a signal if one is given; its exit code and what it printed."""
        if number is not None:
            os.kill(self.pid, number)
        return self._nursery.end(self.pid), *((self._into / name).read_text() for name in ("out", "err"))


Fork = Callable[..., Forked]


@pytest.fixture
def fork(nursery: Nursery, world: World) -> Iterator[Fork]:
    """Forks schedulers of this world, none of which outlives the test."""
    made: list[Forked] = []

    def start(*options: str) -> Forked:
        made.append(Forked(nursery, world, *options))
        return made[-1]

    yield start
    for each in made:
        if each.poll() is None:
            each.end(signal.SIGKILL)


def until(condition: Callable[[], bool], process: subprocess.Popen[str] | Forked | None = None) -> None:
    """Wait for a condition, while the process lives if one is given, for a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() is None, process.poll()
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.02)


def runs(world: World) -> list[tuple[str, str | None]]:
    store = Store(world.settings.database)
    with store.begin() as session:
        found = [(run.state, run.outcome) for run in session.scalars(select(RunRow).order_by(RunRow.window_end))]
    store.close()
    return found


def children(process: subprocess.Popen[str]) -> set[int]:
    """The processes that have this one among their parents."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {process.pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process.pid}


def test_a_stop_finishes_the_run_in_hand_and_leaves_nothing_behind(world: World) -> None:
    world.publish(0, "1")
    world.publish(1, "1")
    with started(world, "--every", "1") as process:
        until((world.home / "begun").exists, process)
        family = children(process)
        assert family
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), err
    assert "Traceback" not in err
    assert "SIGTERM: finishing what is in hand" in err
    assert runs(world) == [("recorded", "PASS")]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def test_ctrl_c_is_a_stop_as_well(world: World, fork: Fork) -> None:
    world.publish(0, "1")
    world.publish(1, "1")
    process = fork("--every", "1")
    until((world.home / "begun").exists, process)
    code, out, err = process.end(signal.SIGINT)
    assert (code, out) == (0, ""), err
    assert "Traceback" not in err
    assert "SIGINT: finishing what is in hand" in err
    assert runs(world) == [("recorded", "PASS")]


def test_a_tick_that_takes_longer_than_the_interval_is_only_late(world: World, fork: Fork) -> None:
    world.publish(0, "1")
    world.publish(1, "1")
    process = fork("--every", "1")
    until((world.home / "begun").exists, process)
    until(lambda: runs(world)[:2] == [("recorded", "PASS")] * 2, process)
    code, _, err = process.end(signal.SIGTERM)
    assert code == 0
    said = [line.split(" ", 3)[3] for line in err.splitlines()]
    assert said[0] == "watching scorer; looking every 1 s"
    assert [line for line in said if "skipped" in line or "missed" in line] == []
    assert [line.split()[2] for line in said if line.startswith("scorer ")][:2] == ["PASS:", "PASS:"]


def test_a_scheduler_that_was_killed_holds_nobody_back(world: World, fork: Fork) -> None:
    world.publish(0, "1")
    process = fork("--every", "1")
    until((world.home / "begun").exists, process)
    assert process.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert [state for state, _ in runs(world)] == ["claimed"]
    process = fork("--every", "1")
    until(lambda: runs(world)[0] == ("recorded", "PASS"), process)


def test_once_runs_what_is_due_and_a_broken_job_file_stops_no_other(world: World, fork: Fork) -> None:
    (world.home / "jobs" / "broken.yaml").write_text("schema: 1\nmodel: nothing\n")
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace("catch_up: 100000", "catch_up: 1"))
    world.publish(0, "1")
    code, out, err = fork("--once", "--json").end()
    assert code == 0, err
    assert '"monitor": "scorer"' in out
    assert "left out:" in err and "broken.yaml:" in err
    assert len(runs(world)) == 1


def test_a_stop_ends_once_as_well_with_the_run_in_hand_recorded(world: World, fork: Fork) -> None:
    world.publish(0, "1")
    world.publish(1, "1")
    process = fork("--once", "--json")
    until((world.home / "begun").exists, process)
    code, out, err = process.end(signal.SIGTERM)
    assert code == 0, err
    assert [run["outcome"] for run in json.loads(out)["runs"]] == ["PASS"]
    assert runs(world) == [("recorded", "PASS")]


def test_a_second_scheduler_beside_the_first_runs_nothing_twice(world: World, fork: Fork) -> None:
    world.publish(0, "1")
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace("catch_up: 100000", "catch_up: 1"))
    said = [process.end() for process in [fork("--once"), fork("--once")]]
    assert [code for code, _, _ in said] == [0, 0], said
    assert [state for state, _ in runs(world)] == ["recorded"]


def test_a_scheduler_that_cannot_start_says_why_in_one_sentence(world: World) -> None:
    (world.home / "jobs" / "scorer.yaml").write_text("schema: 1\n")
    with started(world) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert "Traceback" not in err
    assert "scorer.yaml:1: " in err
