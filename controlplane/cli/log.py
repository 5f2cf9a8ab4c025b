"""Commands for inference logs: `log show`, `log compact`, `log prune`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli.show import Json, console, print_json, table
from controlplane.errors import ConfigError, SourceError, masked

if TYPE_CHECKING:
    from controlplane.log.folder import Folder

Url = Annotated[str, typer.Argument(help="The folder or fsspec URL that a server logs to.", show_default=False)]

commands = typer.Typer(
    help="Inference logs: what they hold, small files merged, old hours removed.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(commands, name="log")


@commands.command()
def show(url: Url, as_json: Json = False) -> None:
    """Say what a log holds: rows, files, bytes, from when to when, versions, roles, statuses, and rows dropped."""
    from controlplane.log.overview import look

    with _opened(url) as folder:
        found = look(folder)
    if as_json:
        print_json({"log": masked(url), **vars(found)})
        return
    counted = {"version": found.versions, "role": found.roles, "status": found.statuses}
    rows = [(part, name, count) for part, counter in counted.items() for name, count in sorted(counter.items())]
    span = f"from {found.first:%Y-%m-%d %H:%M:%S} to {found.last:%Y-%m-%d %H:%M:%S} UTC" if found.first else "no rows"
    table(f"{masked(url)}: {found.rows} rows, {span}", ("by", "", "rows"), rows)
    files = f"{found.files} files of {found.streams} streams in {found.hours} hours, {found.bytes} bytes"
    console().print(f"{files}; {found.mergeable} could be merged", markup=False)
    console().print(f"{found.dropped} rows were dropped, so far as the files tell", markup=False)
    for path in found.unreadable:
        console().print(f"cannot be read: {masked(path)}", style="red", markup=False)


@commands.command()
def compact(url: Url, as_json: Json = False) -> None:
    """Merge the files of each hour that is over, stream by stream. Readers and writers may go on meanwhile."""
    from datetime import UTC, datetime

    from controlplane.log.compaction import compact

    with _opened(url) as folder:
        merged = compact(folder, datetime.now(UTC))
    if as_json:
        print_json({"merged": merged})
    else:
        console().print(f"{merged} files were merged into others", markup=False)


@commands.command()
def prune(
    url: Url,
    older: Annotated[str, typer.Option(help="Remove hours that were over so long ago, such as 30d.")],
    as_json: Json = False,
) -> None:
    """Remove the hours of a log that are older than a span; nothing but the log's own files is removed."""
    from datetime import UTC, datetime

    from controlplane.config.values import duration
    from controlplane.log.compaction import prune

    span = duration(older)
    with _opened(url) as folder:
        removed = prune(folder, datetime.now(UTC) - span)
    if as_json:
        print_json({"removed": removed})
    else:
        console().print(f"{removed} files were removed", markup=False)


@contextmanager
def _opened(url: str) -> Iterator[Folder]:
    """The log at a URL; what its file system raises becomes one sentence."""
    from controlplane.log.folder import Folder

    shown = masked(url)
    try:
        folder = Folder(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{shown} cannot be opened: {masked(str(error))}") from None
    try:
        if next(folder.hours(), None) is None:
            raise SourceError(f"no inference log at {shown}; valid: the folder or URL that a server logs to")
        yield folder
    except OSError as error:
        raise SourceError(f"{shown}: {masked(str(error))}") from error
