"""Commands that look back: `history` and `audit`. They read the database, and write nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.show import Json, ago, console, print_json, row_of, settings, table
from controlplane.errors import ConfigError, ControlPlaneError

if TYPE_CHECKING:
    from controlplane.domain.alias import HeldAt
    from controlplane.store.audit import Head
    from controlplane.store.history import Tenure


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(history)
    audit = typer.Typer(help="The chain over intents, actions and evidence: verify, head.", no_args_is_help=True)
    audit.command("verify")(verify)
    audit.command("head")(head)
    app.add_typer(audit, name="audit")


def history(
    model: Annotated[str, typer.Argument(help="A registered model, or MODEL@ALIAS.")],
    at: Annotated[str | None, typer.Option(help="Who held it at this moment, in ISO 8601 with a zone.")] = None,
    as_json: Json = False,
) -> None:
    """Which version held a model's aliases, since when, who moved it, why, and on what evidence."""
    from controlplane.app import open_store
    from controlplane.ports import suggest
    from controlplane.store.history import history_of, known

    moment = None if at is None else _moment(at)
    with closing(open_store(settings(), read_only=True)) as store, store.snapshot() as session:
        found = history_of(session, store.workspace, model)
        names = known(session, store.workspace)
    if not found:
        hint = suggest(model, names) if names else "no alias was looked at by a run here yet"
        raise ConfigError(f"no history of {model!r}; {hint}")
    if moment is not None:
        _show_at(moment, found, as_json)
    elif as_json:
        print_json({"history": [_told(tenure) for tenures in found for tenure in tenures]})
    else:
        for tenures in found:
            _show(tenures)


def verify(
    head: Annotated[str | None, typer.Option(help="A head kept earlier: a file, or SEQUENCE:HASH.")] = None,
    as_json: Json = False,
) -> None:
    """Find what was edited, removed, inserted or reordered past us: exit code 0 where nothing was, 1 where it was."""
    from controlplane.app import open_store
    from controlplane.store import audit

    kept = None if head is None else _kept(head)
    started = time.monotonic()
    with closing(open_store(settings(), read_only=True)) as store, store.snapshot() as session, _bar(as_json) as told:
        found = audit.verify(session, store.workspace, kept, told)
    intact = isinstance(found, audit.Verified)
    if as_json:
        ends = {"head": None if found.head is None else str(found.head)} if isinstance(found, audit.Verified) else {}
        told_of = {name: getattr(found, name) for name in found.__dataclass_fields__ if name != "head"}
        print_json({"intact": intact, **told_of, **ends, "why": found.why, "seconds": time.monotonic() - started})
    else:
        screen = console()
        screen.print("[green]intact[/] " if intact else "[red]broken[/] ", end="")
        screen.print(found.why, markup=False)
        if isinstance(found, audit.Verified) and found.head is not None:
            screen.print(f"head {found.head}", markup=False)
    raise typer.Exit(0 if intact else 1)


def head(as_json: Json = False) -> None:
    """Print the chain's newest link, to keep where nobody who can write this database can: `verify --head` takes it."""
    from controlplane.app import open_store
    from controlplane.store import audit

    with closing(open_store(settings(), read_only=True)) as store, store.snapshot() as session:
        found = audit.head_of(session, store.workspace)
    if found is None:
        raise ControlPlaneError("the chain is empty: nothing was asked, done or found here yet")
    if as_json:
        print_json({"workspace": store.workspace, "head": str(found), "sequence": found.sequence, "hash": found.hash})
    else:
        typer.echo(str(found))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it has no zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        said = f"--at is an ISO 8601 moment with a zone, such as 2026-01-31T12:00Z; got {text!r} ({error})"
        raise ConfigError(said) from None


def _kept(text: str) -> Head:
    """A head as it was given: itself, or in a file as `audit head` wrote it, with or without `--json`."""
    from controlplane.store.audit import Head

    path = Path(text)
    try:
        said = path.read_text(encoding="utf-8") if path.is_file() else text
        if said.lstrip().startswith("{"):
            said = str(json.loads(said)["head"])
        return Head.parse(said)
    except OSError as error:
        raise ConfigError(f"the head in {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError):
        raise ConfigError(f"{path} holds no head of a chain; valid: what `controlplane audit head` printed") from None
    except ValueError as error:
        raise ConfigError(f"{error}, or a file that holds it") from None


def _told(tenure: Tenure) -> dict[str, Any]:
    action = tenure.action
    return row_of(tenure.holding) | {
        "alias": tenure.alias,
        "until": None if tenure.following is None else tenure.following.since,
        "moved_by": tenure.moved_by,
        "mode": None if action is None else action.mode,
        "approved_by": None if action is None else action.approved_by,
        "action_state": None if action is None else action.state,
        "why": tenure.why,
        "proof": tenure.proof,
        "replays": [row_of(replay) for replay in tenure.replays],
        "evidence": list(tenure.evidence),
    }


def _show(tenures: list[Tenure]) -> None:
    rows = []
    for tenure in tenures:
        held = tenure.holding
        unsure = tenure.action is None and tenure.unsure_since is not None
        since = f"{ago(tenure.unsure_since)} to {ago(held.since)}" if unsure else ago(held.since)
        on = "; ".join(tenure.proof) + (f" (action {held.action_id})" if held.action_id else "")
        rows.append((held.version, since, tenure.moved_by or "first look", tenure.why, on.strip()))
    table(f"{tenures[0].alias}: who held it", ("version", "since", "moved by", "why", "on what evidence"), rows)
    last = tenures[-1].holding
    console().print(f"version {last.version} holds it; last looked at {ago(last.last_seen)}", markup=False)


def _show_at(at: datetime, found: list[list[Tenure]], as_json: bool) -> None:
    from controlplane.store.history import holder_at

    answers = [(tenures, holder_at(tenures, at)) for tenures in found]
    if as_json:
        told = [
            {"alias": tenures[0].alias, "certain": answer.version is not None, "answer": _answer(answer)}
            | {name: getattr(answer, name) for name in answer.__dataclass_fields__}
            | {"tenure": _told(_current(tenures, at)) if answer.version is not None else None}
            for tenures, answer in answers
        ]
        print_json({"at": at, "aliases": told})
        return
    for tenures, answer in answers:
        console().print(f"{tenures[0].alias} at {ago(at)}: {_answer(answer)}", markup=False)
        if answer.version is not None:
            tenure = _current(tenures, at)
            said = [tenure.when, f"moved by {tenure.moved_by}" if tenure.moved_by else "", tenure.why, *tenure.proof]
            console().print("; ".join(filter(None, said)), markup=False)


def _current(tenures: list[Tenure], at: datetime) -> Tenure:
    return [tenure for tenure in tenures if tenure.holding.since <= at][-1]


def _answer(held: HeldAt) -> str:
    if held.version is not None:
        return f"version {held.version}"
    if held.after_look is None:
        return f"not known: it was first looked at {ago(held.before_look)}, and version {held.after} held it then"
    last = f"version {held.before} was last seen at {ago(held.after_look)}"
    if held.before_look is None:
        return f"not known: {last}, and nobody looked after that"
    return f"not known: {last}, and version {held.after} first at {ago(held.before_look)}; the move lies between"


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal's stderr; yields what hears how much is read, and of how much."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    columns = (TextColumn("reading the chain"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
