"""Where a command line enters and leaves. Exit codes: 0 PASS or WARN, 1 FAIL, 2 bad usage or configuration,
3 cannot see."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from controlplane.cli import configure, decide, drill, freeze, history, log, replay, serve, serving, tell, watch
from controlplane.cli.show import print_error, print_json
from controlplane.errors import ControlPlaneError

app = typer.Typer(
    name="controlplane",
    help="Watches machine-learning models in production and acts when they go wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (configure, watch, replay, drill, decide, history, freeze, tell, log, serve, serving):
    module.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from controlplane import __version__

        typer.echo(f"controlplane {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before a command."""


def call(*argv: str) -> int:
    """Run one command line in this process and return its exit code; errors become one sentence on stderr."""
    try:
        code = app(list(argv), standalone_mode=False)
    except ControlPlaneError as error:
        print_error(error, "--json" in argv)
        return error.exit_code
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        shown = getattr(error, "show", None)
        if shown is None:
            raise
        if "--json" in argv:
            print_json({"error": str(getattr(error, "message", error)), "problems": []})
        shown()
        return int(getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console command `controlplane`."""
    try:
        code = call(*sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Somebody closed the pipe we print into; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
