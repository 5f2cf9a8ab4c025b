"""Commands about configuration: `validate`, `schema`, `db`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.show import Json, console, print_json, settings, table


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(validate)
    app.command()(schema)
    database = typer.Typer(help="The database: bring its schema up to date, or look at it.", no_args_is_help=True)
    database.command("upgrade")(upgrade)
    database.command("status")(status)
    app.add_typer(database, name="db")


def validate(
    folder: Annotated[Path | None, typer.Argument(help="The folder of job files; default CONTROLPLANE_JOBS.")] = None,
    as_json: Json = False,
) -> None:
    """Check every job file and report every mistake at once, as FILE:LINE."""
    from controlplane.config import load_jobs

    chosen = settings()
    jobs = load_jobs(folder or chosen.jobs, chosen.workspace)
    if as_json:
        print_json({"monitors": [{"name": each.name, "digest": each.digest} for each in jobs.monitors]})
        return
    rows = [
        (each.name, each.model, ", ".join(check.name for check in each.checks), each.reaction, each.owner)
        for each in jobs.monitors
    ]
    table(f"{len(rows)} monitors in order", ("monitor", "model", "checks", "reaction", "owner"), rows)


def schema() -> None:
    """Print the JSON Schema of a job file, for editors."""
    from controlplane.config import json_schema

    print_json(json_schema())


def upgrade(as_json: Json = False) -> None:
    """Bring the database's schema to the newest revision."""
    from controlplane.app import open_store

    with closing(open_store(settings())) as store:
        _say(str(store), *store.revision(), as_json)


def status(as_json: Json = False) -> None:
    """Show which revision the database has, and which this version needs."""
    from controlplane.store import Store

    chosen = settings()
    with closing(Store(chosen.database, chosen.workspace, read_only=True)) as store:
        found, needed = store.revision()
        _say(str(store), found, needed, as_json)
    if found != needed:
        raise typer.Exit(3)


def _say(place: str, found: str | None, needed: str, as_json: bool) -> None:
    if as_json:
        print_json({"database": place, "revision": found, "needed": needed})
    else:
        console().print(f"{place} is at revision {found or 'none'}; this version needs {needed}", markup=False)
