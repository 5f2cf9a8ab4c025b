"""What runs inside a worker: one check on one frozen part of a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane import ports
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.engine.freeze import read_table
from controlplane.errors import CheckError, NotEnoughData
from controlplane.models import open_model
from controlplane.profiles import Profile, Reference


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where a worker finds a registered version."""

    uri: str
    version: str
    tracking_uri: str
    registry_uri: str

    def open(self) -> ports.Model:
        """The version, opened; raises CheckError."""
        return open_model(self.uri, self.version, self.tracking_uri, self.registry_uri)


@dataclass(frozen=True, slots=True)
class CheckTask:
    """One check on one part, in values that cross a process border."""

    check: str
    params: Mapping[str, Any]
    min_rows: int
    window: Window
    columns: Columns
    version: str
    rows: Path
    rate: float
    seed: int
    profile: bytes | None = None
    reference: Path | None = None
    model: ModelPlace | None = None
    previous: ModelPlace | None = None
    previous_required: bool = False


def measure(task: CheckTask) -> tuple[Measure, ...]:
    """Open what the check needs and measure; raises NotEnoughData or CheckError with one sentence."""
    rows = read_table(task.rows)
    if rows.num_rows < task.min_rows:
        raise NotEnoughData(
            f"{rows.num_rows} rows of version {task.version}; {task.check} needs {task.min_rows}",
            rows.num_rows,
            task.min_rows,
        )
    check = ports.load("checks", task.check)()
    if ports.Need.LABELS in check.needs and task.columns.label not in rows.column_names:
        raise CheckError(f"the rows have no label column {task.columns.label!r}, which {task.check} needs")
    sample = ports.Sample(
        window=task.window,
        rows=rows,
        columns=task.columns,
        version=task.version,
        profile=None if task.profile is None else Profile.from_bytes(task.profile),
        reference=None if task.reference is None else Reference.from_bytes(task.reference.read_bytes()),
        model=None if task.model is None else task.model.open(),
        previous=_open_previous(task),
        seed=task.seed,
        rate=task.rate,
    )
    return tuple(check.measure(sample, check.Params(**task.params)))


def _open_previous(task: CheckTask) -> ports.Model | None:
    """The version to compare with. Outside a replay its loss costs the comparison, not the whole check."""
    if task.previous is None:
        return None
    try:
        return task.previous.open()
    except CheckError:
        if task.previous_required:
            raise
        return None
