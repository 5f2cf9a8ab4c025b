"""Commands that keep running, and the demo: `dashboard`, `up`, `demo`."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stdout
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.show import Every, Json, console, print_json, settings
from controlplane.errors import ConfigError

if TYPE_CHECKING:
    from controlplane.config import Settings

Port = Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")]
Address = Annotated[str, typer.Option(help="The address to listen on; loopback unless you say otherwise.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(dashboard)
    app.command()(up)
    app.command()(demo)


def dashboard(port: Port = 8501, address: Address = "localhost") -> None:
    """Open the dashboard on the store; it reads, and writes only what people ask for."""
    from controlplane.app import open_store

    chosen = settings()
    open_store(chosen).close()
    command = dashboard_command(port, address)
    # The page server takes this process's place, so that whoever ends this command ends it too.
    os.execve(command[0], command, dashboard_environment(chosen))


def up(
    port: Port = 8501,
    address: Address = "localhost",
    every: Every = 15.0,
) -> None:
    """Run the scheduler and the dashboard together until Ctrl-C; when one ends, the other is ended too."""
    from controlplane.app import open_store
    from controlplane.cli.both import run_together

    chosen = settings()
    open_store(chosen).close()
    scheduler = [sys.executable, "-m", "controlplane", "scheduler", "--every", str(every)]
    both = [(scheduler, dict(os.environ)), (dashboard_command(port, address), dashboard_environment(chosen))]
    raise typer.Exit(run_together(both))


def dashboard_command(port: int, address: str) -> list[str]:
    """How the dashboard is started; raises ConfigError where its extra is not installed."""
    if find_spec("streamlit") is None:
        raise ConfigError(
            "the dashboard needs the extra controlplane[dashboard]; pip install 'controlplane[dashboard]'"
        )
    page = resources.files("controlplane.dashboards") / "app.py"
    return [
        *(sys.executable, "-m", "streamlit", "run", str(page)),
        *(f"--server.address={address}", f"--server.port={port}", "--server.headless=true"),
        *("--browser.gatherUsageStats=false", "--client.toolbarMode=minimal", "--server.fileWatcherType=none"),
        # Streamlit's own accent is a red, which here would read as an alarm.
        *("--theme.light.primaryColor=#2f7fb5", "--theme.dark.primaryColor=#4a9fd6"),
    ]


def dashboard_environment(chosen: Settings) -> dict[str, str]:
    """What the dashboard is told: which store, and whose reports it writes."""
    from controlplane.config import load_valid

    try:
        organization = load_valid(chosen.jobs, chosen.workspace)[0].organization
    except ConfigError:
        # What is stored can be looked at where the job files are not.
        organization = ""
    environment = {name: value for name, value in os.environ.items() if name != "CONTROLPLANE_DATABASE_URL_FILE"}
    return environment | {
        "CONTROLPLANE_DATABASE_URL": chosen.database,
        "CONTROLPLANE_WORKSPACE": chosen.workspace,
        "CONTROLPLANE_ORGANIZATION": organization,
    }


def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="The demo's own folder, made anew each time.", show_default="demo-output")
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="One rollback under load instead, live, in about 3 minutes."),
    ] = False,
    as_json: Json = False,
) -> None:
    """See the whole product at work on real data: drift, a regression rolled back, an attackable version caught.

    With --live (folder demo-rollback-output): a server under load, a worse version that takes the alias, and how long
    until all traffic is on the good one again; exit code 1 where a request failed or that took more than 10 s.
    """
    screen = console(stderr=as_json)
    if live:
        from controlplane.demo.live import run_live

        told = run_live(folder or Path("demo-rollback-output"), _call, screen)
    else:
        from controlplane.demo.story import run_demo

        told = run_demo(folder or Path("demo-output"), _call, screen)
    if as_json:
        print_json(told)
    if told.get("broken"):
        raise typer.Exit(1)


def _call(*argv: str) -> tuple[int, Any]:
    """Run one public command in this process: its exit code, and the JSON object it printed, if any."""
    from controlplane.cli.main import call

    printed = io.StringIO()
    with redirect_stdout(printed):
        code = call(*argv)
    return code, json.loads(printed.getvalue()) if "--json" in argv else None
