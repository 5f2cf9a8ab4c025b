"""A monitor: one watched model, and everything that says how it is watched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any


class Reaction(StrEnum):
    """What the product does with a failing monitor: watch, propose a rollback, or make it."""

    OBSERVE = "observe"
    PROPOSE = "propose"
    ROLLBACK = "rollback"


class RiskTier(StrEnum):
    """How much harm the watched model could do; its owner says so."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class RunKind(StrEnum):
    """Why a run was made; only scheduled runs feed detectors, incidents and actions."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKTEST = "backtest"
    DRILL = "drill"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open span of event time in UTC: `start <= event_time < end`.

    >>> str(Window.parse("2026-01-01T00:00Z/2026-01-01T01:00Z"))
    '2026-01-01T00:00:00Z/2026-01-01T01:00:00Z'
    >>> Window.parse("2026-01-02T00:00Z/2026-01-01T00:00Z")
    Traceback (most recent call last):
    ...
    ValueError: a window must end after it starts: 2026-01-02T00:00:00Z/2026-01-01T00:00:00Z
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for moment in (self.start, self.end):
            if moment.utcoffset() != timedelta(0):
                raise ValueError(f"a window is in UTC; got {moment.isoformat()}")
        if self.end <= self.start:
            raise ValueError(f"a window must end after it starts: {self}")

    def __str__(self) -> str:
        return f"{iso(self.start)}/{iso(self.end)}"

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `START/END`, both ISO 8601 with a zone (`Z` or an offset); raises ValueError."""
        parts = text.split("/")
        if len(parts) != 2:
            raise ValueError(f"a window is written START/END in ISO 8601, not {text!r}")
        try:
            moments = [datetime.fromisoformat(part) for part in parts]
        except ValueError as error:
            raise ValueError(f"a window is written START/END in ISO 8601, not {text!r}: {error}") from None
        if any(moment.tzinfo is None for moment in moments):
            raise ValueError(f"a window needs a zone, such as 2026-01-01T00:00Z; got {text!r}")
        try:
            return cls(moments[0].astimezone(UTC), moments[1].astimezone(UTC))
        except OverflowError:
            raise ValueError(f"a window lies within the years 1 to 9999 in UTC; got {text!r}") from None


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a `Z`, the one spelling used in files, rows and messages."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A registered model and the alias that production follows."""

    name: str
    alias: str

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the rows plays which part; `features` empty means every column without another part.

    `status` (HTTP; 400 and above is a failure), `latency` (milliseconds) and `request` (an id that the rows of one
    request share) tell of the request that a row came with. `ignored` are columns that are no input.
    """

    event_time: str
    row_id: str | None = None
    model_version: str | None = None
    prediction: str | None = None
    probability: str | None = None
    label: str | None = None
    features: tuple[str, ...] = ()
    status: str | None = None
    latency: str | None = None
    request: str | None = None
    ignored: tuple[str, ...] = ()

    @property
    def no_inputs(self) -> tuple[str, ...]:
        """The named columns that are neither inputs nor answers: times, ids, versions, labels, requests."""
        of_rows = (self.event_time, self.row_id, self.model_version, self.label)
        parts = (*of_rows, self.status, self.latency, self.request)
        return (*(name for name in parts if name is not None), *self.ignored)

    def features_of(self, names: list[str]) -> tuple[str, ...]:
        """The feature columns among `names`, in their order.

        >>> Columns("at", label="y", prediction="p").features_of(["at", "a", "b", "p", "y"])
        ('a', 'b')
        """
        if self.features:
            return self.features
        parts = {*self.no_inputs, self.prediction, self.probability}
        return tuple(name for name in names if name not in parts)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where rows come from: a source's name and its own options, as the job file gives them."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limit:
    """An explicit limit on one measure: exactly one of `max` and `min`, and optionally an earlier `warn`."""

    measure: str
    max: float | None = None
    min: float | None = None
    warn: float | None = None


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One check of a monitor: its name in this monitor, which check it is, its parameters and its limits.

    `timeout` is in seconds, `memory` in MiB (None: no limit); `dry_run` findings are stored and shown, never folded.
    """

    name: str
    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    min_rows: int = 30
    timeout: float = 300.0
    memory: int | None = 4096
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a window is due: at each `cron` slot (UTC) the `window` before it, once `delay` has passed.

    `starts` is where the first slot is looked for (None: only the newest complete window at first sight);
    `catch_up` is how many missed slots are still run, oldest dropped first. For `late_rows` after its end a window's
    source is looked at again for more rows, whenever a window is due, the last time at the first slot after it; zero
    is never.
    """

    cron: str
    window: timedelta
    delay: timedelta = timedelta(0)
    starts: datetime | None = None
    catch_up: int = 24
    late_rows: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many windows in a row a check may fail, or may not be seen, before an incident opens; and how many
    good ones in a row close it again."""

    fails: int = 1
    blind: int = 2
    recover: int = 1


