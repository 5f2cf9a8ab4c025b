"""What runs inside a worker: one check on one frozen part of a window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane import ports
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure, Score
from controlplane.engine.freeze import read_table
from controlplane.errors import CheckError, NotEnoughData
from controlplane.models import Fingerprint, fingerprint, open_model
from controlplane.profiles import Profile, Reference
from controlplane.profiles.calibration import LEAST_BLOCKS, calibrate
from controlplane.profiles.requests import Requests
from controlplane.profiles.scores import Statistic


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where a worker finds a version's artefacts."""

    address: str
    version: str
    tracking_uri: str

    def open(self) -> ports.Model:
        """The version, opened; raises CheckError."""
        return open_model(self.address, self.version, self.tracking_uri)

    def fingerprint(self) -> Fingerprint:
        """What its artefacts and its signature are; raises CheckError."""
        return fingerprint(self.address, self.version, self.tracking_uri)


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
    name: str = ""
    min_effect: float | None = None
    requests: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What comes back from a worker: measures, and what they say to a page budget, or why they say nothing."""

    measures: tuple[Measure, ...]
    scores: tuple[Score, ...] = ()
    unscored: str = ""
    importance: Mapping[str, float] = field(default_factory=dict)


def measure(task: CheckTask) -> Measured:
    """Open what the check needs and measure; raises NotEnoughData or CheckError with one sentence."""
    check = ports.load("checks", task.check)()
    rows = read_table(task.rows)
    requests = None if task.requests is None else Requests.from_table(read_table(task.requests))
    n, what = (rows.num_rows, "rows") if requests is None else (len(requests), "requests")
    if n < task.min_rows:
        said = f"{n} {what} of version {task.version}; {task.check} needs {task.min_rows}"
        raise NotEnoughData(said, n, task.min_rows)
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
        requests=requests,
    )
    params = check.Params(**task.params)
    measures = tuple(check.measure(sample, params))
    if task.min_effect is None or not check.scored or sample.reference is None:
        return Measured(measures)
    if requests is not None and sample.reference.requests is None:
        return Measured(measures, unscored=f"its reference bears no requests (no column {task.columns.status!r})")
    scores, why = score(task, sample.reference, check.statistics(sample, params, measures))
    return Measured(measures, scores, why, sample.reference.importance)


def score(task: CheckTask, reference: Reference, found: Sequence[Statistic]) -> tuple[tuple[Score, ...], str]:
    """Each statistic as one-sided scores, judged by the reference's own blocks."""
    assert task.min_effect is not None
    if reference.blocks is None:
        return (), f"its reference bears no times in column {task.columns.event_time!r}"
    calibration = calibrate(reference.blocks.of([task.name]), task.min_effect)
    if not calibration.keys:
        held = len(reference.blocks)
        return (), f"its reference holds {held} windows, and fewer than {LEAST_BLOCKS} could be measured by {task.name}"
    values = calibration.score_statistics(found, task.name, task.window.start.timestamp())
    scores = [
        Score(task.name, key.name, float(value), key.column, side, key.measure, float(usual))
        for side, row in zip((1, -1), values, strict=True)
        for key, value, usual in zip(calibration.keys, row, calibration.centre, strict=True)
        if math.isfinite(value)
    ]
    return tuple(scores), "" if scores else f"{task.name} found nothing in the window that its reference knows"


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
