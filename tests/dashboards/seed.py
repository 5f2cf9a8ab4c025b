"""A told story in a real store, written by the store's own functions: two monitors, ten windows, six ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controlplane.domain.action import ActionState, Plan, Proof, Refusal, Refused
from controlplane.domain.attribution import Replay, attribute
from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Event, Severity, Transition
from controlplane.domain.monitor import (
    CheckSpec,
    Columns,
    Limit,
    ModelRef,
    Monitor,
    Reaction,
    RiskTier,
    RunKind,
    Schedule,
    SourceSpec,
    Window,
)
from controlplane.domain.verdict import CheckResult, DetectorState, Finding, Measure, Outcome, conclude, judge
from controlplane.store import Store, actions, incidents, new_id, records, runs
from controlplane.store.incidents import SENT, UNDELIVERABLE
from controlplane.store.intents import APPLIED, IntentKind, end_intent, store_intent
from controlplane.store.runs import Claim, Part
from controlplane.store.tables import AttachmentRow, IncidentRow
from controlplane.store.tables_acts import ActionRow, IntentRow

HOUR = timedelta(hours=1)
TRICKY = "mean of *age* moved by $5$ <img src=x> [here](http://outside.example) | `x`"
COLUMNS = ("age", "income", "visits", "chronic", "coinsurance")

INSURANCE = Monitor(
    name="insurance",
    model=ModelRef("insurance", "champion"),
    source=SourceSpec("files", {"path": "data/insurance/*.parquet"}),
    reference=SourceSpec("files", {"path": "data/reference.parquet"}),
    columns=Columns("at", "id", "model_version", "prediction", "probability", "any_visit"),
    schedule=Schedule("0 * * * *", HOUR),
    checks=(
        CheckSpec("quality", "quality"),
        CheckSpec("drift", "drift", limits=(Limit("drift", max=0.2, warn=0.1),)),
        CheckSpec(
            "performance",
            "performance",
            {"task": "classification", "metrics": ["accuracy"]},
            (Limit("accuracy", min=0.65), Limit("accuracy_vs_previous", min=-0.05)),
        ),
        CheckSpec("calibration", "calibration", limits=(Limit("calibration_error", max=0.1),)),
    ),
    reaction=Reaction.ROLLBACK,
    receivers=("log", "on-call"),
    owner="pricing@example.org",
    runbook="https://example.org/runbooks/insurance",
)
DIGITS = Monitor(
    name="digits",
    model=ModelRef("digits", "champion"),
    source=SourceSpec("files", {"path": "data/digits/*.parquet"}),
    columns=Columns("at", "id", "model_version", "prediction", None, "label"),
    schedule=Schedule("0 * * * *", HOUR),
    checks=(
        CheckSpec("quality", "quality"),
        CheckSpec("performance", "performance", limits=(Limit("accuracy", min=0.9),)),
        CheckSpec(
            "evasion", "evasion", {"eps": 0.15}, (Limit("robust_accuracy", min=0.4),), timeout=120.0, memory=2048
        ),
    ),
    reaction=Reaction.PROPOSE,
    receivers=("log",),
    owner="vision@example.org",
    risk_tier=RiskTier.HIGH,
)


@dataclass(frozen=True)
class Told:
    """The ids a test asks for."""

    drift: str
    performance: str
    evasion: str
    blind: str
    proposal: str
    made: str


def url_of(folder: Path) -> str:
    """A SQLite file in `folder`."""
    return f"sqlite:///{folder / 'controlplane.db'}"


def key_of(monitor: Monitor) -> str:
    """A registry key as the registry spells it."""
    return f"sqlite:///mlflow.db {monitor.model}"


def nobody(owner: str) -> bool:
    """No owner is gone."""
    return False


class Teller:
    """Writes one story into one store, hour by hour, ending at `now`."""

    def __init__(self, store: Store, now: datetime) -> None:
        self.store = store
        self.now = (now - timedelta(minutes=10)).replace(minute=0, second=0, microsecond=0)
        self.random = random.Random(7)

    def at(self, window: int, minutes: float = 0.0) -> datetime:
        """The end of the window of that number, of ten, and some minutes."""
        return self.now - (9 - window) * HOUR + timedelta(minutes=minutes)

    def run(
        self, monitor: Monitor, window: int, version: str, results: Sequence[CheckResult], n: int = 812
    ) -> tuple[Claim, list[Finding]]:
        """Claim and record one window, with what was measured judged by the monitor's own limits."""
        end = self.at(window)
        with self.store.begin() as session:
            claim = runs.claim_run(
                session, monitor, Window(end - HOUR, end), RunKind.SCHEDULED, "host:1", end, 10 * HOUR, nobody
            )
            assert claim is not None
            findings = judge(results, monitor)
            verdict = conclude(findings, DetectorState())
            parts = [Part(version, n, "5a" * 32, 1.0, "7e" * 32)] if n else []
            runs.record_run(session, claim, verdict, findings, parts, version, self.at(window, 0.2), 3.2)
            kinds = {"drift": "drift_check", "performance": "performance_regression", "evasion": "evasion_robustness"}
            said = [("check_history", verdict.outcome, verdict.why)]
            said += [(kinds[check.check], check.outcome, check.why) for check in verdict.checks if check.check in kinds]
            records.store_evidence(
                session,
                "default",
                [
                    Evidence(
                        kind, monitor.name, f"run:{claim.run_id}", outcome, why, end, end + timedelta(90), version, n
                    )
                    for kind, outcome, why in said
                ],
            )
        return claim, findings

    def change(
        self,
        monitor: Monitor,
        transition: Transition,
        at: datetime,
        run: str,
        action: str | None = None,
        version: str | None = None,
    ) -> str:
        """Store a transition and deliver it to the log; the on-call webhook answers 500 for good."""
        with self.store.begin() as session:
            incident = incidents.store_transition(session, monitor, transition, at, run, action, version)
        with self.store.begin() as session:
            for delivery, *_ in incidents.claim_deliveries(session, "default", at, timedelta(minutes=2)):
                if delivery.receiver == "log":
                    incidents.end_delivery(session, delivery, SENT, at, "the incident changed")
                elif transition.event is Event.OPENED and transition.cause == "drift":
                    error = "hooks.example.org answered 500; given up after 12 attempts"
                    incidents.end_delivery(session, delivery, UNDELIVERABLE, at, "the incident changed", error)
                else:
                    incidents.end_delivery(session, delivery, SENT, at, "the incident changed")
        return incident

    def plan(
        self, monitor: Monitor, plan: Plan | Refused, claim: Claim, incident: str, current: str, at: datetime
    ) -> ActionRow:
        """Store an action or a refusal."""
        with self.store.begin() as session:
            return actions.store_plan(session, monitor, plan, claim, incident, key_of(monitor), current, at)

    def step(self, row: ActionRow, to: ActionState, **values: object) -> None:
        """Take an action one state on."""
        with self.store.begin() as session:
            actions.step_action(session, row, to, **values)

    def prove(self, row: ActionRow, replay: Replay) -> None:
        """Store the proof of an action."""
        with self.store.begin() as session:
            actions.store_proofs(session, row, [Proof("1", (replay,))], "5a" * 32)

    def attach(self, run_id: str, at: datetime) -> None:
        """Do the follow-up job: a report is attached to the run."""
        with self.store.begin() as session:
            job = records.claim_followup(session, "default", at, HOUR)
            assert job is not None
            uri, digest = "file:///srv/controlplane/artifacts/4/drift.html", "3c" * 32
            session.add(
                AttachmentRow(
                    id=new_id(), run_id=run_id, check="drift", kind="evidently_report", uri=uri, digest=digest, at=at
                )
            )
            records.end_followup(session, job, "done")

    def hold(self, monitor: Monitor, version: str, at: datetime, action: str | None = None) -> None:
        """Note who holds the alias."""
        with self.store.begin() as session:
            records.see_holder(session, "default", key_of(monitor), version, at, action)

    def insurance_results(
        self, version: str, accuracy: float, age_drift: float, previous: float | None
    ) -> list[CheckResult]:
        """What three checks measured in one window of the insurance monitor."""
        wobble = self.random.uniform(-0.012, 0.012)
        own = accuracy + wobble
        measures = [Measure("accuracy", own, 812, own - 0.032, own + 0.031, version=version)]
        if previous is not None:
            measures.append(Measure("accuracy", previous, 812, previous - 0.03, previous + 0.03, version="1"))
            gap = own - previous
            measures.append(Measure("accuracy_vs_previous", gap, 812, gap - 0.03, gap + 0.03, version=version))
        drifts = [
            Measure(
                "drift",
                age_drift if column == "age" else self.random.uniform(0.02, 0.08),
                812,
                column=column,
                version=version,
                detail=TRICKY if column == "age" and age_drift > 0.2 else "",
            )
            for column in COLUMNS
        ]
        missing = tuple(Measure("missing", 0.0, 812, column=column, version=version) for column in COLUMNS)
        return [
            CheckResult("quality", version, missing),
            CheckResult("drift", version, tuple(drifts)),
            CheckResult("performance", version, tuple(measures), compared=None if previous is None else "1"),
            CheckResult("calibration", version, too_sure(version)),
        ]


