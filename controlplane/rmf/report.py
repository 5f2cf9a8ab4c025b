"""The report: an account of the evidence behind each subcategory at one moment, as JSON and as a page to print.

The same evidence and the same `now` give the same bytes, so that a report can be made again and compared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from controlplane import __version__
from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Incident, IncidentState
from controlplane.domain.monitor import Monitor, Window, iso
from controlplane.domain.verdict import Outcome
from controlplane.rmf.catalogue import ATTESTATION, Catalogue, catalogue
from controlplane.rmf.status import Row, Standing, Status, assess, newest, standing
from controlplane.rmf.words import kind_list, kind_words, moment, span

NATURE = "An account of evidence, not a certification."


@dataclass(frozen=True, slots=True)
class Context:
    """What a report is about: a named system or organisation, the period looked at, and the monitors configured."""

    system: str
    organisation: str
    period: Window
    monitors: tuple[Monitor, ...] = ()


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A kind of evidence the framework's rows ask for and this installation cannot record, with the rows that wait."""

    kind: str
    meaning: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All that is printed. `evidence` is the annex: the newest record of each kind and subject; `superseded` counts
    the older ones left out; `open_incidents` come newest first, `closed_incidents` is a count."""

    context: Context
    catalogue: Catalogue
    generated: datetime
    rows: tuple[Row, ...]
    evidence: tuple[Evidence, ...]
    superseded: int
    open_incidents: tuple[Incident, ...]
    closed_incidents: int
    unrecorded: tuple[Unrecorded, ...]

    def counts(self) -> dict[str, dict[Status, int]]:
        """How many rows of each function have each status; there is no total score."""
        seen = Counter((row.subcategory.function, row.status) for row in self.rows)
        return {name: {status: seen[name, status] for status in Status} for name in self.catalogue.functions}


def build(
    context: Context,
    evidence: Iterable[Evidence],
    incidents: Sequence[Incident],
    produced: Collection[str],
    now: datetime,
) -> Report:
    """The report as of `now`. Evidence collected later is left out; order of evidence and incidents does not matter.

    `produced` are the kinds this installation can record (`catalogue.produced()`); the rest are printed as limits.
    """
    book = catalogue()
    known = [record for record in evidence if record.collected <= now]
    annex = newest(known, now)
    still_open = [incident for incident in incidents if incident.state is not IncidentState.CLOSED]
    unrecorded = tuple(
        Unrecorded(kind, meaning, tuple(sub.id for sub in book.subcategories if kind in sub.evidence))
        for kind, meaning in sorted(book.vocabulary.items())
        if kind not in produced and kind != ATTESTATION
    )
    return Report(
        context=context,
        catalogue=book,
        generated=now,
        rows=assess(book.subcategories, annex, produced, now),
        evidence=annex,
        superseded=len(known) - len(annex),
        open_incidents=tuple(sorted(still_open, key=lambda incident: (incident.opened_at, incident.id), reverse=True)),
        closed_incidents=len(incidents) - len(still_open),
        unrecorded=unrecorded,
    )


def to_json(report: Report) -> str:
    """The report for machines: sorted keys, ISO times in UTC, records referred to by their SHA-256."""
    context = report.context
    document = {
        "schema": 1,
        "nature": NATURE,
        "framework": report.catalogue.framework,
        "product": f"controlplane {__version__}",
        "system": context.system,
        "organisation": context.organisation,
        "period": {"start": iso(context.period.start), "end": iso(context.period.end)},
        "generated": iso(report.generated),
        "monitors": [
            {"name": monitor.name, "model": str(monitor.model), "owner": monitor.owner, "configuration": monitor.digest}
            for monitor in context.monitors
        ],
        "counts": report.counts(),
        "incidents": {
            "closed": report.closed_incidents,
            "open": [_incident_json(incident) for incident in report.open_incidents],
        },
        "rows": [_row_json(row) for row in report.rows],
        "evidence": {record.digest: _record_json(record, report.generated) for record in report.evidence},
        "superseded": report.superseded,
        "not_recorded": {limit.kind: list(limit.rows) for limit in report.unrecorded},
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _row_json(row: Row) -> dict[str, Any]:
    sub = row.subcategory
    return {
        "id": sub.id,
        "title": sub.title,
        "function": sub.function,
        "mode": sub.mode,
        "scope": sub.scope,
        "status": row.status,
        "why": row.why,
        "age_seconds": None if row.age is None else row.age.total_seconds(),
        "max_age_days": None if sub.max_age is None else sub.max_age.days,
        "evidence": [
            {"digest": record.digest, "standing": worth}
            for record, worth in zip(row.evidence, row.standings, strict=True)
        ],
        "missing": list(row.missing),
    }


def _record_json(record: Evidence, now: datetime) -> dict[str, Any]:
    return {
        "kind": record.kind,
        "subject": record.subject,
        "source": record.source,
        "version": record.version,
        "outcome": record.outcome,
        "standing": standing(record, now),
        "summary": record.summary,
        "n": record.n,
        "collected": iso(record.collected),
        "expires": iso(record.expires),
    }


def _incident_json(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "monitor": incident.monitor,
        "cause": incident.cause,
        "state": incident.state,
        "severity": incident.severity,
        "title": incident.title,
        "version": incident.version,
        "opened": iso(incident.opened_at),
    }


def to_html(report: Report) -> str:
    """The report for people: one page without scripts or outside hosts, every value escaped."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(kind=kind_words, kinds=kind_list, span=span, moment=moment)
    worth = {record.digest: standing(record, report.generated) for record in report.evidence}
    template = files("controlplane.rmf").joinpath("report.html.j2").read_text(encoding="utf-8")
    html: str = page.from_string(template).render(
        report=report,
        context=report.context,
        now=report.generated,
        nature=NATURE,
        product=f"Control Plane {__version__}",
        statuses=list(Status),
        counts=report.counts(),
        numbers={record.digest: f"E{number}" for number, record in enumerate(report.evidence, 1)},
        worth=worth,
        failing=[record for record in report.evidence if record.outcome == Outcome.FAIL],
        blind=[record for record in report.evidence if worth[record.digest] is Standing.BLIND],
        held=_held,
        shown=8,
        stale=[record for record in report.evidence if worth[record.digest] is Standing.STALE],
    )
    return html


def _held(row: Row) -> list[tuple[Evidence, Standing]]:
    """The records behind a row with what each is worth, those that need a reader's eye first."""
    held = zip(row.evidence, row.standings, strict=True)
    return sorted(held, key=lambda pair: pair[1] is Standing.FRESH and pair[0].outcome != Outcome.FAIL)
