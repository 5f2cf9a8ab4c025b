"""The seams: what a check, a source and a notifier are, and the tables that name them.

A new one is one file and one line here, or an entry point in `controlplane.checks`, `controlplane.sources` or
`controlplane.notifiers` of another distribution; both come through `load`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from controlplane.domain.monitor import Columns, Limit, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from controlplane.profiles import Profile, Reference
    from controlplane.profiles.requests import Requests
    from controlplane.profiles.scores import Statistic

CHECKS = {
    "quality": "controlplane.checks.quality:Quality",
    "drift": "controlplane.checks.drift:Drift",
    "performance": "controlplane.checks.performance:Performance",
    "slices": "controlplane.checks.slices:Slices",
    "estimated_performance": "controlplane.checks.estimate:EstimatedPerformance",
    "calibration": "controlplane.checks.calibration:Calibration",
    "ood": "controlplane.checks.ood:Ood",
    "ood_energy": "controlplane.checks.ood_energy:OodEnergy",
    "evasion": "controlplane.checks.evasion:Evasion",
    "serving": "controlplane.checks.serving:Serving",
    "evidently": "controlplane.checks.evidently:Evidently",
}
SOURCES = {
    "files": "controlplane.sources.files:Files",
    "log": "controlplane.sources.log:Log",
    "sql": "controlplane.sources.sql:Sql",
    "traces": "controlplane.sources.traces:Traces",
}
NOTIFIERS = {
    "log": "controlplane.notifiers.log:Log",
    "webhook": "controlplane.notifiers.webhook:Webhook",
}
_TABLES = {"checks": CHECKS, "sources": SOURCES, "notifiers": NOTIFIERS}


class Need(StrEnum):
    """What a check must be handed; the engine prepares no more than that."""

    PROFILE = "profile"
    ROWS = "rows"
    LABELS = "labels"
    MODEL = "model"
    REFERENCE = "reference"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """What a measure is: its unit, whether a higher value is worse, and one line that says what it means."""

    unit: str
    higher_is_worse: bool
    meaning: str


class Model(Protocol):
    """A registered version, opened inside a worker. What it cannot answer is a CheckError."""

    @property
    def version(self) -> str:
        """The version in the registry."""

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The classes, in the order of the probability columns; None for a regressor or where they are unknown."""

    def predict(self, rows: pa.Table) -> np.ndarray:
        """Labels or numbers, shape (n,), in the order of the rows."""

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        """Class probabilities, shape (n, k), or None for a model that has none."""

    def inputs(self, rows: pa.Table) -> np.ndarray:
        """What `module` takes for these rows, shape (n, ...); raises CheckError where there is no module."""

    def module(self) -> Any:
        """The differentiable `torch.nn.Module` from inputs to logits; raises CheckError where there is none."""


@dataclass(frozen=True)
class Sample:
    """What a check sees: the frozen rows that one version answered in one window, and what it declared to need.

    `rows` is capped by a deterministic hash of the row id at `rate`; `profile` counts every row of the window.
    `previous` is the version to compare with on the same rows: the last holder of the alias, or a candidate. `requests`
    are those that the version was asked, failed ones too, of which `rows` holds none.
    """

    window: Window
    rows: pa.Table
    columns: Columns
    version: str | None = None
    profile: Profile | None = None
    reference: Reference | None = None
    model: Model | None = None
    previous: Model | None = None
    seed: int = 0
    rate: float = 1.0
    requests: Requests | None = None


class Check(Protocol):
    """One measurement. Stateless: no thresholds, no I/O; the same sample and seed give the same numbers.

    `budget_limits` stand in place of `default_limits` under a page budget: what fails for certain, and what the
    evidence does not cover. `scored` names what `statistics` hands in; a check that measures them at a price says in
    `most_blocks` on how many blocks of a reference it is worth it.

    Raises NotEnoughData below what it can measure, CheckError where the sample is not what it needs.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    Params: ClassVar[type]
    needs: ClassVar[frozenset[Need]]
    measures: ClassVar[Mapping[str, MeasureSpec]]
    default_limits: ClassVar[tuple[Limit, ...]]
    budget_limits: ClassVar[tuple[Limit, ...]]
    scored: ClassVar[tuple[str, ...]]
    most_blocks: ClassVar[int | None]
    evidence: ClassVar[str]
    replayable: ClassVar[bool]

    def measure(self, sample: Sample, params: Any) -> Sequence[Measure]:
        """Measure the sample with `params`, an instance of the check's frozen dataclass `Params`."""

    def statistics(self, sample: Sample, params: Any, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """What this window says to the page budget, out of its `scored` measures or of the sample; may be nothing."""


class Source(Protocol):
    """Rows in, as Arrow batches in bounded memory. Constructed with an instance of its `Params` and the columns."""

    Params: ClassVar[type]

    def fetch(self, window: Window | None) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None; raises SourceError."""

    def count(self, windows: Sequence[Window]) -> list[int]:
        """How many rows `fetch` would give of each window now, read as narrowly as can be; raises SourceError."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a receiver is told. `key` is the same however often it is sent, so that a receiver can drop repeats."""

    key: str
    event: str
    monitor: str
    cause: str
    severity: str
    text: str
    at: str
    incident: str
    model: str
    owner: str
    runbook: str


class Notifier(Protocol):
    """One way to tell people. Constructed with an instance of its `Params`."""

    Params: ClassVar[type]

    def send(self, message: Message) -> None:
        """Deliver or raise DeliveryError; must give up by itself within its own time limit."""


def names(table: str) -> list[str]:
    """Every known name of `checks`, `sources` or `notifiers`, built-in and installed."""
    return sorted(set(_TABLES[table]) | {point.name for point in entry_points(group=f"controlplane.{table}")})


def load(table: str, name: str) -> Any:
    """The class behind a name; raises ConfigError that names the nearest valid choice.

    >>> load("checks", "drfit")
    Traceback (most recent call last):
    ...
    controlplane.errors.ConfigError: unknown check 'drfit'; did you mean 'drift'?
    """
    target = _TABLES[table].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=f"controlplane.{table}", name=name):
        return point.load()
    known = names(table)
    raise ConfigError(f"unknown {table[:-1]} {name!r}; {suggest(name, known)}")


def suggest(name: str, known: Sequence[str]) -> str:
    """The nearest of the valid choices as a question, or all of them.

    >>> suggest("zebra", ["drift", "quality"])
    'valid: drift, quality'
    """
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(known)}"
