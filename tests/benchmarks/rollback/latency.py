"""How long it takes from a bad window's file to the alias moved back, as read by MLflow's own client.

    python latency.py [--quick] [--repeats N] [--json PATH]

The demo's two cases: RAND health insurance, where the move is made by itself, and handwritten digits, where it is
proposed and approved by command at once. Everything is inside: reading the rows, the checks, the reference of the new
version, the proof, the snapshot, the guards and the move. Each repetition is a process of its own on a copy of the same
stores, in which the good hour before has been run. `command` is `controlplane run` as the demo calls it; `scheduler` is
a scheduler that has been running for an hour, at the tick that finds the file (it ticks every 15 s by default).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from controlplane.app import open_app
from controlplane.arrival import publish
from controlplane.cli.serve import _call as call
from controlplane.config import Settings
from controlplane.demo import folder as place
from controlplane.demo import release
from controlplane.demo.story import Told, ask, live
from controlplane.demo.stream import last_hours
from controlplane.demo.team import COLUMNS, services
from controlplane.domain.monitor import Window
from controlplane.engine import cycle

PROMISED = 5.0
WAYS = ("command", "scheduler")
STEPS = ("frozen", "measured", "recorded", "replayed", "snapshot kept", "write begun", "moved")


def lay_out(folder: Path) -> list[str]:
    """Live through the demo up to the last good hour before a bad version; the services, in the demo's order."""
    place.prepare(folder)
    told, names = Told(), []
    uri = release.open_registry(folder)
    laid_out = [(service, lay(service)) for service, lay in services(folder, uri)]
    now = datetime.now(UTC)
    windows = {service.name: last_hours(len(hours), now) for service, hours in laid_out}
    place.copy_jobs(folder, {name: spans[0].start for name, spans in windows.items()})
    for service, hours in laid_out:
        ask(call, "reference", "build", service.name)
        bad = next(number for number, hour in enumerate(hours) if hour.released is not None)
        for hour, window in list(zip(hours, windows[service.name], strict=True))[: bad - 1]:
            live(call, told, service, hour, window)
        before = service.holder()
        version = service.register(hours[bad].released)
        answered = {
            "good": service.answer(service.versions[before], hours[bad - 1].rows),
            "bad": service.answer(hours[bad].released, hours[bad].rows),
        }
        for kind, rows in answered.items():
            pq.write_table(rows, folder / f"{service.name}-{kind}.parquet")
        spans = [str(window) for window in windows[service.name][bad - 1 : bad + 1]]
        plan = {"uri": uri, "before": before, "version": version, "windows": spans}
        (folder / f"{service.name}.json").write_text(json.dumps(plan))
        names.append(service.name)
    shutil.copytree(folder / "home", folder / "kept")
    for name in names:
        others = [f"{other}.yaml" for other in names if other != name]
        shutil.copytree(folder / "jobs", folder / f"jobs-{name}", ignore=shutil.ignore_patterns(*others))
    return names


def once(folder: Path, name: str, way: str) -> dict[str, float]:
    """One repetition, in this process: seconds until the alias was read back, and until each step of the engine."""
    warnings.simplefilter("ignore")
    plan = json.loads((folder / f"{name}.json").read_text())
    good, bad = (pq.read_table(folder / f"{name}-{kind}.parquet") for kind in ("good", "bad"))
    spans = [Window.parse(text) for text in plan["windows"]]
    release.holder(plan["uri"], name)
    marks: list[tuple[str, float]] = []
    clock = [spans[0].end]

    def arrive(rows: pa.Table, version: str, window: Window) -> float:
        publish(rows, COLUMNS, version, window, folder / "data" / name)
        return time.perf_counter()

    def play(run: Callable[[], list[str]]) -> float:
        arrive(good, plan["before"], spans[0])
        clock[0] = spans[0].end
        run()
        release.promote(plan["uri"], name, plan["version"])
        clock[0] = spans[1].end
        arrived = arrive(bad, plan["version"], spans[1])
        marks.clear()
        for proposed in run():
            code, _ = call("rollbacks", "approve", proposed, "--by", "bench", "--why", "the replay shows it")
            assert code == 0
        assert release.holder(plan["uri"], name) == plan["before"]
        return arrived

    if way == "command":
        arrived = play(lambda: _proposed(ask(call, "run", name)["actions"]))
    else:

        def observe(step: str) -> None:
            marks.append((step, time.perf_counter()))

        with open_app(Settings(), observe, now=lambda: clock[0]) as (context, _):

            def tick() -> list[str]:
                cycle.tick(context)
                return _proposed(ask(call, "rollbacks", "list")["rollbacks"])

            arrived = play(tick)
            taken = time.perf_counter() - arrived
        return {"read back": taken} | {step: at - arrived for step, at in reversed(marks)}
    return {"read back": time.perf_counter() - arrived}


def _proposed(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows if row["state"] == "proposed"]


def repeat(folder: Path, name: str, way: str) -> dict[str, float]:
    """One repetition in a process of its own, on the stores as they were kept."""
    shutil.rmtree(folder / "home")
    shutil.copytree(folder / "kept", folder / "home")
    before = set((folder / "data" / name).iterdir())
    command = [sys.executable, __file__, "--once", str(folder), name, way]
    environment = os.environ | {"CONTROLPLANE_JOBS": str(folder / f"jobs-{name}")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    for path in set((folder / "data" / name).iterdir()) - before:
        path.unlink()
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three repetitions")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write every time here")
    parser.add_argument("--once", nargs=3, metavar=("FOLDER", "SERVICE", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps(once(Path(given.once[0]), *given.once[1:])))  # noqa: T201
        return
    repeats = 3 if given.quick else given.repeats
    found: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory(prefix="controlplane-latency-") as temporary:
        folder = Path(temporary) / "demo"
        with place.environment(place.settings(folder)):
            names = lay_out(folder)
            for _ in range(repeats):
                for name in names:
                    for way in WAYS:
                        found.setdefault(f"{name}, {way}", []).append(repeat(folder, name, way))
    load = os.getloadavg()[0]
    shown = Table(title=f"Seconds from a bad window's file to the alias moved and read back, {repeats} times each")
    for heading in ("", "median", "max", "promised", ""):
        shown.add_column(heading, justify="left" if not heading else "right")
    for case, times in found.items():
        taken = [one["read back"] for one in times]
        kept = "" if median(taken) <= PROMISED else "MISSED"
        shown.add_row(case, f"{median(taken):.2f}", f"{max(taken):.2f}", f"median at most {PROMISED:g}", kept)
    console = Console(width=118)
    console.print(shown)
    shown = Table(title="Until when each step had ended, median seconds after the file (scheduler)")
    for heading in ("", *STEPS, "read back"):
        shown.add_column(heading, justify="right" if heading else "left")
    for case, times in found.items():
        if case.endswith("scheduler"):
            seen = [[one[step] for one in times if step in one] for step in (*STEPS, "read back")]
            shown.add_row(case.partition(",")[0], *(f"{median(ends):.2f}" if ends else "" for ends in seen))
    console.print(shown)
    console.print(f"{os.cpu_count()} cores, load {load:.1f}")
    if given.json:
        figures = {"seconds": found, "cores": os.cpu_count(), "load": load, "machine": platform.machine()}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
