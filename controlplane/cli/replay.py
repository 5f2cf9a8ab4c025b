"""Commands that look back: `backtest`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli.rehearsed import show_policy
from controlplane.cli.show import Json, console, print_json, settings, table
from controlplane.cli.watch import MonitorName, pick
from controlplane.domain.monitor import Reaction
from controlplane.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from controlplane.config import Settings
    from controlplane.domain.monitor import Monitor, Window
    from controlplane.engine.pages import Backtest, Past, Rate

DAY = re.compile(r"\d{4}-\d\d-\d\d")
LEVELS = "▁▂▃▄▅▆▇"
LEGEND = "! a page opens  █ a page is open  ▁▂▃ evidence  · in order  w a warning  f a failure too few to page  ? blind"


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(backtest)


def backtest(
    monitor: MonitorName,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How many days to look back.")] = 30,
    job: Annotated[
        Path | None,
        typer.Option(help="Another job file for the same model, read as if it stood in the job folder."),
    ] = None,
    healthy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FROM/TO",
            help="A stretch in which nothing was wrong, as days or ISO 8601 moments, TO left out; may be repeated.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Where to stop, a day or an ISO 8601 moment; default: now.")] = None,
    reaction: Annotated[
        Reaction | None,
        typer.Option(help="What if this were the reaction? Default: the job's; observe proves nothing, so is quicker."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay past windows: which pages there would have been, how often, and what would have been done about them.

    Rows are read again and judged by today's job file, or by the one of `--job`. No run is recorded and nobody is
    told; only a reference that is missing is built and kept. A page is false where you vouch with `--healthy` that
    nothing was wrong; without it the rate is that of all pages. What the reaction would have done about each page is
    planned, and proved on the window's rows, as a run does; nothing is moved. Exit code 0 whatever the pages, 2 for bad
    usage or configuration, 3 where nothing could be seen.
    """
    from controlplane.app import open_app
    from controlplane.engine.backtest import replay, windows_of

    stretches = [_stretch(text) for text in healthy or ()]
    end = None if until is None else _moment(until)
    chosen = settings()
    with open_app(chosen) as opened:
        context, watched = opened[0], pick(monitor, *opened)
        context.workers.warm_up()
        if job is not None:
            watched = _changed(job, chosen, watched)
        watched = replace(watched, reaction=reaction or watched.reaction)
        windows = windows_of(context, watched, days, end)
        with _bar(f"replaying {monitor}", len(windows)) as (told, done):
            found = replay(context, watched, windows, stretches, told, done)
    if as_json:
        print_json({"monitor": monitor, "config_digest": watched.digest, "budget": watched.budget, "backtest": found})
    else:
        _show(watched, found, bool(stretches))
        show_policy(watched, found.policy)


def _moment(text: str) -> datetime:
    """A moment in ISO 8601 with its zone; a day alone is its first moment in UTC."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(f"{text}T00:00Z" if DAY.fullmatch(text) else text)
        if moment.tzinfo is None:
            raise ValueError("it has no zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        said = f"--until is a day or an ISO 8601 moment with a zone, such as 2026-01-31T12:00Z; got {text!r} ({error})"
        raise ConfigError(said) from None


def _stretch(text: str) -> Window:
    """FROM/TO in ISO 8601; a day alone is its first moment in UTC."""
    from controlplane.domain.monitor import Window

    moments = [f"{part}T00:00Z" if DAY.fullmatch(part) else part for part in text.split("/")]
    try:
        return Window.parse("/".join(moments))
    except ValueError as error:
        raise ConfigError(f"--healthy {text!r}: {error}") from None


def _changed(job: Path, chosen: Settings, monitor: Monitor) -> Monitor:
    from controlplane.config import load_job

    changed = load_job(job, chosen.jobs, monitor.name, monitor.workspace)
    if changed.model != monitor.model:
        raise ConfigError(
            f"{job} watches {changed.model}, and {monitor.name} watches {monitor.model}; a backtest is of one model"
        )
    return changed


@contextmanager
def _bar(text: str, total: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """A progress bar on a terminal's stderr; yields what says the step in hand, and what ends one window."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(f"{text} · starting", total=total)

        def done() -> None:
            bar.update(task, advance=1, description=text)

        yield lambda said: bar.update(task, description=f"{text} · {said}"), done


