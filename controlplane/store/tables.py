"""The tables: what the store remembers. Every name starts with `cp_`, so that they can share MLflow's database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from controlplane.store.rows import Row, new_id

_ID = String(26)
_NAME = String(255)
_DIGEST = String(64)


class ConfigRow(Row):
    """The canonical form of a monitor, by digest: what a stored run was judged by."""

    __tablename__ = "cp_configs"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    digest: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    canonical: Mapped[str]
    stored_at: Mapped[datetime]


class MonitorRow(Row):
    """A monitor as last loaded."""

    __tablename__ = "cp_monitors"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    name: Mapped[str] = mapped_column(_NAME, primary_key=True)
    config_digest: Mapped[str] = mapped_column(_DIGEST)
    model: Mapped[str] = mapped_column(_NAME)
    alias: Mapped[str] = mapped_column(_NAME)
    owner: Mapped[str]
    risk_tier: Mapped[str] = mapped_column(String(16))
    reaction: Mapped[str] = mapped_column(String(16))
    runbook: Mapped[str]
    updated_at: Mapped[datetime]


class RunRow(Row):
    """One window of one monitor: claimed under a lease, recorded once."""

    __tablename__ = "cp_runs"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    monitor: Mapped[str] = mapped_column(_NAME)
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16))
    config_digest: Mapped[str] = mapped_column(_DIGEST)
    owner: Mapped[str] = mapped_column(_NAME)
    lease_expires: Mapped[datetime]
    attempt: Mapped[int] = mapped_column(default=1)
    fence: Mapped[int] = mapped_column(default=1)
    claimed_at: Mapped[datetime]
    recorded_at: Mapped[datetime | None]
    version: Mapped[str | None] = mapped_column(_NAME)
    outcome: Mapped[str | None] = mapped_column(String(16))
    why: Mapped[str] = mapped_column(default="")
    seed: Mapped[int] = mapped_column(default=0)
    n_rows: Mapped[int] = mapped_column(default=0)
    n_read: Mapped[int | None]
    seconds: Mapped[float] = mapped_column(default=0.0)
    awaits_labels: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (
        UniqueConstraint("workspace", "monitor", "window_start", "window_end", "kind", "revision", name="uq_cp_runs"),
        Index(
            "uq_cp_runs_in_flight",
            "workspace",
            "monitor",
            unique=True,
            sqlite_where=text("state = 'claimed'"),
            postgresql_where=text("state = 'claimed'"),
        ),
    )


class PartRow(Row):
    """The rows of a run that one version answered, frozen by digest."""

    __tablename__ = "cp_run_parts"
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"), primary_key=True)
    version: Mapped[str] = mapped_column(_NAME, primary_key=True)
    n_rows: Mapped[int]
    sample_digest: Mapped[str] = mapped_column(_DIGEST)
    sample_rate: Mapped[float]
    reference_digest: Mapped[str | None] = mapped_column(_DIGEST)
    requests_digest: Mapped[str | None] = mapped_column(_DIGEST)


class FindingRow(Row):
    """One measure with its limit, its outcome and its sentence."""

    __tablename__ = "cp_findings"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"), index=True)
    check: Mapped[str] = mapped_column(_NAME)
    measure: Mapped[str] = mapped_column(_NAME)
    column: Mapped[str | None]
    segment: Mapped[str | None]
    version: Mapped[str | None] = mapped_column(_NAME)
    n: Mapped[int]
    estimate: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    limit: Mapped[float | None]
    outcome: Mapped[str | None] = mapped_column(String(16))
    why: Mapped[str]
    dry_run: Mapped[bool]


class ScoreRow(Row):
    """A score that fed a detector; the states can be folded again from these."""

    __tablename__ = "cp_scores"
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    check: Mapped[str] = mapped_column(_NAME)
    name: Mapped[str]
    value: Mapped[float]
    column: Mapped[str | None]
    side: Mapped[int]
    measure: Mapped[str]
    usual: Mapped[float | None]
    detector_key: Mapped[str] = mapped_column(_DIGEST, index=True)


class DetectorRow(Row):
    """A detector's state after its last window; `key` is the digest of its identity."""

    __tablename__ = "cp_detector_states"
    key: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    workspace: Mapped[str] = mapped_column(_NAME)
    monitor: Mapped[str] = mapped_column(_NAME)
    version: Mapped[str] = mapped_column(_NAME)
    tenure: Mapped[int]
    reference_digest: Mapped[str] = mapped_column(_DIGEST)
    detector_version: Mapped[str] = mapped_column(_NAME)
    config_digest: Mapped[str] = mapped_column(_DIGEST)
    payload: Mapped[str]
    window_end: Mapped[datetime]
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"))


