"""One run of one window: claimed, looked at, judged, and recorded in one fenced transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane import ports
from controlplane.domain.action import Refused
from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Event, Severity, Transition, advance
from controlplane.domain.monitor import Monitor, RunKind, Window
from controlplane.domain.verdict import (
    BLIND,
    CheckResult,
    DetectorState,
    Finding,
    Outcome,
    Verdict,
    conclude,
)
from controlplane.engine import guarding, late, late_rows, transitions
from controlplane.engine.context import Context
from controlplane.engine.judgement import decide
from controlplane.engine.late import Again
from controlplane.engine.late_rows import More
from controlplane.engine.look import SOURCE, Look, Tenure, earlier_holders, look, look_again, look_late
from controlplane.engine.policy import called_for, replayable
from controlplane.engine.tracked import beside_record
from controlplane.engine.transitions import EVIDENCE_KEPT
from controlplane.errors import SourceError
from controlplane.store import Session, actions, incidents, records, runs
from controlplane.store.runs import Claim, DetectorKey

MOST_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded run, as callers tell of it."""

    id: str
    monitor: str
    window: Window
    kind: RunKind
    verdict: Verdict
    findings: tuple[Finding, ...]
    version: str | None
    seconds: float


def run_window(
    context: Context, monitor: Monitor, window: Window, kind: RunKind, more: More | None = None
) -> Run | None:
    """Run one window, or return None where it is recorded already or another process holds the monitor.

    With `more` a recorded window is measured once more, with the rows that came late, as a new revision; raises
    SourceError where not one of its rows could be seen. Raises LeaseLost where another process took over meanwhile.
    Nothing of this attempt is stored then.
    """
    with context.store.begin() as session:
        claim = runs.claim_run(
            session,
            monitor,
            window,
            kind,
            context.owner,
            context.now(),
            _lease(context, monitor),
            context.is_gone,
            again=None if more is None else more.before.run_id,
        )
    if claim is None:
        return None
    context.observe("claimed" if more is None else "claimed again")
    try:
        started = time.perf_counter()
        more = more and late_rows.placed(context, monitor, more)
        seen = _look(context, monitor, claim, more)
        return _record(context, monitor, claim, seen, started, more=more)
    except BaseException:
        with context.store.begin() as session:
            runs.release_run(session, claim, context.now())
        raise


def run_again(context: Context, monitor: Monitor, again: Again) -> Run | None:
    """Judge a recorded window once more by what needs labels, as a new revision; None where another process has it.

    The findings of its other checks come along, so that the newest revision tells the whole window; they are not judged
    anew. Raises LeaseLost as `run_window` does.
    """
    lease, now = _lease(context, monitor), context.now()
    with context.store.begin() as session:
        claim = runs.claim_run(
            session,
            monitor,
            again.window,
            RunKind.SCHEDULED,
            context.owner,
            now,
            lease,
            context.is_gone,
            again=again.run_id,
        )
    if claim is None:
        return None
    context.observe("claimed again")
    try:
        started = time.perf_counter()
        seen = look_again(context, monitor, claim.window, claim.seed, again)
        return _record(context, monitor, claim, seen, started, again)
    except BaseException:
        with context.store.begin() as session:
            runs.release_run(session, claim, context.now())
        raise


def dry_run(context: Context, monitor: Monitor, window: Window) -> tuple[Verdict, tuple[Finding, ...]]:
    """Measure and judge a window without storing anything of it."""
    seen = look(context, monitor, window, seed=0)
    judged = decide(monitor, window, seen.results, seen.version, seen.promise, DetectorState())
    return judged.verdict, judged.findings


def _lease(context: Context, monitor: Monitor) -> timedelta:
    """Long enough for every check to reach its time limit one after the other, twice: a comparison may be redone."""
    return context.lease + timedelta(seconds=2 * sum(check.timeout for check in monitor.checks))


def _look(context: Context, monitor: Monitor, claim: Claim, more: More | None) -> Look:
    if claim.attempt > MOST_ATTEMPTS:
        why = f"{claim.attempt - 1} attempts at this window ended with the whole process; it is not tried again"
        return Look((CheckResult(SOURCE, None, error=why),), Tenure())
    if more is None or more.counts:
        seen = look(context, monitor, claim.window, claim.seed, more)
    else:
        seen = look_late(context, monitor, claim.window, claim.seed, more)
    if more is not None and not seen.parts:
        # The revision before told as much, or more.
        why = seen.results[-1].error or seen.results[-1].blind
        raise SourceError(f"{claim.window} has {more.n_rows} rows by now that could not be measured: {why}")
    return seen


