"""Commands about configuration: `validate`, `schema`, `db`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli.show import Json, console, print_json, settings, table
from controlplane.errors import StoreError

if TYPE_CHECKING:
    from controlplane.config import Settings
    from controlplane.domain.monitor import Monitor


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
    told = _promises(chosen, jobs.monitors)
    if as_json:
        print_json(
            {
                "monitors": [
                    {"name": each.name, "digest": each.digest, "budget": told.get(each.name)} for each in jobs.monitors
                ]
            }
        )
        return
    rows = [
        (each.name, each.model, ", ".join(check.name for check in each.checks), each.reaction, each.owner)
        for each in jobs.monitors
    ]
    table(f"{len(rows)} monitors in order", ("monitor", "model", "checks", "reaction", "owner"), rows)
    for name, said in told.items():
        console().print(f"{name}: {said}", markup=False)


def _promises(chosen: Settings, monitors: Sequence[Monitor]) -> dict[str, str]:
    """What the newest reference of each monitor with a page budget promises; the store may not be there yet."""
    from controlplane.engine import references
    from controlplane.store import Store, records

    budgeted = [monitor for monitor in monitors if monitor.budget is not None]
    if not budgeted:
        return {}
    try:
        with closing(Store(chosen.database, chosen.workspace, read_only=True)) as store, store.begin() as session:
            return {each.name: references.tell(records.newest_reference(session, each)) for each in budgeted}
    except StoreError:
        return {each.name: references.tell(None) for each in budgeted}


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