class IncidentRow(Row):
    """One cause of one monitor; at most one that is not closed."""

    __tablename__ = "cp_incidents"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    monitor: Mapped[str] = mapped_column(_NAME)
    cause: Mapped[str] = mapped_column(_NAME)
    state: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    title: Mapped[str]
    version: Mapped[str | None] = mapped_column(_NAME)
    opened_run: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"))
    opened_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    closed_run: Mapped[str | None] = mapped_column(ForeignKey("cp_runs.id"))
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "uq_cp_incidents_open",
            "workspace",
            "monitor",
            "cause",
            unique=True,
            sqlite_where=text("state <> 'closed'"),
            postgresql_where=text("state <> 'closed'"),
        ),
    )


class TransitionRow(Row):
    """A change of an incident: the outbox. `key` is a hash of natural keys, so a change is stored once."""

    __tablename__ = "cp_transitions"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    key: Mapped[str] = mapped_column(_DIGEST)
    incident_id: Mapped[str] = mapped_column(ForeignKey("cp_incidents.id"), index=True)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("cp_runs.id"))
    action_id: Mapped[str | None] = mapped_column(ForeignKey("cp_actions.id"))
    event: Mapped[str] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(16))
    text: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("workspace", "key", name="uq_cp_transitions"),)


class DeliveryRow(Row):
    """One transition to one receiver, sent at least once; `reason` says why it was sent or muted."""

    __tablename__ = "cp_deliveries"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    transition_id: Mapped[str] = mapped_column(ForeignKey("cp_transitions.id"))
    receiver: Mapped[str] = mapped_column(_NAME)
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempt: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")
    error: Mapped[str] = mapped_column(default="")
    __table_args__ = (UniqueConstraint("workspace", "transition_id", "receiver", name="uq_cp_deliveries"),)


class SilenceRow(Row):
    """A mute, with who asked for it, why, and until when."""

    __tablename__ = "cp_silences"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    monitor: Mapped[str] = mapped_column(_NAME)
    cause: Mapped[str | None] = mapped_column(_NAME)
    author: Mapped[str]
    why: Mapped[str]
    since: Mapped[datetime]
    until: Mapped[datetime]


class EvidenceRow(Row):
    """What was measured or done; immutable."""

    __tablename__ = "cp_evidence"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    kind: Mapped[str] = mapped_column(_NAME, index=True)
    subject: Mapped[str] = mapped_column(_NAME)
    source: Mapped[str] = mapped_column(_NAME)
    outcome: Mapped[str] = mapped_column(_NAME)
    summary: Mapped[str]
    version: Mapped[str | None] = mapped_column(_NAME)
    n: Mapped[int | None]
    collected: Mapped[datetime]
    expires: Mapped[datetime]
    digest: Mapped[str] = mapped_column(_DIGEST)
    __table_args__ = (UniqueConstraint("workspace", "digest", name="uq_cp_evidence"),)


class FollowupRow(Row):
    """A job that a run left behind, such as a report over the drifted columns."""

    __tablename__ = "cp_followups"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    kind: Mapped[str] = mapped_column(_NAME)
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"))
    check: Mapped[str] = mapped_column(_NAME)
    version: Mapped[str] = mapped_column(_NAME)
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempt: Mapped[int] = mapped_column(default=0)
    lease_expires: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")
    __table_args__ = (UniqueConstraint("workspace", "kind", "run_id", "check", "version", name="uq_cp_followups"),)


class AttachmentRow(Row):
    """Where the bytes that belong to a run's check lie."""

    __tablename__ = "cp_attachments"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"), index=True)
    check: Mapped[str] = mapped_column(_NAME)
    kind: Mapped[str] = mapped_column(_NAME)
    uri: Mapped[str]
    digest: Mapped[str] = mapped_column(_DIGEST)
    at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("run_id", "check", "kind", "digest", name="uq_cp_attachments"),)


class ReferenceRow(Row):
    """A reference built for one version of one monitor's model; the newest row of a version is in force."""

    __tablename__ = "cp_references"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    monitor: Mapped[str] = mapped_column(_NAME)
    version: Mapped[str] = mapped_column(_NAME)
    digest: Mapped[str] = mapped_column(_DIGEST)
    recipe_digest: Mapped[str] = mapped_column(_DIGEST)
    uri: Mapped[str]
    n_rows: Mapped[int]
    promise: Mapped[str]
    built_at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("workspace", "monitor", "version", "recipe_digest", "digest", name="uq_cp_references"),
    )