def _show(monitor: Monitor, found: Backtest, vouched: bool) -> None:
    screen = console()
    first, last = found.windows[0].window, found.windows[-1].window
    rows = [
        (
            page.number,
            page.cause,
            ", ".join(page.by),
            page.version,
            _at(page.at),
            _at(page.closed_at),
            ("false: " if page.false else "") + page.text,
        )
        for page in found.pages
    ]
    headings = ("page", "cause", "by", "version", "opened (UTC)", "closed (UTC)", "what it would have said")
    title = f"{monitor.name}: {len(found.windows)} windows from {_at(first.start)} to {_at(last.end)}"
    if rows:
        table(title, headings, rows)
    else:
        screen.print(f"{title}: no page", markup=False)
    screen.print(_strip(found.windows, screen.width))
    screen.print(LEGEND, style="dim", markup=False)
    for line in _lines(monitor, found, vouched):
        screen.print(line, markup=False, soft_wrap=True)


def _lines(monitor: Monitor, found: Backtest, vouched: bool) -> Iterator[str]:
    """The summary, one sentence a line."""
    from controlplane.engine.pages import By

    by = {kind: sum(kind in page.by for page in found.pages) for kind in By}
    both = sum(len(page.by) > 1 for page in found.pages)
    yield (
        f"{_count(len(found.pages))}: {by[By.BUDGET]} of the page budget, {by[By.LIMIT]} of limits"
        + (f" ({both} of both)" if both else "")
        + f", {by[By.BLIND]} of blindness; blind in {found.blind()} of {len(found.windows)} windows"
    )
    if found.before_rows:
        yield f"{found.before_rows} older windows left out: the source holds no rows before them"
    rates, days = found.rates, f"{found.rates.per.total_seconds() / 86_400:g} days"
    promised = f"; {monitor.budget} was asked for" if monitor.budget is not None else ""
    if monitor.budget is not None:
        yield f"page rate of the budget: {_said(rates.budget, days)}{promised}"
    yield f"page rate of limits: {_said(rates.limit, days)}"
    if not vouched:
        yield "a page is false only if nothing was wrong: name such stretches with --healthy FROM/TO to measure that"
    if rates.false_budget is not None and monitor.budget is not None:
        yield f"false pages of the budget: {_said(rates.false_budget, days)}{promised}"
    if rates.false_limit is not None:
        yield f"false pages of limits: {_said(rates.false_limit, days)}"
    for version in found.built:
        yield f"built and kept: the reference of version {version}"
    for note in found.notes:
        yield f"note: {note}"


def _said(rate: Rate, days: str) -> str:
    if rate.estimate is None:
        return "no window could tell"
    return (
        f"{rate.estimate:.3g} in {days} (95 % interval {rate.low:.3g} to {rate.high:.3g}; "
        f"{_count(rate.pages)} in {rate.windows} windows)"
    )


def _count(pages: int) -> str:
    return "1 page" if pages == 1 else f"{pages} pages"


def _strip(windows: Sequence[Past], width: int) -> Text:
    """One cell a window; where the line is too short, one for several, and the worst of them shows."""
    from rich.text import Text

    each = -(-len(windows) // max(width, 1))
    strip = Text()
    for start in range(0, len(windows), each):
        _, cell, style = max(_cell(past) for past in windows[start : start + each])
        strip.append(cell, style)
    return strip


def _cell(past: Past) -> tuple[float, str, str]:
    """How bad a window was, its mark, and its colour."""
    if past.opened:
        return 6, "!", "bold white on red"
    if not past.saw:
        return 5, "?", "magenta"
    if past.paged:
        return 4, "█", "red"
    if past.outcome == "FAIL":
        return 3, "f", "red"
    if past.outcome == "WARN":
        return 2, "w", "yellow"
    if past.level is None:
        return 0, "·", "green"
    return 1 + past.level / 2, LEVELS[min(int(past.level * len(LEVELS)), len(LEVELS) - 1)], "green"


def _at(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
