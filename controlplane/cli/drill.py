"""The command that practises: `drill`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli.show import Json, console, print_json, progress, settings, table, warn_of
from controlplane.errors import ConfigError, ControlPlaneError

if TYPE_CHECKING:
    from controlplane.config import Jobs, Settings
    from controlplane.domain.monitor import Monitor, Reaction
    from controlplane.drills.fault import Fault
    from controlplane.drills.report import Report
    from controlplane.drills.stock import Stock
    from controlplane.errors import Problem
    from controlplane.store import Store


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(drill)


def drill(
    kind: Annotated[
        str,
        typer.Argument(
            help="drift, regression, attackable_version, late_labels, registry_conflict, dead_worker, "
            "unsafe_target, or all."
        ),
    ],
    monitor: Annotated[str | None, typer.Argument(help="The monitor's name; default: every one that it fits.")] = None,
    reaction: Annotated[
        str | None,
        typer.Option(help="What the copy does with a failure: observe, propose, rollback; default: as the job."),
    ] = None,
    size: Annotated[
        float | None,
        typer.Option(help="How large the fault is: standard deviations (drift), or a share of rows (regression)."),
    ] = None,
    healthy: Annotated[int, typer.Option(min=1, max=100, help="Healthy windows before the fault.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Draws the windows' rows.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the sandbox, and say where it is.")] = False,
    as_json: Json = False,
) -> None:
    """Put a known fault into a sandboxed copy of a monitor, and see how soon and how rightly it is dealt with.

    The copy has its own store, registry and clock; nobody is told, no alias is touched, and of the installation only
    the record of the drill is written: evidence. Exit code 0 where everything went as expected, 1 where not, 2 for bad
    usage or a drill that does not fit, 3 where one could not be carried through.
    """
    from controlplane.app import open_store
    from controlplane.config import load_valid
    from controlplane.drills.drill import ALL, faults

    asked = faults(kind, size)
    # A killed worker leaves what its libraries made for all processes behind, which Python's tracker would tell of.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    chosen = settings()
    jobs, problems = load_valid(chosen.jobs, chosen.workspace)
    watched = _watched(monitor, jobs, problems)
    told = _Told(named=monitor is not None and kind != ALL)
    with closing(open_store(chosen)) as store, _folder(chosen.home, keep) as folder, progress("drill", as_json) as step:
        for one in watched:
            _drill_one(
                told, chosen, jobs, one, asked, store, folder / one.name, _reaction(reaction), healthy, seed, step
            )
    if not told.reports and not told.broken:
        raise ConfigError("; ".join(f"{name}: {fault}: {why}" for name, fault, why in told.left_out))
    _show(told, folder if keep else None, as_json)
    if told.broken:
        raise typer.Exit(3)
    if any(report.unmet for report in told.reports):
        raise typer.Exit(1)


class _Told:
    """What became of every drill that was asked for. `named` says that one kind of one monitor was."""

    def __init__(self, named: bool) -> None:
        self.named = named
        self.reports: list[Report] = []
        self.left_out: list[tuple[str, str, str]] = []
        self.broken: list[tuple[str, str, str]] = []


def _drill_one(
    told: _Told,
    chosen: Settings,
    jobs: Jobs,
    monitor: Monitor,
    asked: Sequence[Fault],
    store: Store,
    folder: Path,
    reaction: Reaction | None,
    healthy: int,
    seed: int,
    step: Callable[[str], None],
) -> None:
    """Drill one monitor with each of the faults; each report's record is stored as soon as it is there."""
    from controlplane.drills.drill import drill
    from controlplane.drills.stock import prepare
    from controlplane.store import records

    step(f"{monitor.name}: copying what is needed")
    # One moment for all: of records of one kind and moment the worse stays in force.
    began = datetime.now(UTC)
    try:
        stock: Stock = prepare(chosen, jobs, monitor, store, folder, reaction, seed)
    except ControlPlaneError as error:
        if told.named or not isinstance(error, ConfigError):
            raise
        told.left_out.append((monitor.name, "all", str(error)))
        return
    for fault in asked:
        obstacle = fault.obstacle(stock)
        if obstacle:
            told.left_out.append((monitor.name, fault.kind, obstacle))
            continue
        try:
            report = drill(stock, fault, folder / fault.kind, healthy, _saying(step, monitor.name, fault.kind))
        except ControlPlaneError as error:
            if told.named:
                raise
            told.broken.append((monitor.name, fault.kind, str(error)))
            continue
        told.reports.append(report)
        with store.begin() as session:
            records.store_evidence(session, store.workspace, [report.evidence(began)])


