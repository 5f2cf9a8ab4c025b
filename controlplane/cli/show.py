"""Showing: tables for people on a terminal, one JSON object for machines; never both on one stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.errors import ConfigError, ControlPlaneError

if TYPE_CHECKING:
    from rich.console import Console

    from controlplane.config import Settings
    from controlplane.domain.guards import Freeze
    from controlplane.errors import Problem
    from controlplane.store import Session

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Every = Annotated[float, typer.Option(min=1.0, max=86_400.0, help="Seconds between two looks at what is due.")]

COLOURS = {
    "PASS": "green",
    "WARN": "yellow",
    "INCONCLUSIVE": "magenta",
    "ERROR": "magenta",
    "FAIL": "red",
    "open": "red",
    "critical": "bold red",
    "acknowledged": "yellow",
    "closed": "green",
}


def settings() -> Settings:
    """The settings of this environment, with telemetry off before anything else is imported."""
    from controlplane.config import Settings, silence_telemetry

    silence_telemetry()
    return Settings()


def console(stderr: bool = False) -> Console:
    """A rich console; on a pipe, whose reader has no width, tables are 160 columns wide."""
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False)
    return screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def print_json(value: object) -> None:
    """One JSON object, moments in ISO 8601, spans in seconds."""
    typer.echo(json.dumps(value, default=plain, indent=2))


def plain(value: object) -> object:
    """What JSON cannot say by itself."""
    if isinstance(value, datetime):
        from controlplane.domain.monitor import iso

        return iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def row_of(row: Any) -> dict[str, Any]:
    """A table's row as a mapping of its columns."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, outcomes and states in their colour; what rows hold is text, never markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        shown.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))
    console().print(shown)


def ago(moment: datetime | None) -> str:
    """A moment as people read it, in their own zone."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


@contextmanager
def progress(text: str, quiet: bool) -> Iterator[Any]:
    """A spinner on stderr that names the step in hand; yields the function that says which one it is."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda step: None
        return
    with screen.status(text) as status:
        yield lambda step: status.update(f"{text} · {step}")


def print_error(error: ControlPlaneError, as_json: bool) -> None:
    """The sentences of an error on stderr; with `--json` also as an object on stdout."""
    problems = error.problems if isinstance(error, ConfigError) and error.problems else ()
    if as_json:
        print_json({"error": str(error), "problems": [asdict(problem) for problem in problems]})
    for line in str(error).splitlines():
        typer.secho(f"error: {line}", fg="red", err=True)


def warn_of(problems: Sequence[Problem]) -> None:
    """Say on stderr what was left out of what follows: the mistakes of job files that are not in order."""
    for problem in problems:
        typer.secho(f"left out: {problem}", fg="red", err=True)


def frozen(session: Session, workspace: str) -> list[Freeze]:
    """The freezes in force, for a command to show beside what it says."""
    from controlplane.store import freezes

    return freezes.in_force(session, workspace, datetime.now(UTC))


def print_frozen(held: Sequence[Freeze]) -> None:
    """Say what is frozen, where anything is."""
    for freeze in held:
        console().print(f"frozen: {freeze}", style="cyan", markup=False)


def only(found: Sequence[Any], what: str, prefix: str) -> Any:
    """The one row an id or its beginning names; raises ConfigError that says how many there are."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"there is no {what} {prefix!r}; `controlplane {what}s list` shows them")
    raise ConfigError(f"{len(found)} {what}s begin with {prefix!r}; give more of the id")
