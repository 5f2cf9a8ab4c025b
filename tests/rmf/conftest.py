"""A small, realistic history: two monitors, their newest records, and what went wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from controlplane.domain.evidence import Evidence
from controlplane.domain.incident import Incident, IncidentState, Severity
from controlplane.domain.monitor import (
    CheckSpec,
    Columns,
    ModelRef,
    Monitor,
    Reaction,
    RiskTier,
    Schedule,
    SourceSpec,
    Window,
)
from controlplane.rmf.catalogue import WRITTEN_BY_THE_ENGINE
from controlplane.rmf.report import Context


class Recorder(Protocol):
    def __call__(
        self, kind: str, outcome: str = ..., subject: str = ..., hours: float = ..., **more: object
    ) -> Evidence:
        """A record collected `hours` before now that lasts 30 days."""


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def produced() -> frozenset[str]:
    return WRITTEN_BY_THE_ENGINE | {"data_quality", "drift_check", "performance_regression", "evasion_robustness"}


@pytest.fixture
def record(now: datetime) -> Recorder:
    def make(kind, outcome="PASS", subject="insurance", hours=1.0, *, lasts=30.0, summary="", n=None, version=None):
        collected = now - timedelta(hours=hours)
        source, expires = f"run:01JD8QK5Z{round(hours * 60):05d}", collected + timedelta(days=lasts)
        return Evidence(kind, subject, source, outcome, summary or f"{kind} said so", collected, expires, version, n)

    return make


@pytest.fixture
def history(record: Recorder) -> list[Evidence]:
    """What two monitors left behind: real-looking, with a failure, a blind check, an expired record and old runs."""
    return [
        record("check_history", "FAIL", summary="3 checks over 2026-11-20 10:00 to 11:00; performance failed", n=2000),
        record("check_history", "PASS", hours=25, summary="3 checks within their limits", n=2000),
        record("check_history", "PASS", "digits", 3, summary="2 checks within their limits", n=450),
        record("monitor_liveness", "ran", summary="ran 4 minutes after its slot"),
        record("monitor_liveness", "ran", "digits", 3, summary="ran 2 minutes after its slot"),
        record("monitor_plan", "stored", hours=80, summary="quality, drift, performance every hour"),
        record("monitor_plan", "stored", "digits", 80, summary="evasion every day"),
        record("policy_version", "stored", hours=80, summary="configuration 8c1f0e2a91b4"),
        record("role_assignment", "stored", hours=80, summary="owner risk@example.org, receivers pager, log"),
        record("role_assignment", "stored", "digits", 80, summary="owner vision@example.org, receivers log"),
        record("threshold_trace", "stored", hours=80, summary="mae <= 9.5, psi <= 0.2, missing share <= 0.05"),
        record("data_quality", "PASS", summary="no column beyond its limits: missing share 0.004 <= 0.05", n=2000),
        record("drift_check", "FAIL", summary="psi of income is 0.41, over its limit 0.2", n=2000, version="2"),
        record("drift_check", "PASS", "digits", 3, summary="psi of prediction is 0.03 <= 0.2", n=450, version="2"),
        record("performance_regression", "FAIL", n=2000, version="2", summary="mae is 11.8 (11.2 to 12.4), limit 9.5"),
        record("evasion_robustness", "INCONCLUSIVE", "digits", 3, n=18, summary="18 rows, 30 are needed", version="2"),
        record("incident_records", "open", hours=0.9, summary="mae is 11.8, limit 9.5"),
        record("incident_time", "closed", hours=9 * 24, summary="seen after 4 minutes, over after 1 h 10 min"),
        record("change_record", "verified", hours=0.8, version="1", summary="production moved from version 2 to 1"),
        record("notification_record", "delivered", hours=0.9, summary="opened, told to pager"),
        record("approval_record", "approved", "digits", 40 * 24, lasts=14, summary="rollback approved by A. Reviewer"),
        record("silence_override", "silenced", "digits", 60, summary="planned relabelling, by B. Owner, 2 days"),
    ]


@pytest.fixture
def incidents(now: datetime) -> list[Incident]:
    opened, shut = IncidentState.OPEN, IncidentState.CLOSED
    return [
        Incident(
            "01JD3",
            "insurance",
            "performance",
            opened,
            Severity.CRITICAL,
            "mae is 11.8, limit 9.5",
            now - timedelta(minutes=54),
            "2",
        ),
        Incident("01JD2", "digits", "blind", opened, Severity.WARNING, "evasion: 18 rows", now - timedelta(hours=3)),
        Incident("01JD1", "insurance", "drift", shut, Severity.WARNING, "psi of income", now - timedelta(days=9)),
    ]


@pytest.fixture
def context(now: datetime) -> Context:
    def monitor(name: str, alias: str, owner: str, tier: RiskTier, reaction: Reaction, *checks: str) -> Monitor:
        specs = tuple(CheckSpec(check, check) for check in checks)
        schedule = Schedule("0 * * * *", timedelta(hours=1))
        source, columns = SourceSpec("files", {"path": "rows.parquet"}), Columns("at")
        ref = ModelRef(name, alias)
        return Monitor(name, ref, source, columns, schedule, specs, owner=owner, risk_tier=tier, reaction=reaction)

    return Context(
        "Claims and mailroom models",
        "Example Mutual",
        Window(now - timedelta(days=30), now),
        (
            monitor(
                "insurance",
                "production",
                "risk@example.org",
                RiskTier.HIGH,
                Reaction.ROLLBACK,
                "quality",
                "drift",
                "performance",
            ),
            monitor(
                "digits", "production", "vision@example.org", RiskTier.MEDIUM, Reaction.PROPOSE, "drift", "evasion"
            ),
        ),
    )