class OnFailure(StrEnum):
    """What is done about a rollback whose target fails too: tell people, or move the alias back."""

    ESCALATE = "escalate"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """A stretch of time that comes again: from each `cron` slot (UTC) on, for so long, nothing is moved by us."""

    cron: str
    lasts: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class Guards:
    """What holds an automatic move of one alias back.

    `cooldown` is the time after a move of the alias, by us or by somebody who gave it back to an earlier version;
    at most `most_moves` are made by us in the time `most_moves_per`. A proposal waits for `approval_expires`.
    """

    cooldown: timedelta = timedelta(hours=1)
    approval_expires: timedelta = timedelta(days=1)
    most_moves: int = 2
    most_moves_per: timedelta = timedelta(days=1)
    on_failure: OnFailure = OnFailure.ESCALATE
    freeze_windows: tuple[FreezeWindow, ...] = ()


def _blast_radius() -> dict[RiskTier, int]:
    return {RiskTier.LOW: 5, RiskTier.MEDIUM: 3, RiskTier.HIGH: 1}


@dataclass(frozen=True, slots=True)
class Fleet:
    """What holds automatic moves of all aliases of a workspace back.

    We move at most `most_per_hour` times in an hour, and at most `blast_radius` aliases of a risk tier may be moved and
    not yet verified at a time. `unknown` says why all this could not be read (empty: it could): we move nothing then.
    """

    most_per_hour: int = 3
    blast_radius: Mapping[RiskTier, int] = field(default_factory=_blast_radius)
    freeze_windows: tuple[FreezeWindow, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where what serves the model answers with its version, and how soon it has to answer with the new one.

    `reload` is where it is told that the alias moved; without it, it has to find out by itself.
    """

    url: str
    within: timedelta = timedelta(seconds=60)
    reload: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What false pages may cost: at most `false_pages` on average in the time `per`, over all checks of a monitor.

    A shift below `min_effect` standard deviations of one row does not matter, however sure it is.
    """

    false_pages: float
    per: timedelta
    min_effect: float = 0.05

    def horizon(self, window: timedelta) -> float:
        """How many windows one false page may come in.

        >>> Budget(1, timedelta(days=90)).horizon(timedelta(hours=1))
        2160.0
        """
        return self.per / window / self.false_pages

    def __str__(self) -> str:
        pages = "1 false page" if self.false_pages == 1 else f"{self.false_pages:g} false pages"
        return f"{pages} in {self.per / timedelta(days=1):g} days"


@dataclass(frozen=True, slots=True)
class LateLabels:
    """How long the labels of a window are waited for before it is judged by them.

    A window is mature once the share `coverage` of its rows bears a label, or `wait` after its end. `known_at` is the
    column of the labels that says when each became known (None: all that can be read is known).
    """

    wait: timedelta
    coverage: float = 0.9
    known_at: str | None = None

    def mature(self, window: Window, labelled: int, n: int, now: datetime) -> bool:
        """Whether a window with `labelled` of its `n` rows labelled is judged by them now.

        >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        >>> window = Window(noon - timedelta(hours=1), noon)
        >>> late = LateLabels(timedelta(days=30))
        >>> late.mature(window, 50, 100, noon), late.mature(window, 90, 100, noon)
        (False, True)
        """
        return labelled >= self.coverage * n or now >= window.end + self.wait


@dataclass(frozen=True, slots=True)
class Monitor:
    """A watched model, whole: what is read, when, what is measured, and what happens then."""

    name: str
    model: ModelRef
    source: SourceSpec
    columns: Columns
    schedule: Schedule
    checks: tuple[CheckSpec, ...]
    reference: SourceSpec | None = None
    labels: SourceSpec | None = None
    late_labels: LateLabels | None = None
    budget: Budget | None = None
    sample_rows: int = 100_000
    tolerance: Tolerance = Tolerance()
    reaction: Reaction = Reaction.OBSERVE
    rollback_targets: tuple[str, ...] = ()
    guards: Guards = Guards()
    serving: Serving | None = None
    receivers: tuple[str, ...] = ()
    owner: str = ""
    risk_tier: RiskTier = RiskTier.MEDIUM
    runbook: str = ""
    workspace: str = "default"

    def canonical(self) -> str:
        """The one JSON spelling of this monitor (sorted keys, ISO times, seconds), stored by digest with each run."""
        return _canonical({"schema": 1, **asdict(self)})

    @property
    def digest(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @property
    def judged_by(self) -> str:
        """SHA-256 of what judging depends on: who answers for a model, or what follows a failure, is not in it."""
        judging = {name: value for name, value in asdict(self).items() if name not in _AFTER_JUDGING}
        return hashlib.sha256(_canonical({"schema": 1, **judging}).encode()).hexdigest()


_AFTER_JUDGING = frozenset(
    {"guards", "owner", "reaction", "receivers", "risk_tier", "rollback_targets", "runbook", "serving"}
)


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no canonical spelling")
