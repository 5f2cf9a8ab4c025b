"""Showing the story: a line a step while it runs, and at the end what happened, when and why."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from controlplane.domain.monitor import Window

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 120
_STYLES = {"FAIL": "red", "PASS": "green", "WARN": "yellow", "INCONCLUSIVE": "magenta", "ERROR": "magenta"}


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], None]]:
    """Yields what says which step is in hand: a spinner on a terminal, else a line each."""
    if not console.is_terminal:
        yield lambda text: console.print(text, markup=False)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("starting", total=None)

        def step(text: str) -> None:
            shown.update(task, description=text)

        yield step


def hours_of(window: Window) -> str:
    """The window as people read it, UTC.

    >>> hours_of(Window.parse("2026-01-01T09:00Z/2026-01-01T10:00Z"))
    '09:00-10:00'
    """
    return f"{window.start:%H:%M}-{window.end:%H:%M}"


def dashboard_command(folder: Path) -> str:
    """The command that opens the dashboard on the demo's store, as short as it can be where we are."""
    beside = Path(sys.executable).with_name("controlplane")
    program = "controlplane" if which("controlplane") == str(beside) else near(beside)
    home, jobs = shlex.quote(near(folder / "home")), shlex.quote(near(folder / "jobs"))
    return f"CONTROLPLANE_HOME={home} CONTROLPLANE_JOBS={jobs} {shlex.quote(program)} dashboard"


def near(path: Path) -> str:
    """The path from here where it is below here, else the whole of it."""
    short = os.path.relpath(path)
    return str(path) if short.startswith("..") else short


def show(console: Console, result: Mapping[str, Any]) -> None:
    """The table of what happened, and where to look next."""
    if not console.is_terminal:
        console.width = max(console.width, _PIPED_WIDTH)
    _timeline(console, result["timeline"])
    for move in result["moves"]:
        said = f"{move['monitor']}: from the bad window's arrival to version {move['to']} holding the alias"
        console.print(f"{said}: {move['seconds']:.1f} s", markup=False)
    for name, version in result["final_versions"].items():
        console.print(f"{name}: version {version} holds the alias now", markup=False)
    console.print(f"The whole demo took {result['seconds']['total']:.0f} s.", markup=False)
    console.print("The hours are made up: neither data set says when its rows happened.", markup=False)
    console.print(f"RMF report: {near(Path(result['report']))}", markup=False, soft_wrap=True)
    console.print(f"Dashboard:  {result['dashboard']}", markup=False, soft_wrap=True)


def _timeline(console: Console, lines: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="What happened, when and why (UTC)", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("at", "rows of", "monitor"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what, and why", overflow="fold")
    for line in lines:
        window = "" if line["window"] is None else hours_of(Window.parse(line["window"]))
        at = f"{datetime.fromisoformat(line['at']):%H:%M:%S}"
        style = _STYLES.get(line["what"].partition(",")[0], "bold")
        said = Text.assemble((line["what"], style), ": ", line["why"])
        table.add_row(at, window, Text(line["monitor"]), said)
    console.print(table)
