"""The tables of what is done: intents, rollbacks with their proof, and who held an alias; `tables` has the others."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from controlplane.store.rows import Row, new_id

_ID = String(26)
_NAME = String(255)
_DIGEST = String(64)


class IntentRow(Row):
    """What a person asked for; the engine applies it or says why not. `bound` is the digest of what was approved."""

    __tablename__ = "cp_intents"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    kind: Mapped[str] = mapped_column(String(32))
    target: Mapped[str] = mapped_column(_NAME)
    author: Mapped[str]
    why: Mapped[str]
    until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(16), index=True)
    result: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    bound: Mapped[str] = mapped_column(_DIGEST, default="")


class ActionRow(Row):
    """A rollback, from its plan to its end. `targets` are the versions worth proving, best first; `to_version` won.

    `write_begun_at` is set right before the one write of the move in hand, or of its undoing.
    """

    __tablename__ = "cp_actions"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    key: Mapped[str] = mapped_column(_DIGEST)
    monitor: Mapped[str] = mapped_column(_NAME)
    incident_id: Mapped[str] = mapped_column(ForeignKey("cp_incidents.id"), index=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("cp_runs.id"))
    registry_key: Mapped[str] = mapped_column(_NAME)
    model: Mapped[str] = mapped_column(_NAME)
    alias: Mapped[str] = mapped_column(_NAME)
    mode: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    code: Mapped[str] = mapped_column(String(32), default="")
    check: Mapped[str] = mapped_column(_NAME, default="")
    measures: Mapped[str] = mapped_column(default="")
    from_version: Mapped[str | None] = mapped_column(_NAME)
    to_version: Mapped[str | None] = mapped_column(_NAME)
    targets: Mapped[str] = mapped_column(default="")
    proof_digest: Mapped[str] = mapped_column(_DIGEST, default="")
    why: Mapped[str]
    owner: Mapped[str] = mapped_column(_NAME, default="")
    lease_expires: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    gap_seconds: Mapped[float | None]
    approved_by: Mapped[str | None]
    planned_at: Mapped[datetime]
    proposed_at: Mapped[datetime | None]
    write_begun_at: Mapped[datetime | None]
    moved_at: Mapped[datetime | None]
    served_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("workspace", "key", name="uq_cp_actions"),)


class ReplayRow(Row):
    """A failing measure measured again with both versions on the same rows: the proof for `version`, the candidate.

    `own` and `other` say how far the failing version and the candidate are from the reference.
    """

    __tablename__ = "cp_replays"
    workspace: Mapped[str] = mapped_column(_NAME)
    action_id: Mapped[str] = mapped_column(ForeignKey("cp_actions.id"), primary_key=True)
    version: Mapped[str] = mapped_column(_NAME, primary_key=True)
    measure: Mapped[str] = mapped_column(_NAME, primary_key=True)
    current: Mapped[float]
    candidate: Mapped[float]
    difference: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    n: Mapped[int]
    attribution: Mapped[str] = mapped_column(String(32))
    own: Mapped[float | None]
    own_low: Mapped[float | None]
    own_high: Mapped[float | None]
    other: Mapped[float | None]
    other_low: Mapped[float | None]
    other_high: Mapped[float | None]
    sample_digest: Mapped[str] = mapped_column(_DIGEST)


class HoldingRow(Row):
    """Which version held an alias since when, as seen or made by us; append-only."""

    __tablename__ = "cp_alias_holdings"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    registry_key: Mapped[str] = mapped_column(_NAME)
    sequence: Mapped[int]
    version: Mapped[str] = mapped_column(_NAME)
    since: Mapped[datetime]
    unseen_since: Mapped[datetime | None]
    last_seen: Mapped[datetime]
    action_id: Mapped[str | None] = mapped_column(ForeignKey("cp_actions.id"))
    __table_args__ = (UniqueConstraint("workspace", "registry_key", "sequence", name="uq_cp_alias_holdings"),)


class AliasLeaseRow(Row):
    """Who of us may move an alias now."""

    __tablename__ = "cp_alias_leases"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    registry_key: Mapped[str] = mapped_column(_NAME, primary_key=True)
    holder: Mapped[str] = mapped_column(_NAME)
    expires: Mapped[datetime]


class FreezeRow(Row):
    """No alias of `monitor` (None: of any monitor) is moved by us, from `since` until it is lifted or over."""

    __tablename__ = "cp_freezes"
    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    workspace: Mapped[str] = mapped_column(_NAME)
    monitor: Mapped[str | None] = mapped_column(_NAME)
    author: Mapped[str]
    why: Mapped[str]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None]


class VersionRow(Row):
    """What a version's artefacts were when we first saw it: they must be the same when the alias goes back to it."""

    __tablename__ = "cp_versions"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    registry_key: Mapped[str] = mapped_column(_NAME, primary_key=True)
    version: Mapped[str] = mapped_column(_NAME, primary_key=True)
    digest: Mapped[str] = mapped_column(_DIGEST)
    signature: Mapped[str]
    seen_at: Mapped[datetime]


class ServerRow(Row):
    """What a server that follows an alias last told: the version all of its workers serve, and why it is another."""

    __tablename__ = "cp_servers"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    server: Mapped[str] = mapped_column(_NAME, primary_key=True)
    registry_key: Mapped[str] = mapped_column(_NAME, primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    wanted: Mapped[str | None] = mapped_column(_NAME)
    served: Mapped[str | None] = mapped_column(_NAME)
    why: Mapped[str]
    since: Mapped[datetime]
    seen_at: Mapped[datetime]


class LinkRow(Row):
    """One link of the chain: `content` digests row `row_id` of `table` as it was written, `before` as it was found.

    `hash` covers everything in the link and the hash of the one before, so that no link can be edited, removed,
    inserted or moved without the next one telling.
    """

    __tablename__ = "cp_chain"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    table: Mapped[str] = mapped_column(_NAME)
    row_id: Mapped[str]
    before: Mapped[str] = mapped_column(_DIGEST)
    content: Mapped[str] = mapped_column(_DIGEST)
    at: Mapped[datetime]
    hash: Mapped[str] = mapped_column(_DIGEST)
    __table_args__ = (Index("ix_cp_chain_rows", "workspace", "table", "row_id", "sequence"),)


class ChainHeadRow(Row):
    """The newest link of a workspace's chain; who appends holds this row, so that links come one after the other."""

    __tablename__ = "cp_chain_heads"
    workspace: Mapped[str] = mapped_column(_NAME, primary_key=True)
    sequence: Mapped[int]
    hash: Mapped[str] = mapped_column(_DIGEST)
