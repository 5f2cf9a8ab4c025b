"""The people around the product: they train, register, release, and their service answers what comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.arrival import publish
from controlplane.demo import digits, insurance, release
from controlplane.domain.monitor import Columns, Window

COLUMNS = Columns("at", model_version="model_version")


@dataclass(frozen=True, slots=True)
class Service:
    """One model in production: how its versions are registered, how one answers, and the versions themselves."""

    name: str
    folder: Path
    uri: str
    register: Callable[[Any], str]
    answer: Callable[[Any, pa.Table], pa.Table]
    versions: dict[str, Any] = field(default_factory=dict)

    def release(self, model: Any) -> str:
        """Register a model and hand it the alias at once; the new version's number."""
        version = self.register(model)
        self.versions[version] = model
        release.promote(self.uri, self.name, version)
        return version

    def holder(self) -> str:
        """The version that holds the alias now, as MLflow's own client says."""
        return release.holder(self.uri, self.name)

    def keep_reference(self, rows: pa.Table) -> None:
        """Put labelled rows where the job file looks for the reference."""
        pq.write_table(rows, self.folder / f"{self.name}-reference.parquet")

    def receive(self, rows: pa.Table, window: Window) -> str:
        """Answer the rows of one window with the version that holds the alias, and publish them; that version."""
        version = self.holder()
        publish(self.answer(self.versions[version], rows), COLUMNS, version, window, self.folder / self.name)
        return version


@dataclass(frozen=True, slots=True)
class Hour:
    """One window of a service: the rows that arrive, what is particular about them, and a model released before."""

    rows: pa.Table
    about: str = ""
    released: Any = None


def insurance_hours(service: Service) -> list[Hour]:
    """Train and release version 1, and lay out eight hours: usual people, an hour of unwell ones, usual ones again,
    and before the seventh a version that was trained on a narrow part of the people."""
    parts = insurance.split(insurance.people())
    service.keep_reference(parts.reference)
    service.release(insurance.fit(parts.train))
    careless = insurance.fit(insurance.narrow(parts.train))
    shifted = [place == 4 for place in range(8)]
    return [
        Hour(rows, "only unwell people" if other else "", careless if place == 6 else None)
        for place, (rows, other) in enumerate(zip(insurance.windows(parts.stream, shifted), shifted, strict=True))
    ]


def digits_hours(service: Service) -> list[Hour]:
    """Train and release version 1, hardened against attacks, and lay out four hours: before the third comes a version
    that is better on clean images."""
    parts = digits.split(digits.images())
    service.keep_reference(parts.reference)
    service.release(digits.fit(parts.train, digits.EPSILON))
    plain = digits.fit(parts.train)
    return [Hour(rows, "", plain if place == 2 else None) for place, rows in enumerate(parts.windows)]


def services(folder: Path, uri: str) -> tuple[tuple[Service, Callable[[Service], list[Hour]]], ...]:
    """Both services of the demo, each with what lays out its hours."""
    data = folder / "data"
    return (
        (Service(insurance.NAME, data, uri, release.register_insurance, insurance.answer), insurance_hours),
        (Service(digits.NAME, data, uri, release.register_digits, digits.answer), digits_hours),
    )
