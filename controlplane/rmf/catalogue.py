"""The framework's 72 subcategories as data, and the words evidence is described in.

Titles and meanings are the product's own words; the framework's text is not part of the product. Everything is keyed
by framework version and id, because the framework is being revised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib.resources import files

from controlplane.ports import load as load_adapter
from controlplane.ports import names

ATTESTATION = "attestation"

WRITTEN_BY_THE_ENGINE = frozenset(
    {
        "approval_record",
        "change_record",
        "check_history",
        "incident_records",
        "incident_time",
        "monitor_effectiveness",
        "monitor_liveness",
        "monitor_plan",
        "notification_record",
        "policy_version",
        "role_assignment",
        "rollback_drill",
        "silence_override",
        "threshold_trace",
    }
)


class Mode(StrEnum):
    """How a subcategory can be evidenced: by machine alone, by machine and a person together, or by a person alone."""

    AUTOMATIC = "automatic"
    MIXED = "mixed"
    ATTESTED = "attested"


@dataclass(frozen=True, slots=True)
class Subcategory:
    """One row of the framework: what it asks to be evidenced, by which kinds, and how old these may be.

    `scope` is `organization` or `system`; `max_age` None leaves the age to each record's own expiry.
    """

    id: str
    function: str
    title: str
    mode: Mode
    scope: str
    evidence: tuple[str, ...]
    max_age: timedelta | None

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The kinds a machine can record: all but a person's statement."""
        return tuple(kind for kind in self.evidence if kind != ATTESTATION)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One version of the framework: functions and kinds of evidence with their meanings, and the rows in order."""

    framework: str
    functions: Mapping[str, str]
    vocabulary: Mapping[str, str]
    subcategories: tuple[Subcategory, ...]


@cache
def catalogue() -> Catalogue:
    """The catalogue that ships with the product.

    >>> len(catalogue().subcategories), catalogue().framework
    (72, 'AI RMF 1.0')
    """
    data = json.loads(files("controlplane.rmf").joinpath("catalogue.json").read_text(encoding="utf-8"))
    rows = tuple(
        Subcategory(
            id=key,
            function=row["function"],
            title=row["title"],
            mode=Mode(row["mode"]),
            scope=row["scope"],
            evidence=tuple(row["evidence"]),
            max_age=None if row["max_age_days"] is None else timedelta(days=row["max_age_days"]),
        )
        for key, row in data["subcategories"].items()
    )
    return Catalogue(data["framework"], data["functions"], data["vocabulary"], rows)


def produced() -> frozenset[str]:
    """The kinds of evidence this installation can record: the engine's own, and one of every known check."""
    return WRITTEN_BY_THE_ENGINE | {load_adapter("checks", name).evidence for name in names("checks")}
