"""Commands where people decide: `incidents` and `rollbacks`. They write intents; the engine applies them."""

from __future__ import annotations

import getpass
import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from controlplane.cli.show import (
    Json,
    ago,
    console,
    frozen,
    only,
    print_frozen,
    print_json,
    row_of,
    settings,
    table,
)

Id = Annotated[str, typer.Argument(help="The id, or as much of its beginning as is unique.")]
By = Annotated[str | None, typer.Option(help="Who decides; default: you.")]
Why = Annotated[str, typer.Option(help="Why; kept with the decision.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    incidents = typer.Typer(help="Incidents: list, show, acknowledge, silence.", no_args_is_help=True)
    incidents.command("list")(list_incidents)
    incidents.command("show")(show_incident)
    incidents.command("ack")(acknowledge)
    incidents.command("silence")(silence)
    app.add_typer(incidents, name="incidents")
    rollbacks = typer.Typer(help="Rollbacks: list, show, approve, reject.", no_args_is_help=True)
    rollbacks.command("list")(list_rollbacks)
    rollbacks.command("show")(show_rollback)
    rollbacks.command("approve")(approve)
    rollbacks.command("reject")(reject)
    app.add_typer(rollbacks, name="rollbacks")


def list_incidents(
    all_of_them: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False, as_json: Json = False
) -> None:
    """The open incidents, newest first."""
    from controlplane.app import open_store
    from controlplane.store import incidents

    with closing(open_store(settings())) as store, store.begin() as session:
        rows = incidents.find_incident(session, store.workspace, "")
    shown = [row for row in rows if all_of_them or row.state != "closed"]
    if as_json:
        print_json({"incidents": [row_of(row) for row in shown]})
        return
    cells = [
        (row.id, row.state, row.severity, row.monitor, row.cause, ago(row.opened_at), ago(row.closed_at), row.title)
        for row in shown
    ]
    headings = ("incident", "state", "severity", "monitor", "cause", "opened", "closed", "why")
    table(f"{len(cells)} {'' if all_of_them else 'open '}incidents", headings, cells)


def show_incident(incident: Id, as_json: Json = False) -> None:
    """One incident: what happened to it, and who was told."""
    from controlplane.app import open_store
    from controlplane.store import incidents

    with closing(open_store(settings())) as store, store.begin() as session:
        row = only(incidents.find_incident(session, store.workspace, incident), "incident", incident)
        story = incidents.story(session, row.id)
    if as_json:
        changes = [
            row_of(transition) | {"deliveries": [row_of(delivery) for delivery in deliveries]}
            for transition, deliveries in story
        ]
        print_json({"incident": row_of(row), "transitions": changes})
        return
    cells = [
        (
            ago(transition.at),
            transition.event,
            transition.text,
            ", ".join(f"{delivery.receiver} {delivery.state}" for delivery in deliveries),
        )
        for transition, deliveries in story
    ]
    table(f"{row.monitor} {row.cause}: {row.state}, {row.severity}", ("when", "what", "why", "told"), cells)


def acknowledge(incident: Id, by: By = None, why: Why = "", as_json: Json = False) -> None:
    """Say that you look at an incident."""
    _intend_incident("acknowledge", incident, by, why, as_json)


def silence(
    incident: Id,
    hours: Annotated[float, typer.Option(help="How long, in hours.", min=0.01, max=8_760.0)] = 8.0,
    by: By = None,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Mute an incident's cause for a while; it goes on being measured."""
    _intend_incident("silence", incident, by, why, as_json, datetime.now(UTC) + timedelta(hours=hours))


def _intend_incident(
    kind: str, incident: str, by: str | None, why: str, as_json: bool, until: datetime | None = None
) -> None:
    from controlplane.app import open_store
    from controlplane.store import incidents

    with closing(open_store(settings())) as store, store.begin() as session:
        row = only(incidents.find_incident(session, store.workspace, incident), "incident", incident)
    _apply(kind, row.id, by, why, as_json, until)


def list_rollbacks(as_json: Json = False) -> None:
    """Every rollback that was planned, newest first, with what became of it."""
    from controlplane.app import open_store
    from controlplane.store import actions

    with closing(open_store(settings())) as store, store.begin() as session:
        rows = actions.find_action(session, store.workspace, "")
        held = frozen(session, store.workspace)
    if as_json:
        print_json({"rollbacks": [row_of(row) for row in rows], "freezes": held})
        return
    print_frozen(held)
    cells = [
        (row.id, row.state, f"{row.model}@{row.alias}", row.from_version, row.to_version, ago(row.planned_at), row.why)
        for row in rows
    ]
    table(f"{len(cells)} rollbacks", ("rollback", "state", "model", "from", "to", "planned", "why"), cells)


def show_rollback(rollback: Id, as_json: Json = False) -> None:
    """One rollback, with its proof."""
    from controlplane.app import open_store
    from controlplane.store import actions

    with closing(open_store(settings())) as store, store.begin() as session:
        row = only(actions.find_action(session, store.workspace, rollback), "rollback", rollback)
        replays = actions.replays_of(session, row.id)
    if as_json:
        print_json({"rollback": row_of(row), "replays": [row_of(replay) for replay in replays]})
        return
    console().print(f"{row.state}: {row.model}@{row.alias} from {row.from_version} to {row.to_version}", markup=False)
    console().print(row.why, markup=False)
    cells = [
        (
            replay.measure,
            f"{replay.current:.4g}",
            replay.version,
            f"{replay.candidate:.4g}",
            f"{replay.difference:.4g} ({replay.low:.4g} to {replay.high:.4g})",
            replay.n,
            _fall(replay.own, replay.own_low, replay.own_high),
            _fall(replay.other, replay.other_low, replay.other_high),
            replay.attribution,
        )
        for replay in replays
    ]
    heads = (
        "measure",
        "failing",
        "target",
        "with it",
        "difference",
        "n",
        "failing since reference",
        "target",
        "attribution",
    )
    table("replay on the same rows", heads, cells)


def _fall(estimate: float | None, low: float | None, high: float | None) -> str:
    return "" if estimate is None else f"{estimate:+.4g} ({low:.4g} to {high:.4g})"


def approve(rollback: Id, by: By = None, why: Why = "", as_json: Json = False) -> None:
    """Approve a proposed rollback; it is made at once."""
    _decide("approve", rollback, by, why, as_json)


def reject(rollback: Id, by: By = None, why: Why = "", as_json: Json = False) -> None:
    """Reject a proposed rollback."""
    _decide("reject", rollback, by, why, as_json)


def _decide(kind: str, rollback: str, by: str | None, why: str, as_json: bool) -> None:
    from controlplane.app import open_store
    from controlplane.store import actions

    with closing(open_store(settings())) as store, store.begin() as session:
        row = only(actions.find_action(session, store.workspace, rollback), "rollback", rollback)
    _apply(kind, row.id, by, why, as_json, bound=row.proof_digest)


def _apply(
    kind: str, target: str, by: str | None, why: str, as_json: bool, until: datetime | None = None, bound: str = ""
) -> None:
    """Store the intent and have the engine apply it and what follows from it."""
    from controlplane.app import open_app
    from controlplane.engine import cycle
    from controlplane.errors import ConfigError, ControlPlaneError
    from controlplane.store import intents

    with open_app(settings()) as (context, _):
        with context.store.begin() as session:
            author = by or you()
            asked = intents.IntentKind(kind)
            intent = intents.store_intent(
                session, context.workspace, asked, target, author, why, context.now(), until, bound
            )
        cycle.begin(context)
        with context.store.begin() as session:
            row = intents.intent_of(session, intent)
    if row.state == intents.REFUSED:
        raise ConfigError(row.result)
    if row.state != intents.APPLIED:
        raise ControlPlaneError("the intent is stored and waits for another process to apply it")
    if as_json:
        print_json({"intent": row_of(row)})
    else:
        console().print(row.result, markup=False)


def you() -> str:
    """The name of who runs this; a container may run as a number that nobody gave a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