def too_sure(version: str) -> tuple[Measure, ...]:
    """A reliability curve of four bins, the last of which promises more than comes true."""
    measures = [Measure("calibration_error", 0.034, 812, 0.009, 0.071, version=version)]
    for segment, sure, share in (
        ("0.02 to 0.21", 0.13, 0.118),
        ("0.21 to 0.48", 0.34, 0.36),
        ("0.48 to 0.77", 0.62, 0.591),
        ("0.77 to 0.99", 0.89, 0.793),
    ):
        measures.append(
            Measure("reliability", share, 203, share - 0.06, share + 0.06, segment=segment, version=version)
        )
        measures.append(Measure("confidence", sure, 203, segment=segment, version=version))
    return tuple(measures)


def tell(store: Store, now: datetime | None = None) -> Told:
    """Write the whole story: what the pages are looked at with."""
    teller = Teller(store, now or datetime.now(UTC))
    store.migrate()
    with store.begin() as session:
        for monitor in (INSURANCE, DIGITS):
            records.store_monitor(session, monitor, teller.at(0, -70))
            plan = Evidence(
                "monitor_plan",
                monitor.name,
                f"config:{monitor.digest}",
                "STORED",
                f"{monitor.model} is watched every hour",
                teller.at(0, -70),
                teller.at(0, -70) + timedelta(days=90),
            )
            records.store_evidence(session, "default", [plan])
    drift, performance, made = _insurance(teller)
    evasion, blind, proposal = _digits(teller)
    return Told(drift, performance, evasion, blind, proposal, made)


