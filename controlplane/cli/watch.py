"""Commands that measure: `reference build`, `run`, `scheduler`."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.show import (
    Every,
    Json,
    console,
    frozen,
    print_frozen,
    print_json,
    progress,
    row_of,
    settings,
    table,
    warn_of,
)
from controlplane.errors import ConfigError

if TYPE_CHECKING:
    from controlplane.config import Settings
    from controlplane.domain.monitor import Monitor
    from controlplane.domain.verdict import Finding, Verdict
    from controlplane.engine.context import Context
    from controlplane.errors import Problem

MonitorName = Annotated[str, typer.Argument(help="The monitor's name, as in its job file.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    reference = typer.Typer(help="The reference that windows are compared with.", no_args_is_help=True)
    reference.command("build")(build_reference)
    # A group of one command would fold into it without a callback.
    reference.callback()(lambda: None)
    app.add_typer(reference, name="reference")
    app.command()(run)
    app.command()(scheduler)


def build_reference(
    monitor: MonitorName,
    version: Annotated[str | None, typer.Option(help="The model version; default: the alias's holder.")] = None,
    as_json: Json = False,
) -> None:
    """Build the reference profile of a version, keep it in MLflow, and say what it promises of a page budget."""
    from controlplane.app import open_app
    from controlplane.engine import references
    from controlplane.engine.look import see

    with progress(f"building the reference of {monitor}", as_json) as step, open_app(settings(), step) as opened:
        context, chosen = opened[0], pick(monitor, *opened)
        context.workers.warm_up()
        row = references.build(context, chosen, version or see(context, chosen)[0])
    if as_json:
        print_json({"reference": row_of(row), "promise": json.loads(row.promise or "null")})
    else:
        said = f"reference of {monitor} for version {row.version}: {row.n_rows} rows, {row.digest[:12]}, {row.uri}"
        console().print(said, markup=False)
        if chosen.budget is not None:
            console().print(references.tell(row), markup=False)


def run(
    monitor: MonitorName,
    window: Annotated[str | None, typer.Option(help="START/END in ISO 8601; default: the next due window.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and judge; record no run, open no incident, move nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure one window: the next due one as the scheduler would, or any other without consequences.

    Exit code 0 for PASS or WARN, 1 for FAIL, 2 for bad usage or configuration, 3 where it could not see.
    """
    from controlplane.app import open_app
    from controlplane.domain.monitor import RunKind, Window
    from controlplane.engine import cycle, register
    from controlplane.engine.run import dry_run as look_only
    from controlplane.engine.run import run_window

    try:
        asked = None if window is None else Window.parse(window)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with progress(f"running {monitor}", as_json) as step, open_app(settings(), step) as opened:
        context, chosen = opened[0], pick(monitor, *opened)
        context.workers.warm_up()
        if dry_run:
            verdict, findings = look_only(context, chosen, asked or cycle.newest_window(context, chosen))
            _show(chosen, str(asked or ""), verdict, findings, {}, as_json)
            raise typer.Exit(code_of(verdict))
        register.register(context)
        if asked is None:
            cycle.begin(context)
            cycle.measure_late(context, chosen)
            done = cycle.run_next(context, chosen)
            cycle.settle(context)
        else:
            cycle.prepare(context, chosen)
            done = run_window(context, chosen, asked, RunKind.MANUAL)
        if done is None:
            _show_nothing(context, chosen, as_json)
            return
        beside = _beside(context, done.id, done.monitor) | {
            "run": {
                "id": done.id,
                "monitor": done.monitor,
                "window": str(done.window),
                "kind": done.kind,
                "version": done.version,
                "outcome": done.verdict.outcome,
                "why": done.verdict.why,
                "seconds": done.seconds,
            }
        }
    _show(chosen, str(done.window), done.verdict, done.findings, beside, as_json)
    raise typer.Exit(code_of(done.verdict))


