"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cp_alias_leases",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("registry_key", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "registry_key"),
    )
    op.create_table(
        "cp_chain",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table", sa.String(length=255), nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("before", sa.String(length=64), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "sequence"),
    )
    op.create_index("ix_cp_chain_rows", "cp_chain", ["workspace", "table", "row_id", "sequence"], unique=False)
    op.create_table(
        "cp_chain_heads",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("workspace"),
    )
    op.create_table(
        "cp_configs",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "digest"),
    )
    op.create_table(
        "cp_evidence",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("outcome", sa.String(length=255), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=True),
        sa.Column("collected", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "digest", name="uq_cp_evidence"),
    )
    op.create_index(op.f("ix_cp_evidence_kind"), "cp_evidence", ["kind"], unique=False)
    op.create_table(
        "cp_freezes",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "cp_intents",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bound", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_cp_intents_state"), "cp_intents", ["state"], unique=False)
    op.create_table(
        "cp_monitors",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("config_digest", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("risk_tier", sa.String(length=16), nullable=False),
        sa.Column("reaction", sa.String(length=16), nullable=False),
        sa.Column("runbook", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name"),
    )
    op.create_table(
        "cp_references",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("recipe_digest", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("promise", sa.Text(), nullable=False),
        sa.Column("built_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "monitor", "version", "recipe_digest", "digest", name="uq_cp_references"),
    )
    op.create_table(
        "cp_runs",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("config_digest", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("lease_expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.String(length=255), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("n_read", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("awaits_labels", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "workspace", "monitor", "window_start", "window_end", "kind", "revision", name="uq_cp_runs"
        ),
    )
    op.create_index(
        "uq_cp_runs_in_flight",
        "cp_runs",
        ["workspace", "monitor"],
        unique=True,
        sqlite_where=sa.text("state = 'claimed'"),
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_table(
        "cp_servers",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("server", sa.String(length=255), nullable=False),
        sa.Column("registry_key", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("wanted", sa.String(length=255), nullable=True),
        sa.Column("served", sa.String(length=255), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "server", "registry_key", "role"),
    )
    op.create_table(
        "cp_silences",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "cp_versions",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("registry_key", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "registry_key", "version"),
    )
    op.create_table(
        "cp_attachments",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("check", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run_id", "check", "kind", "digest", name="uq_cp_attachments"),
    )
    op.create_index(op.f("ix_cp_attachments_run_id"), "cp_attachments", ["run_id"], unique=False)
    op.create_table(
        "cp_detector_states",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("tenure", sa.BigInteger(), nullable=False),
        sa.Column("reference_digest", sa.String(length=64), nullable=False),
        sa.Column("detector_version", sa.String(length=255), nullable=False),
        sa.Column("config_digest", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "cp_findings",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("check", sa.String(length=255), nullable=False),
        sa.Column("measure", sa.String(length=255), nullable=False),
        sa.Column("column", sa.Text(), nullable=True),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.Column("version", sa.String(length=255), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("estimate", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("limit", sa.Double(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_cp_findings_run_id"), "cp_findings", ["run_id"], unique=False)
    op.create_table(
        "cp_followups",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("check", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "kind", "run_id", "check", "version", name="uq_cp_followups"),
    )
    op.create_index(op.f("ix_cp_followups_state"), "cp_followups", ["state"], unique=False)
    op.create_table(
        "cp_incidents",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=True),
        sa.Column("opened_run", sa.String(length=26), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("closed_run", sa.String(length=26), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["closed_run"],
            ["cp_runs.id"],
        ),
        sa.ForeignKeyConstraint(
            ["opened_run"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "uq_cp_incidents_open",
        "cp_incidents",
        ["workspace", "monitor", "cause"],
        unique=True,
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )
    op.create_table(
        "cp_run_parts",
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("sample_digest", sa.String(length=64), nullable=False),
        sa.Column("sample_rate", sa.Double(), nullable=False),
        sa.Column("reference_digest", sa.String(length=64), nullable=True),
        sa.Column("requests_digest", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "version"),
    )
    op.create_table(
        "cp_scores",
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("check", sa.String(length=255), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("column", sa.Text(), nullable=True),
        sa.Column("side", sa.BigInteger(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("usual", sa.Double(), nullable=True),
        sa.Column("detector_key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "place"),
    )
    op.create_index(op.f("ix_cp_scores_detector_key"), "cp_scores", ["detector_key"], unique=False)
    op.create_table(
        "cp_actions",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("monitor", sa.String(length=255), nullable=False),
        sa.Column("incident_id", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("registry_key", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("check", sa.String(length=255), nullable=False),
        sa.Column("measures", sa.Text(), nullable=False),
        sa.Column("from_version", sa.String(length=255), nullable=True),
        sa.Column("to_version", sa.String(length=255), nullable=True),
        sa.Column("targets", sa.Text(), nullable=False),
        sa.Column("proof_digest", sa.String(length=64), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("lease_expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("gap_seconds", sa.Double(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("write_begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["cp_incidents.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "key", name="uq_cp_actions"),
    )
    op.create_index(op.f("ix_cp_actions_incident_id"), "cp_actions", ["incident_id"], unique=False)
    op.create_index(op.f("ix_cp_actions_state"), "cp_actions", ["state"], unique=False)
    op.create_table(
        "cp_alias_holdings",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("registry_key", sa.String(length=255), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unseen_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action_id", sa.String(length=26), nullable=True),
        sa.ForeignKeyConstraint(
            ["action_id"],
            ["cp_actions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "registry_key", "sequence", name="uq_cp_alias_holdings"),
    )
    op.create_table(
        "cp_replays",
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("action_id", sa.String(length=26), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("measure", sa.String(length=255), nullable=False),
        sa.Column("current", sa.Double(), nullable=False),
        sa.Column("candidate", sa.Double(), nullable=False),
        sa.Column("difference", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("attribution", sa.String(length=32), nullable=False),
        sa.Column("own", sa.Double(), nullable=True),
        sa.Column("own_low", sa.Double(), nullable=True),
        sa.Column("own_high", sa.Double(), nullable=True),
        sa.Column("other", sa.Double(), nullable=True),
        sa.Column("other_low", sa.Double(), nullable=True),
        sa.Column("other_high", sa.Double(), nullable=True),
        sa.Column("sample_digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["action_id"],
            ["cp_actions.id"],
        ),
        sa.PrimaryKeyConstraint("action_id", "version", "measure"),
    )
    op.create_table(
        "cp_transitions",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=26), nullable=True),
        sa.Column("action_id", sa.String(length=26), nullable=True),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["action_id"],
            ["cp_actions.id"],
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["cp_incidents.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["cp_runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "key", name="uq_cp_transitions"),
    )
    op.create_index(op.f("ix_cp_transitions_incident_id"), "cp_transitions", ["incident_id"], unique=False)
    op.create_table(
        "cp_deliveries",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("workspace", sa.String(length=255), nullable=False),
        sa.Column("transition_id", sa.String(length=26), nullable=False),
        sa.Column("receiver", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transition_id"],
            ["cp_transitions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "transition_id", "receiver", name="uq_cp_deliveries"),
    )
    op.create_index(op.f("ix_cp_deliveries_state"), "cp_deliveries", ["state"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_cp_deliveries_state"), table_name="cp_deliveries")
    op.drop_table("cp_deliveries")
    op.drop_index(op.f("ix_cp_transitions_incident_id"), table_name="cp_transitions")
    op.drop_table("cp_transitions")
    op.drop_table("cp_replays")
    op.drop_table("cp_alias_holdings")
    op.drop_index(op.f("ix_cp_actions_state"), table_name="cp_actions")
    op.drop_index(op.f("ix_cp_actions_incident_id"), table_name="cp_actions")
    op.drop_table("cp_actions")
    op.drop_index(op.f("ix_cp_scores_detector_key"), table_name="cp_scores")
    op.drop_table("cp_scores")
    op.drop_table("cp_run_parts")
    op.drop_index(
        "uq_cp_incidents_open",
        table_name="cp_incidents",
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )
    op.drop_table("cp_incidents")
    op.drop_index(op.f("ix_cp_followups_state"), table_name="cp_followups")
    op.drop_table("cp_followups")
    op.drop_index(op.f("ix_cp_findings_run_id"), table_name="cp_findings")
    op.drop_table("cp_findings")
    op.drop_table("cp_detector_states")
    op.drop_index(op.f("ix_cp_attachments_run_id"), table_name="cp_attachments")
    op.drop_table("cp_attachments")
    op.drop_table("cp_versions")
    op.drop_table("cp_silences")
    op.drop_table("cp_servers")
    op.drop_index(
        "uq_cp_runs_in_flight",
        table_name="cp_runs",
        sqlite_where=sa.text("state = 'claimed'"),
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.drop_table("cp_runs")
    op.drop_table("cp_references")
    op.drop_table("cp_monitors")
    op.drop_index(op.f("ix_cp_intents_state"), table_name="cp_intents")
    op.drop_table("cp_intents")
    op.drop_table("cp_freezes")
    op.drop_index(op.f("ix_cp_evidence_kind"), table_name="cp_evidence")
    op.drop_table("cp_evidence")
    op.drop_table("cp_configs")
    op.drop_table("cp_chain_heads")
    op.drop_index("ix_cp_chain_rows", table_name="cp_chain")
    op.drop_table("cp_chain")
    op.drop_table("cp_alias_leases")