def _saying(step: Callable[[str], None], monitor: str, kind: str) -> Callable[[str], None]:
    return lambda said: step(f"{monitor} · {kind} · {said}")


def _watched(name: str | None, jobs: Jobs, problems: tuple[Problem, ...]) -> Sequence[Monitor]:
    """The monitors to drill; raises ConfigError for a name that is none."""
    from controlplane.ports import suggest

    if name is None:
        warn_of(problems)
        return jobs.monitors
    found = [each for each in jobs.monitors if each.name == name]
    if not found:
        known = sorted(each.name for each in jobs.monitors)
        raise ConfigError(problems or f"unknown monitor {name!r}; {suggest(name, known)}")
    return found


def _reaction(name: str | None) -> Reaction | None:
    from controlplane.domain.monitor import Reaction

    if name is None:
        return None
    try:
        return Reaction(name)
    except ValueError:
        raise ConfigError(f"unknown reaction {name!r}; valid: {', '.join(Reaction)}") from None


@contextmanager
def _folder(home: Path, keep: bool) -> Iterator[Path]:
    """A folder for the sandboxes, below the installation's own; gone in the end, also after Ctrl-C, unless kept."""
    drills = home / "drills"
    try:
        drills.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(dir=drills))
    except OSError as error:
        raise ConfigError(f"no folder for the sandbox can be made in {drills}: {error.strerror}") from None
    try:
        yield folder
    finally:
        if not keep:
            rmtree(folder, ignore_errors=True)
            if not any(drills.iterdir()):
                drills.rmdir()


def _show(told: _Told, kept: Path | None, as_json: bool) -> None:
    if as_json:
        left_out, broken = (
            [{"monitor": monitor, "kind": kind, "why": why} for monitor, kind, why in some]
            for some in (told.left_out, told.broken)
        )
        drills = [
            {"outcome": report.outcome, "source": f"drill:{report.id}", "report": report} for report in told.reports
        ]
        print_json({"drills": drills, "left_out": left_out, "broken": broken, "sandbox": kept})
        return
    rows = [
        (
            report.monitor,
            report.kind,
            report.outcome,
            report.detected or "no incident",
            "" if report.moved_seconds is None else f"{report.moved_seconds:.1f} s",
            "not" if report.recovered is None else report.recovered,
            len(report.false_actions),
            report.fault,
        )
        for report in told.reports
    ]
    headings = ("monitor", "drill", "went", "noticed", "alias moved", "recovered", "false actions", "the fault")
    if rows:
        table("1 drill" if len(rows) == 1 else f"{len(rows)} drills", headings, rows)
    screen = console()
    if len(told.reports) == 1:
        _show_one(told.reports[0])
    for report in told.reports:
        for one in report.unmet:
            said = f"{report.monitor} {report.kind}: {one.what}: expected {one.expected}, happened: {one.happened}"
            screen.print(said, style="red", markup=False, soft_wrap=True)
    for monitor, kind, why in told.left_out:
        screen.print(f"{monitor} {kind}: does not fit: {why}", markup=False, soft_wrap=True)
    for monitor, kind, why in told.broken:
        screen.print(
            f"{monitor} {kind}: could not be carried through: {why}", style="magenta", markup=False, soft_wrap=True
        )
    if kept is not None:
        screen.print(f"the sandbox is in {kept}", markup=False, soft_wrap=True)


def _show_one(report: Report) -> None:
    cells = [(one.what, one.expected, one.happened, "PASS" if one.held else "FAIL") for one in report.expectations]
    table("what was expected", ("of", "expected", "happened", ""), cells)
    windows = [
        (
            one.number,
            one.phase,
            one.version,
            one.outcome,
            "; ".join(
                [*(f"{cause} opens" for cause in one.opened)]
                + [f"rollback {act.state}" for act in one.acts]
                + [*(f"{cause} closes" for cause in one.closed)]
            ),
            one.holder,
            one.why,
        )
        for one in report.seen
    ]
    headings = ("window", "phase", "answered by", "outcome", "what happened", "alias then", "why")
    table("window by window", headings, windows)