def scheduler(
    every: Every = 15.0,
    once: Annotated[bool, typer.Option("--once", help="Do all that is due now, then leave.")] = False,
    as_json: Json = False,
) -> None:
    """Run every monitor when it is due, until SIGTERM; what is in hand is finished, nothing is left half-done."""
    from controlplane.app import open_app
    from controlplane.engine import cycle, register, scheduler

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # They tell of every tick and every table, also of the ticks that a long one leaves out; the runs say what matters.
    for name in ("apscheduler", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    chosen = settings()
    with scheduler.stopping_on_signals() as stop, open_app(chosen, stopping=stop.is_set) as opened:
        context, problems = opened
        if problems and not context.monitors:
            raise ConfigError(problems)
        warn_of(problems)
        register.register(context)
        if not once:
            context.workers.warm_up()
            woken = threading.Event()
            with _listening(chosen, woken):
                scheduler.serve(context, every, stop, woken)
            return
        done = cycle.tick(context)
        with context.store.begin() as session:
            held = frozen(session, context.workspace)
    if as_json:
        print_json(
            {
                "freezes": held,
                "runs": [
                    {
                        "id": each.id,
                        "monitor": each.monitor,
                        "window": str(each.window),
                        "outcome": each.verdict.outcome,
                        "why": each.verdict.why,
                    }
                    for each in done
                ],
            }
        )
    else:
        rows = [(each.monitor, each.window, each.verdict.outcome, each.verdict.why) for each in done]
        table(f"{len(rows)} windows were due", ("monitor", "window", "outcome", "why"), rows)
        print_frozen(held)


def _listening(chosen: Settings, woken: threading.Event) -> AbstractContextManager[object]:
    """What wakes the scheduler when MLflow sends a webhook, where the environment asks for that."""
    from controlplane.engine.webhook import listening

    if chosen.webhook_address is None or chosen.webhook_secret is None:
        return nullcontext()
    return listening(chosen.webhook_address, chosen.webhook_secret.get_secret_value(), woken.set)


def pick(name: str, context: Context, problems: tuple[Problem, ...]) -> Monitor:
    """The monitor of that name; raises ConfigError that says what is wrong with its file, or which names there are."""
    from controlplane.ports import suggest

    if name in context.monitors:
        return context.monitors[name]
    if problems:
        raise ConfigError(problems)
    raise ConfigError(f"unknown monitor {name!r}; {suggest(name, sorted(context.monitors))}")


def code_of(verdict: Verdict) -> int:
    """The exit code of a verdict."""
    from controlplane.domain.verdict import BLIND, Outcome

    return 1 if verdict.outcome is Outcome.FAIL else 3 if verdict.outcome in BLIND else 0


def _beside(context: Context, run_id: str, monitor: str) -> dict[str, Any]:
    """What stands beside a run: the monitor's open incidents, those this run changed, and its actions."""
    from controlplane.store import actions, incidents

    with context.store.begin() as session:
        rows = incidents.find_incident(session, context.workspace, "")
        shown = [
            row_of(row)
            for row in rows
            if row.monitor == monitor and (row.state != "closed" or run_id in (row.opened_run, row.closed_run))
        ]
        done = [row_of(row) for row in actions.find_action(session, context.workspace, "") if row.monitor == monitor]
        held = [freeze for freeze in frozen(session, context.workspace) if freeze.monitor in (None, monitor)]
    return {"incidents": shown, "actions": done, "freezes": held}


def _show(
    monitor: Monitor,
    window: str,
    verdict: Verdict,
    findings: tuple[Finding, ...],
    beside: dict[str, Any],
    as_json: bool,
) -> None:
    if as_json:
        print_json(beside | {"verdict": verdict, "findings": findings})
        return
    judged = [finding for finding in findings if finding.outcome is not None]
    rows = [(finding.check, finding.version, finding.outcome, finding.why) for finding in judged]
    table(f"{monitor.name} {window}", ("check", "version", "outcome", "why"), rows)
    screen = console()
    colour = {0: "green", 1: "red", 3: "magenta"}[code_of(verdict)]
    screen.print(f"[{colour}]{verdict.outcome}[/] ", end="")
    screen.print(verdict.why, markup=False)
    for incident in beside.get("incidents", []):
        screen.print(
            f"incident {incident['id']} {incident['cause']} {incident['state']}: {incident['title']}", markup=False
        )
    print_frozen(beside.get("freezes", []))
    for action in beside.get("actions", []):
        screen.print(f"rollback {action['id']} {action['state']}: {action['why']}", markup=False)


def _show_nothing(context: Context, monitor: Monitor, as_json: bool) -> None:
    from controlplane.domain.monitor import iso
    from controlplane.engine import cycle

    at = iso(cycle.next_due_at(context, monitor))
    if as_json:
        print_json(_beside(context, "", monitor.name) | {"run": None, "next_due": at})
    else:
        console().print(f"nothing is due for {monitor.name}; the next window is due at {at}", markup=False)
