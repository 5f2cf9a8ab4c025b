"""The kill switch: `freeze` and `unfreeze`. They need the database and nothing else: no registry, no sound job file."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from controlplane.cli.decide import By, Why, you
from controlplane.cli.show import Json, console, print_json, row_of, settings

Monitor = Annotated[str | None, typer.Argument(help="One monitor; everything if left out.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(freeze)
    app.command()(unfreeze)


def freeze(
    why: Annotated[str, typer.Option(help="Why; a refused move says it.")],
    monitor: Monitor = None,
    hours: Annotated[
        float | None, typer.Option(help="How long, in hours; until it is lifted if left out.", min=0.01, max=8_760.0)
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Stop every rollback, or those of one monitor, at once: no alias is moved until it is lifted or over."""
    _throw("freeze", monitor, by, why, as_json, hours)


def unfreeze(monitor: Monitor = None, by: By = None, why: Why = "", as_json: Json = False) -> None:
    """Lift the freeze of everything, or that of one monitor."""
    _throw("unfreeze", monitor, by, why, as_json)


def _throw(kind: str, monitor: str | None, by: str | None, why: str, as_json: bool, hours: float | None = None) -> None:
    from controlplane.app import known_monitors, open_store
    from controlplane.engine import freezing
    from controlplane.errors import ConfigError
    from controlplane.store import intents

    chosen, now = settings(), datetime.now(UTC)
    until = None if hours is None else now + timedelta(hours=hours)
    known = known_monitors(chosen) if monitor is not None else ()
    with closing(open_store(chosen)) as store:
        row = freezing.throw(store, intents.IntentKind(kind), monitor, by or you(), why, now, until, known)
    if row.state == intents.REFUSED:
        raise ConfigError(row.result)
    if as_json:
        print_json({"intent": row_of(row)})
    else:
        console().print(row.result, markup=False)
