"""What is told from live evidence: `report rmf`."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.show import console, settings, warn_of
from controlplane.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    report = typer.Typer(help="Reports made from live evidence.", no_args_is_help=True)
    report.command("rmf")(rmf)
    report.callback()(lambda: None)
    app.add_typer(report, name="report")


class Format(StrEnum):
    """How a report is written."""

    HTML = "html"
    JSON = "json"


def rmf(
    written: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.HTML,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="The period the report looks back on.")] = 90,
) -> None:
    """The NIST AI RMF rows and the evidence behind each: fresh, stale or missing; nothing attested is claimed."""
    from controlplane.app import open_store
    from controlplane.config import load_valid
    from controlplane.domain.monitor import Window
    from controlplane.rmf import catalogue, report
    from controlplane.store import incidents, records

    chosen = settings()
    jobs, problems = load_valid(chosen.jobs, chosen.workspace)
    warn_of(problems)
    with closing(open_store(chosen)) as store, store.begin() as session:
        evidence = records.evidence_of(session, store.workspace)
        rows = [incidents.incident_of(row) for row in incidents.find_incident(session, store.workspace, "")]
    now = datetime.now(UTC)
    period = Window(now - timedelta(days=days), now)
    about = report.Context(
        ", ".join(str(monitor.model) for monitor in jobs.monitors), jobs.organization, period, jobs.monitors
    )
    made = report.build(about, evidence, rows, catalogue.produced(), now)
    text = report.to_html(made) if written is Format.HTML else report.to_json(made)
    if out is None:
        typer.echo(text, nl=False)
        return
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(out)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ConfigError(f"the report cannot be written to {out}: {error.strerror}") from None
    console(stderr=True).print(f"the report is in {out}", markup=False)
