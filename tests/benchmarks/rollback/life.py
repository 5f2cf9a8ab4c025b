"""Every order in which an action's steps can come, with everything that may come between: is a promise ever broken?

    python life.py [--quick] [--json PATH]

The model, and what it grants, stand in tests/engine/action_life.py; its decisions are the product's own functions. Then
the protocol is broken in each of its precautions, one at a time: a checker that finds nothing must be able to find.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2] / "engine"))

from action_cases import MUTATIONS, SMALL, WHOLE, broken
from action_life import Case
from explore import explore

MOST = 200_000
"""So many states at most are looked at until a broken protocol is found out."""


def look(case: Case, most: int | None = None) -> dict[str, Any]:
    """What one search found, as plain values."""
    started = time.perf_counter()
    found = explore(case.begin(), case.steps, case.wrong, case.is_over, most)
    return {
        "states": found.states,
        "steps": found.steps,
        "depth": found.depth,
        "whole": found.whole,
        "wrong": found.wrong,
        "path": list(found.path),
        "cannot_end": found.stuck,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    """Search, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="what the tests explore")
    parser.add_argument("--json", type=Path, help="also write everything that was found here")
    given = parser.parse_args()
    console = Console(width=118)
    kept = {name: look(case) for name, case in (SMALL if given.quick else WHOLE).items()}
    shown = Table(title="The protocol as it is: two schedulers, every order of steps")
    for heading in ("", "states", "steps", "longest", "promised", "broken promises", "cannot end", "seconds"):
        shown.add_column(heading, justify="left" if heading in ("", "broken promises") else "right")
    for name, one in kept.items():
        wrong = f"MISSED: {one['wrong']}" if one["wrong"] else "none" if one["whole"] else "MISSED: not all was seen"
        stuck = f"MISSED: {one['cannot_end']}" if one["cannot_end"] else "none"
        sizes = (f"{one['states']:,}", f"{one['steps']:,}", str(one["depth"]))
        shown.add_row(name, *sizes, "none, none", wrong, stuck, f"{one['seconds']:.0f}")
    total = sum(one["states"] for one in kept.values())
    shown.add_row("together", f"{total:,}", f"{sum(one['steps'] for one in kept.values()):,}")
    console.print(shown)
    for one in kept.values():
        for number, name in enumerate(one["path"], 1):
            console.print(f"{number:3} {name}")

    found = {name: look(broken(name), MOST) for name in MUTATIONS}
    shown = Table(title="The protocol broken in one of its precautions: is it found out?")
    for heading in ("what is broken", "what comes of it", "after steps", "states"):
        shown.add_column(heading, justify="left" if heading.startswith("what") else "right")
    for name, one in found.items():
        shown.add_row(MUTATIONS[name], one["wrong"] or "MISSED: nothing", str(len(one["path"])), f"{one['states']:,}")
    console.print(shown)
    if given.json:
        figures = {"protocol": kept, "broken": found, "cores": os.cpu_count(), "machine": platform.machine()}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