def _insurance(teller: Teller) -> tuple[str, str, str]:
    teller.hold(INSURANCE, "1", teller.at(0, -60))
    drift = performance = ""
    action: ActionRow | None = None
    for window in range(10):
        shifted = window in (3, 4, 9)
        worse = window in (6, 7)
        version = "2" if worse else "1"
        if window == 6:
            teller.hold(INSURANCE, "2", teller.at(5, 4))
        results = teller.insurance_results(
            version, 0.61 if worse else 0.752, 0.34 if shifted else 0.06, 0.751 if worse else None
        )
        claim, findings = teller.run(INSURANCE, window, version, results)
        failing = {finding.check: finding for finding in findings if finding.outcome is Outcome.FAIL}
        at = teller.at(window, 0.2)
        if window in (3, 9):
            with teller.store.begin() as session:
                records.store_followup(session, "default", "evidently_report", claim.run_id, "drift", version)
            opened = Transition("drift", Event.OPENED, failing["drift"].why, Severity.WARNING)
            drift = teller.change(INSURANCE, opened, at, claim.run_id, version=version)
            why = "only drift failed, and no replay can prove that another version would undo it"
            refused = teller.plan(INSURANCE, Refused(Refusal.WORLD_CHANGED, why), claim, drift, "1", at)
            no = Transition("drift", Event.ROLLBACK_REFUSED, f"no rollback: {why}", Severity.CRITICAL, drift)
            teller.change(INSURANCE, no, at, claim.run_id, refused.id)
            if window == 3:
                teller.attach(claim.run_id, at)
        if window == 5:
            good = "1 good window in a row: 5 columns within max 0.2"
            closed = Transition("drift", Event.CLOSED, good, Severity.CRITICAL, drift)
            teller.change(INSURANCE, closed, at, claim.run_id)
        if window == 6:
            opened = Transition("performance", Event.OPENED, failing["performance"].why, Severity.WARNING)
            performance = teller.change(INSURANCE, opened, at, claim.run_id, version=version)
            plan = Plan("2", ("1",), "performance", ("accuracy",), "version 2 failed performance (accuracy)")
            action = teller.plan(INSURANCE, plan, claim, performance, "2", at)
            fell = Measure("accuracy_vs_baseline", -0.147, 812, -0.187, -0.106, version="2")
            kept = Measure("accuracy_vs_baseline", -0.007, 812, -0.042, 0.028, version="1")
            replay = Replay("accuracy", 0.611, 0.751, -0.14, -0.172, -0.108, 812, False, fell, kept, 0.061)
            teller.prove(action, replay)
            proof = attribute(replay, "2", "1").why
            teller.step(action, ActionState.ACCEPTED, why=proof)
        if window == 7:
            assert action is not None
            teller.step(action, ActionState.MOVING)
            teller.step(action, ActionState.MOVED, moved_at=at, gap_seconds=0.0061)
            teller.hold(INSURANCE, "1", at, action.id)
            text = "insurance@champion moved from version 2 to version 1: " + action.why
            made = Transition("performance", Event.ROLLBACK_MADE, text, Severity.WARNING, performance)
            teller.change(INSURANCE, made, at, claim.run_id, action.id)
        if window == 8:
            assert action is not None
            teller.step(action, ActionState.VERIFIED, ended_at=at)
            good = "version 1 answered a window within the limits of performance"
            verified = Transition("performance", Event.ROLLBACK_VERIFIED, good, Severity.WARNING, performance)
            teller.change(INSURANCE, verified, at, claim.run_id, action.id)
            closed = Transition(
                "performance",
                Event.CLOSED,
                "1 good window in a row: 2 checks within limits",
                Severity.WARNING,
                performance,
            )
            teller.change(INSURANCE, closed, at, claim.run_id)
    assert action is not None
    return drift, performance, action.id


