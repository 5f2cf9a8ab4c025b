"""Rollbacks decided over whole histories: how many are made that help nobody, and how many that would help are missed.

    python decisions.py [--quick] [--json PATH] [--seed N]

Every history is lived through window by window: the checks measure, limits or a page budget judge, incidents open, and
wherever a rollback is called for it is planned, proved on the failing window and accepted or refused by the functions
that runs use. Limits are as tight as can be, so that windows fail by chance too. A history ends with its first
rollback.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "performance"))

from attribution import METRICS, interval
from histories import JUDGES, LONG, SOON, Lived, Story, case_of, live

from controlplane.engine.policy import Would

MOST_MADE, MOST_MISSED = 12 / 2000, 0.05
NO_HELP = (
    Story("noise"),
    Story("equal skill, unrelated errors", alike=0.0),
    Story("world changed, 1 to 16 points", world=None),
    Story("world swings, up to 16 points", world=None, swings=True),
    Story("all versions 8 points too bad", always=1.0),
    Story("target 4 points worse, world changed", others=0.5, world=None),
    Story("too little data", world=None, rows=(20, 35, 50, 80)),
    Story("inputs drifted", drift=True),
)
BIG = (2000,)
HELP = (
    Story("version fell 8 points", helps=True, fall=1.0, rows=BIG),
    Story("version fell 8 points, world 4", helps=True, fall=1.0, world=0.5, rows=BIG),
)
SMALLER = (
    Story("version fell 8 points", helps=True, fall=1.0, rows=(500,)),
    Story("version fell 4 points", helps=True, fall=0.5, rows=BIG),
    Story("version fell 4 points", helps=True, fall=0.5, rows=(5000,)),
    Story("version fell 2 points", helps=True, fall=0.25, rows=BIG),
)


def lives(stories: Sequence[Story], number: int, seed: int, first: int) -> dict[Story, list[Lived]]:
    """So many histories of each kind; the kinds are numbered from `first` on."""
    found = {}
    for place, story in enumerate(stories, first):
        turns = track(range(number), story.name, console=Console(stderr=True), transient=True)
        found[story] = [live(story, case_of(story, turn, (seed, place, turn))) for turn in turns]
    return found


def rows_of(story: Story) -> str:
    """The sizes of a window, in words."""
    return f"{min(story.rows):,}" + (f"-{max(story.rows):,}" if len(story.rows) > 1 else "")


def codes(lived: Sequence[Lived]) -> Counter[str]:
    """In how many windows each refusal was given."""
    told = Counter[str]()
    for one in lived:
        for response in one.policy.responses:
            if response.would is Would.REFUSE:
                told[str(response.code)] += response.windows
    return told


def share(hits: int, n: int) -> str:
    """A share with its interval, in words."""
    low, high = interval(hits, n)
    return f"{hits} of {n:,} ({low:.1%}-{high:.1%})"


def summary(lived: Sequence[Lived]) -> dict[str, Any]:
    """Everything that is told of the histories of one kind."""
    made = [one for one in lived if one.made is not None]
    return {
        "histories": len(lived),
        "rows": sorted({one.case.rows for one in lived}),
        "failed": sum(one.failing > 0 for one in lived),
        "failing_windows": sum(one.failing for one in lived),
        "replays": sum(one.proofs for one in lived),
        "refusals": dict(codes(lived)),
        "made": len(made),
        "helped": sum(one.found for one in lived),
        "windows_to_rollback": [one.made[0] for one in made if one.made and one.found],
        "wrong": [asdict(one.case) | {"made": one.made} for one in made if not one.found],
        "missed": dict(Counter(f"{one.case.metric}, {one.case.judge}" for one in lived if not one.found)),
    }


def told(kinds: dict[Story, list[Lived]], helps: bool, promised: str, title: str) -> Table:
    """The histories of several kinds as a table."""
    table = Table(title=title)
    heads = ["what happens", "rows", "histories", "with a failure", "windows failed", "replays"]
    heads += ["missed", "windows until made (median)"] if helps else ["why refused (windows)", "rollbacks made"]
    for head in (*heads, "promised"):
        table.add_column(head, justify="left" if head in ("what happens", "why refused (windows)") else "right")
    for story, lived in kinds.items():
        one = summary(lived)
        cells = [story.name, rows_of(story), one["histories"], one["failed"], one["failing_windows"], one["replays"]]
        if helps:
            waits = one["windows_to_rollback"]
            cells += [share(len(lived) - one["helped"], len(lived)), f"{median(waits) + 1:g}" if waits else "-"]
        else:
            cells += [", ".join(f"{code} {n}" for code, n in codes(lived).most_common(3)), one["made"]]
        table.add_row(*map(str, cells), promised)
    return table


def main() -> None:
    """Print the tables and what was promised beside them, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the histories")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    number, started = (25 if given.quick else 250), time.perf_counter()
    calm = lives(NO_HELP, number, given.seed, 0)
    help_ = lives(HELP, number, given.seed, 100)
    smaller = lives(SMALLER, max(number * 2 // 5, 10), given.seed, 200)
    seconds = time.perf_counter() - started
    say = Console(width=200)
    n = sum(map(len, calm.values()))
    most = f"at most {MOST_MADE * n:g} in all"
    say.print(told(calm, False, most, f"No rollback would help: {LONG} windows each"))
    say.print(
        told(help_, True, f"at most {MOST_MISSED:.0%}", f"A rollback would help: made within {SOON} windows, or missed")
    )
    say.print(told(smaller, True, "nothing", "Smaller effects and windows"))
    made = sum(one.made is not None for lived in calm.values() for one in lived)
    missed = sum(not one.found for lived in help_.values() for one in lived)
    wanted = sum(map(len, help_.values()))
    say.print(f"Rollbacks made that help nobody: {share(made, n)}; promised: {most}.")
    say.print(f"Rollbacks missed: {share(missed, wanted)}; promised: at most {MOST_MISSED:.0%}.")
    say.print(
        f"Points are of accuracy (85 % at best), as much skill or error for the other metrics: "
        f"{', '.join(METRICS)} in turn; watched by {', '.join(JUDGES)} in turn; 1 to 3 versions to go back to. "
        f"{seconds:.0f} s, seed {given.seed}."
    )
    if given.json:
        groups = {"no_help": calm, "help": help_, "smaller": smaller}
        kinds = {
            group: {f"{story.name}, {rows_of(story)} rows": summary(lived) for story, lived in found.items()}
            for group, found in groups.items()
        }
        whole = {"made": made, "no_help": n, "missed": missed, "help": wanted}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(
            json.dumps(whole | {"seconds": seconds, "seed": given.seed, "kinds": kinds}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