def _record(
    context: Context,
    monitor: Monitor,
    claim: Claim,
    seen: Look,
    started: float,
    again: Again | None = None,
    more: More | None = None,
) -> Run:
    earlier = earlier_holders(context, monitor, seen.version)
    now = context.now()
    key = DetectorKey(
        monitor.workspace,
        monitor.name,
        seen.tenure.version,
        seen.tenure.number,
        seen.tenure.reference_digest,
        monitor.judged_by,
    )
    with context.store.begin() as session:
        # Late labels of a version that is not in charge any more are evidence of the past, and call for nothing now.
        # What came late is shown beside the evidence as it stands, and adds nothing to it but in a window's first look.
        feeds = claim.kind is RunKind.SCHEDULED and (again is None or again.counts) and (more is None or more.counts)
        before = runs.load_state(session, key) if feeds or more is not None else DetectorState()
        results = beside_record(session, monitor, seen.results)
        judged = decide(monitor, claim.window, results, seen.version, seen.promise, before)
        findings, verdict = judged.findings, judged.verdict
        whole, of_all = findings, verdict
        if again is not None:
            whole = (*late.kept(monitor, runs.findings_of(session, again.run_id)), *findings)
            of_all = conclude(whole, DetectorState())
        context.observe("concluded")
        seconds = time.perf_counter() - started
        n_read = seen.n_read if more is None else max(seen.n_read or 0, more.n_rows)
        runs.record_run(
            session, claim, of_all, whole, seen.parts, seen.version, now, seconds, seen.awaits_labels, n_read
        )
        records.store_evidence(session, context.workspace, _evidence(monitor, claim, verdict, findings, seen, now))
        if feeds:
            runs.save_state(session, claim, key, judged.scores, judged.state)
            _react(context, session, monitor, claim, verdict, findings, seen.version, earlier, now)
        _leave_followups(session, claim, monitor, findings)
    context.observe("recorded")
    return Run(claim.run_id, monitor.name, claim.window, claim.kind, of_all, whole, seen.version, seconds)


def _react(
    context: Context,
    session: Session,
    monitor: Monitor,
    claim: Claim,
    verdict: Verdict,
    findings: Sequence[Finding],
    version: str | None,
    earlier: Sequence[str],
    now: datetime,
) -> None:
    """Store the incidents this verdict opens and closes, and the rollback it calls for."""
    known = incidents.open_incidents(session, context.workspace, monitor.name)
    for transition in advance(known, verdict, monitor.tolerance):
        transitions.store(session, monitor, transition, now, claim.run_id, version=version)
    known = incidents.open_incidents(session, context.workspace, monitor.name)
    registry_key = context.registry.key(monitor.model)
    past = actions.past_of(session, monitor, registry_key, [name for name, yes in replayable(monitor).items() if yes])

    def hold(asks: bool) -> Refused | None:
        return guarding.hold(context, session, monitor, now, version, approved=asks)

    called = called_for(monitor, findings, known, version, earlier, past, hold)
    if called is None:
        return
    cause, planned = called
    incident = known[cause]
    if not actions.wants_plan(session, monitor, incident.id, planned):
        return
    row = actions.store_plan(session, monitor, planned, claim, incident.id, registry_key, version, now)
    if isinstance(planned, Refused):
        text = f"no rollback: {planned.why}"
        refusal = Transition(cause, Event.ROLLBACK_REFUSED, text, Severity.CRITICAL, incident.id)
        transitions.store(session, monitor, refusal, now, claim.run_id, row.id)


def _leave_followups(session: Session, claim: Claim, monitor: Monitor, findings: Sequence[Finding]) -> None:
    kinds = {check.name: check.kind for check in monitor.checks}
    failed = {
        (finding.check, finding.version)
        for finding in findings
        if finding.outcome is Outcome.FAIL and kinds.get(finding.check) == "drift" and finding.version is not None
    }
    for check, version in sorted(failed):
        records.store_followup(session, monitor.workspace, "evidently_report", claim.run_id, check, version)


def _evidence(
    monitor: Monitor, claim: Claim, verdict: Verdict, findings: Sequence[Finding], seen: Look, now: datetime
) -> list[Evidence]:
    """One row for each check that ran, one for the run itself, and one that says this monitor is alive."""
    source, expires = f"run:{claim.run_id}", now + EVIDENCE_KEPT
    n_rows = sum(part.n_rows for part in seen.parts)
    alive = verdict.outcome.value if verdict.outcome in BLIND else "RAN"
    rows = [
        Evidence(kind, monitor.name, source, outcome, verdict.why, now, expires, seen.version, n_rows)
        for kind, outcome in (("check_history", verdict.outcome.value), ("monitor_liveness", alive))
    ]
    kinds = {check.name: check.kind for check in monitor.checks if not check.dry_run}
    for check in verdict.checks:
        if check.check in kinds:
            n = max((finding.n for finding in findings if finding.check == check.check), default=0)
            rows.append(
                Evidence(
                    ports.load("checks", kinds[check.check]).evidence,
                    monitor.name,
                    source,
                    check.outcome,
                    check.why,
                    now,
                    expires,
                    seen.version,
                    n,
                )
            )
    return rows