def _digits(teller: Teller) -> tuple[str, str, str]:
    teller.hold(DIGITS, "1", teller.at(0, -60))
    evasion = blind = proposal = ""
    for window in range(10):
        version = "2" if window >= 7 else "1"
        if window == 7:
            teller.hold(DIGITS, "2", teller.at(6, 5))
        robust, clean = (0.084, 0.981) if version == "2" else (0.642, 0.955)
        robust += teller.random.uniform(-0.02, 0.02)
        attacked = (
            Measure("clean_accuracy", clean, 240, clean - 0.025, min(clean + 0.02, 1.0), version=version),
            Measure("robust_accuracy", robust, 240, max(robust - 0.06, 0), robust + 0.06, version=version),
        )
        accuracy = Measure("accuracy", clean, 240, clean - 0.025, min(clean + 0.02, 1.0), version=version)
        results = [
            CheckResult("performance", version, (accuracy,))
            if window < 8
            else CheckResult("performance", version, blind="12 labelled rows; accuracy needs 30"),
            CheckResult("evasion", version, attacked),
        ]
        claim, findings = teller.run(DIGITS, window, version, results, 240)
        at = teller.at(window, 0.2)
        if window == 7:
            why = next(finding.why for finding in findings if finding.outcome is Outcome.FAIL)
            opened = Transition("evasion", Event.OPENED, why, Severity.WARNING)
            evasion = teller.change(DIGITS, opened, at, claim.run_id, version=version)
            plan = Plan("2", ("1",), "evasion", ("robust_accuracy",), "version 2 failed evasion (robust_accuracy)")
            row = teller.plan(DIGITS, plan, claim, evasion, "2", at)
            replay = Replay("robust_accuracy", 0.083, 0.638, -0.555, -0.62, -0.487, 240, False)
            teller.prove(row, replay)
            proof = attribute(replay, "2", "1").why
            with teller.store.begin() as session:
                digest = actions.proof_digest(session, row)
            teller.step(row, ActionState.PROPOSED, why=proof, proposed_at=at, proof_digest=digest)
            proposed = Transition("evasion", Event.ROLLBACK_PROPOSED, proof, Severity.WARNING, evasion)
            teller.change(DIGITS, proposed, at, claim.run_id, row.id)
            proposal = row.id
        if window == 9:
            text = "cannot see for 2 windows in a row: performance: 12 labelled rows; accuracy needs 30"
            opened = Transition("blind", Event.OPENED, text, Severity.WARNING)
            blind = teller.change(DIGITS, opened, at, claim.run_id, version=version)
            with teller.store.begin() as session:
                asked = store_intent(
                    session, "default", IntentKind.ACKNOWLEDGE, evasion, "dana", "looking at it", teller.at(window, 2)
                )
                intent = session.get_one(IntentRow, asked)
                end_intent(session, intent, APPLIED, "acknowledged by dana", teller.at(window, 3))
                row_ = session.get_one(IncidentRow, evasion)
                incidents.acknowledge(session, row_, "dana", teller.at(window, 3))
            seen = Transition("evasion", Event.ACKNOWLEDGED, "dana looks at it", Severity.WARNING, evasion)
            teller.change(DIGITS, seen, teller.at(window, 3), claim.run_id)
    return evasion, blind, proposal
