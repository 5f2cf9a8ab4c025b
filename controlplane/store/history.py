"""The registry's history as we saw and made it: who held an alias when, who moved it, why, and on what evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from controlplane.domain.alias import HeldAt, Holding, held_at
from controlplane.domain.monitor import iso
from controlplane.store.tables import EvidenceRow
from controlplane.store.tables_acts import ActionRow, HoldingRow, ReplayRow


@dataclass(frozen=True, slots=True)
class Tenure:
    """One version's time with an alias: until another took it, with the action that gave it, where that was ours."""

    holding: HoldingRow
    following: HoldingRow | None = None
    action: ActionRow | None = None
    replays: tuple[ReplayRow, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def alias(self) -> str:
        """The alias, as `MODEL@ALIAS`."""
        if self.action is not None:
            return f"{self.action.model}@{self.action.alias}"
        return self.holding.registry_key.rpartition(" ")[2]

    @property
    def unsure_since(self) -> datetime | None:
        """The last moment at which the version before is known to have held it still; None for the first look."""
        if self.action is None:
            return self.holding.unseen_since
        begun = self.action.write_begun_at
        return begun if begun is not None and begun <= self.holding.since else None

    @property
    def moved_by(self) -> str:
        """Who gave it the alias: an action of ours, and who let it, or somebody else; empty for the first look."""
        if self.action is None:
            return "somebody else" if self.holding.sequence else ""
        verb = "undone" if self.holding.version == self.action.from_version else "moved"
        approved = f", approved by {self.action.approved_by}" if self.action.approved_by else ""
        return f"us: {verb} in mode {self.action.mode}{approved}"

    @property
    def when(self) -> str:
        """Since when, in a sentence: to the moment, or between which two looks."""
        if self.holding.sequence == 0 and self.action is None:
            return f"first seen at {iso(self.holding.since)}"
        if self.action is None and self.unsure_since is not None:
            return f"between {iso(self.unsure_since)} and {iso(self.holding.since)}"
        return f"at {iso(self.holding.since)}"

    @property
    def why(self) -> str:
        """Why we moved it; empty for what others did, who told nobody."""
        return "" if self.action is None else self.action.why

    @property
    def proof(self) -> list[str]:
        """What the replay measured, a sentence a measure."""
        return [] if self.action is None else [_sentence(self.action, replay) for replay in self.replays]


def history_of(session: Session, workspace: str, model: str) -> list[list[Tenure]]:
    """The tenures of a model's aliases (or of `MODEL@ALIAS`), oldest first, one list an alias."""
    name, _, alias = model.partition("@")
    ours = select(ActionRow.registry_key).where(ActionRow.workspace == workspace, ActionRow.model == name)
    told = HoldingRow.registry_key.contains(f" {model}@", autoescape=True)
    if alias:
        ours = ours.where(ActionRow.alias == alias)
        told = HoldingRow.registry_key.endswith(f" {model}", autoescape=True)
    # A key that is too long is a hash; the actions of its alias tell whose.
    hashed = HoldingRow.registry_key.startswith("sha256:") & HoldingRow.registry_key.in_(ours)
    query = (
        select(HoldingRow, ActionRow)
        .outerjoin(ActionRow, ActionRow.id == HoldingRow.action_id)
        .where(HoldingRow.workspace == workspace, or_(told, hashed))
        .order_by(HoldingRow.registry_key, HoldingRow.sequence)
    )
    rows = [(holding, action) for holding, action in session.execute(query)]
    proofs = _proofs(session, [action for _, action in rows if action is not None])
    found = []
    for _, held in groupby(rows, key=lambda row: row[0].registry_key):
        tenures = list(held)
        following = [holding for holding, _ in tenures[1:]] + [None]
        found.append(
            [
                Tenure(holding, after, action, *proofs.get("" if action is None else action.id, ((), ())))
                for (holding, action), after in zip(tenures, following, strict=True)
            ]
        )
    return found


def known(session: Session, workspace: str) -> list[str]:
    """Every `MODEL@ALIAS` that has a history."""
    keys = session.scalars(select(HoldingRow.registry_key).where(HoldingRow.workspace == workspace).distinct())
    return sorted({key.rpartition(" ")[2] for key in keys})


def holder_at(tenures: Sequence[Tenure], at: datetime) -> HeldAt:
    """Who held an alias at a moment, from the tenures of that alias."""
    held = [Holding(one.holding.version, one.holding.since, one.unsure_since) for one in tenures]
    return held_at(held, tenures[-1].holding.last_seen, at)


def _proofs(session: Session, acts: Sequence[ActionRow]) -> dict[str, tuple[tuple[ReplayRow, ...], tuple[str, ...]]]:
    ids = [action.id for action in acts]
    replays = session.scalars(
        select(ReplayRow).where(ReplayRow.action_id.in_(ids)).order_by(ReplayRow.version, ReplayRow.measure)
    ).all()
    evidence = session.execute(
        select(EvidenceRow.source, EvidenceRow.id)
        .where(EvidenceRow.source.in_([f"action:{action}" for action in ids]))
        .order_by(EvidenceRow.id)
    ).all()
    return {
        action.id: (
            tuple(one for one in replays if one.action_id == action.id and one.version == action.to_version),
            tuple(row_id for source, row_id in evidence if source == f"action:{action.id}"),
        )
        for action in acts
    }


def _sentence(action: ActionRow, replay: ReplayRow) -> str:
    return (
        f"on the same {replay.n} rows {replay.measure} is {replay.current:.3g} with version {action.from_version} and "
        f"{replay.candidate:.3g} with version {replay.version} "
        f"(difference {replay.difference:.3g}, {replay.low:.3g} to {replay.high:.3g}): {replay.attribution}"
    )
