"""Backtest: past windows read again and judged by the very functions that runs use, in order; no run is recorded.

Nothing of it reaches detectors, incidents, alerts, actions or the alias's history. A reference that a version lacks is
built and kept, as the scheduler would. What the monitor's reaction would have done is planned and proved as in a run,
and moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from controlplane.domain.action import Plan, Proof, Refused
from controlplane.domain.alias import Holding
from controlplane.domain.incident import BLIND_CAUSE, Event, Incident, IncidentState, advance
from controlplane.domain.monitor import Monitor, Reaction, Window, iso
from controlplane.domain.verdict import BLIND, DetectorState, Finding, Outcome, Verdict
from controlplane.engine import guarding, proof, references, versions
from controlplane.engine.context import Context
from controlplane.engine.freeze import Frozen
from controlplane.engine.judgement import Judged, decide
from controlplane.engine.look import REGISTRY, SOURCE, Look, Tenure, earlier_in, look_at
from controlplane.engine.pages import Backtest, By, Page, Past, measured
from controlplane.engine.policy import Rehearsal
from controlplane.engine.schedule import due
from controlplane.errors import CheckError, ConfigError, SourceError
from controlplane.profiles.detector import EDetector
from controlplane.store import records
from controlplane.store.runs import seed_of

MOST_WINDOWS = 20_000
MOST_UNREADABLE = 3


def windows_of(context: Context, monitor: Monitor, days: float, until: datetime | None = None) -> list[Window]:
    """The windows that were due in the `days` days before `until` (default: now), oldest first.

    Raises ConfigError for none, or too many.
    """
    schedule, end = monitor.schedule, until or context.now()
    if end > context.now():
        raise ConfigError(f"{iso(end)} has not come yet; a backtest looks back")
    when = f"the {days:g} days before {iso(end)}" if until else f"the last {days:g} days"
    try:
        begin = end - timedelta(days=days)
        starts = begin if schedule.starts is None else max(begin, schedule.starts)
        found = due(replace(schedule, starts=starts, catch_up=MOST_WINDOWS + 1), None, end)
    except OverflowError:
        raise ConfigError(f"no calendar reaches back to {when}") from None
    if len(found) > MOST_WINDOWS:
        held = math.floor((end - found[1].start) / timedelta(days=1))
        few = f"ask for {held} or fewer" if held else "not even one day can be replayed"
        raise ConfigError(f"{when} hold more than {MOST_WINDOWS} windows of {monitor.name}; {few}")
    if not found:
        said = f"; its schedule starts at {iso(schedule.starts)}" if schedule.starts and schedule.starts > begin else ""
        raise ConfigError(f"no window of {monitor.name} lies in {when}{said}")
    return found


def replay(
    context: Context,
    monitor: Monitor,
    windows: Sequence[Window],
    healthy: Sequence[Window] = (),
    told: Callable[[str], None] = lambda said: None,
    done: Callable[[], None] = lambda: None,
) -> Backtest:
    """Look at the windows again and judge them, oldest first; `healthy` are stretches in which nothing was wrong.

    The version in charge of a window is the one that held the alias then by our own history, and before that history
    begins the first in it; the present holder where there is none. `told` hears what takes long, `done` each window.
    Raises ConfigError for what cannot be replayed, RegistryError, and SourceError or CheckError where not one window
    could be seen.
    """
    if all(check.dry_run for check in monitor.checks):
        raise ConfigError(f"every check of {monitor.name} is a dry run, so none can page")
    for stretch in healthy:
        if not _within(windows, stretch):
            raise ConfigError(f"no whole window of {monitor.name} lies in the healthy stretch {stretch}")
    line = _Line(context, monitor, healthy, told)
    with TemporaryDirectory(dir=context.home, prefix="backtest-") as folder:
        # Its samples are many and nobody's record of anything: they lie elsewhere, and go with each window.
        aside = replace(context, home=Path(folder))
        for window in windows:
            seen = line.see(aside, window)
            line.fold(aside, window, seen)
            for digest in (kept for part in seen.parts for kept in (part.sample_digest, part.requests_digest)):
                if digest is not None:
                    aside.sample_path(digest).unlink(missing_ok=True)
            done()
    return line.end()


class _Line:
    """A replay on its way: what is remembered from window to window."""

    def __init__(
        self, context: Context, monitor: Monitor, healthy: Sequence[Window], told: Callable[[str], None]
    ) -> None:
        self._context, self._monitor, self._healthy, self._told = context, monitor, healthy, told
        present = context.registry.holder(monitor.model)
        with context.store.begin() as session:
            held = records.holdings(session, context.workspace, context.registry.key(monitor.model))
            self._looks = records.first_looks(session, monitor)
        self._held = held or [Holding(present, context.now())]
        self._present = present
        self._notes: dict[str, None] = {}
        if held and held[-1].version != present:
            last = held[-1].version
            self._notes[
                f"{monitor.model} holds version {present} now; the newest run saw version {last}, which is judged here"
            ] = None
        self._asked: dict[str, str] = {}
        self._states: dict[Tenure, DetectorState] = {}
        self._open: dict[str, Incident] = {}
        self._pages: list[Page] = []
        self._past: list[Past] = []
        self._before_rows, self._said = 0, ""
        self._foreign = 0
        self._barred: dict[tuple[str, tuple[str, ...]], dict[str, Refused]] = {}
        self._rehearsal: Rehearsal | None = None
        if monitor.reaction is not Reaction.OBSERVE:
            self._rehearsal = Rehearsal(monitor, context.fleet, lambda at: guarding.known_then(context, monitor, at))

    def see(self, aside: Context, window: Window) -> Look:
        """Look at one window, building the references that it turns out to need; `aside` keeps its samples."""
        number = self._in_charge(window)[0]
        version = self._held[number].version or self._present
        self._have_reference(version, in_charge=True)
        seed = seed_of(self._monitor, window)
        seen = look_at(aside, self._monitor, window, seed, version, number, self._held)
        lacking = [part.version for part in seen.parts if part.reference_digest is None]
        if [other for other in lacking if self._have_reference(other)]:
            seen = look_at(aside, self._monitor, window, seed, version, number, self._held)
        return seen

    def _in_charge(self, window: Window) -> tuple[int, datetime]:
        """The number of the holding that a run of this window would have found, and when.

        Who moved the alias within a window is often first seen when the window is run, a moment after it was due.
        """
        at = window.end + self._monitor.schedule.delay
        version, looked = self._looks.get(window, (None, at))
        if version is not None and at <= looked < at + self._monitor.schedule.window:
            found = [n for n, one in enumerate(self._held) if one.since <= looked and one.version == version]
            if found:
                return found[-1], looked
        return max((n for n, holding in enumerate(self._held) if holding.since <= at), default=0), at

    def _have_reference(self, version: str, in_charge: bool = False) -> bool:
        """Build the reference of a version that has none, once; True where it was built now."""
        if self._monitor.reference is None or version in self._asked:
            return False
        if references.find(self._context, self._monitor, version) is not None:
            self._asked[version] = "kept"
            return False
        self._told(f"building the reference of version {version}, which has none of this recipe")
        why = references.ensure(self._context, self._monitor, version)
        self._asked[version] = "failed" if why else "built"
        if why and in_charge and not self._past:
            raise CheckError(f"{self._monitor.name} cannot be replayed without a reference: {why}")
        if why:
            self._notes[why] = None
        return not why

    def fold(self, aside: Context, window: Window, seen: Look) -> None:
        """Judge what was seen, after all windows before it, and rehearse the reaction to it."""
        if not seen.parts:
            found = next(result for result in seen.results if result.check == SOURCE)
            if found.blind and not self._past:
                self._before_rows += 1
                self._said = found.blind
                return
            read = any(past.n_rows for past in self._past)
            if found.error and not read and len(self._past) + 1 == MOST_UNREADABLE:
                raise SourceError(f"the first {MOST_UNREADABLE} windows could not be read: {found.error}")
        before = self._states.get(seen.tenure, DetectorState())
        judged = decide(self._monitor, window, seen.results, seen.version, seen.promise, before)
        self._states[seen.tenure] = judged.state
        opened = self._advance(window, judged, seen.tenure.version)
        self._rehearse(aside, window, seen, judged)
        if seen.parts and all(part.version != seen.tenure.version for part in seen.parts):
            self._foreign += 1
        if seen.promise is not None and seen.promise.short:
            self._notes[f"the reference of version {seen.tenure.version}: {seen.promise.short}"] = None
        verdict = judged.verdict
        self._past.append(
            Past(
                window,
                seen.tenure.version,
                verdict.outcome,
                verdict.why,
                sum(part.n_rows for part in seen.parts),
                _saw(verdict),
                any(score.side for score in judged.scores),
                self._vouched(window),
                opened,
                any(cause != BLIND_CAUSE for cause in self._open),
                _level(judged, seen),
            )
        )

    def _advance(self, window: Window, judged: Judged, version: str) -> tuple[int, ...]:
        """Open and close incidents as a run does; returns the numbers of the pages that open."""
        at = window.end + self._monitor.schedule.delay
        opened: list[int] = []
        for change in advance(self._open, judged.verdict, self._monitor.tolerance):
            if change.event is Event.CLOSED:
                number = int(self._open.pop(change.cause).id)
                self._pages[number - 1] = replace(self._pages[number - 1], closed_at=at, closed_text=change.text)
                continue
            number = len(self._pages) + 1
            by = _by(change.cause, judged.findings)
            self._pages.append(Page(number, change.cause, by, window, at, change.text, version, self._vouched(window)))
            self._open[change.cause] = Incident(
                str(number),
                self._monitor.name,
                change.cause,
                IncidentState.OPEN,
                change.severity,
                change.text,
                at,
                version,
            )
            opened.append(number)
        return tuple(opened)

    def _rehearse(self, aside: Context, window: Window, seen: Look, judged: Judged) -> None:
        if self._rehearsal is None or seen.version is None:
            return
        version, number = seen.version, seen.tenure.number

        def prove(plan: Plan) -> Sequence[Proof]:
            self._told(f"proving a rollback at {iso(window.end)}")
            part = next((part for part in seen.parts if part.version == version), None)
            if part is None:
                return ()
            frozen = Frozen(part.version, part.n_rows, part.sample_digest, part.sample_rate)
            # Reading artefacts takes long, and a replay sees them all at one time: now.
            asked = plan.from_version, plan.targets
            if asked not in self._barred:
                self._barred[asked] = versions.unsafe(aside, self._monitor, *asked)[0]
            seed = seed_of(self._monitor, window)
            return proof.prove(aside, self._monitor, plan, window, seed, frozen, self._barred[asked])

        _, at = self._in_charge(window)
        earlier = earlier_in(self._monitor, self._held[: number + 1], version)
        self._rehearsal.meet(window, at, judged.findings, self._open, version, number, earlier, prove)

    def _vouched(self, window: Window) -> bool:
        return any(_within([window], stretch) for stretch in self._healthy)

    def end(self) -> Backtest:
        """Everything that was seen, summed up."""
        if not any(past.saw for past in self._past):
            if not any(past.n_rows for past in self._past):
                why = self._past[-1].why if self._past else self._said
                raise SourceError(f"no window could be read, the newest because: {why}")
            raise CheckError(f"no check could see in any window, in the newest because: {self._past[-1].why}")
        if self._foreign:
            self._notes[
                f"in {self._foreign} windows other versions answered every row than the one that held the alias "
                "by our history; those tell the page budget nothing"
            ] = None
        budget = self._monitor.budget
        per = None if budget is None else budget.per
        rates = measured(self._past, self._pages, per, bool(self._healthy))
        built = tuple(version for version, how in self._asked.items() if how == "built")
        pages, past, notes = tuple(self._pages), tuple(self._past), tuple(self._notes)
        policy = None if self._rehearsal is None else self._rehearsal.end()
        return Backtest(pages, past, rates, self._before_rows, built, notes, policy)


def _within(windows: Iterable[Window], stretch: Window) -> bool:
    return any(stretch.start <= window.start and window.end <= stretch.end for window in windows)


def _by(cause: str, findings: Sequence[Finding]) -> tuple[By, ...]:
    if cause == BLIND_CAUSE:
        return (By.BLIND,)
    limits = {
        finding.limit
        for finding in findings
        if finding.check == cause and finding.outcome is Outcome.FAIL and not finding.dry_run
    }
    # Evidence has no limit of its own; whatever else fails was held against one.
    found = [By.BUDGET] if None in limits else []
    return (*found, By.LIMIT) if limits - {None} else tuple(found)


def _saw(verdict: Verdict) -> bool:
    return any(check.outcome not in BLIND for check in verdict.checks if check.check not in (REGISTRY, SOURCE))


def _level(judged: Judged, seen: Look) -> float | None:
    if seen.promise is None or not judged.state.evidence:
        return None
    evidence = EDetector.load(judged.state.evidence)
    most = max(evidence.levels().values(), default=0.0)
    return 1.0 if evidence.alarms else min(1.0, math.log1p(most) / math.log1p(seen.promise.threshold))
