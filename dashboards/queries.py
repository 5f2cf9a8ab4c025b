"""Everything the pages read: read-only, cached for a few seconds, so that many viewers cost the store little."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import streamlit as st
from sqlalchemy import func, select

from controlplane.dashboards.canonical import read_monitor
from controlplane.domain.action import ActionState
from controlplane.domain.evidence import Evidence
from controlplane.domain.guards import Freeze
from controlplane.domain.incident import Incident, IncidentState, Silence
from controlplane.domain.monitor import Monitor, RunKind
from controlplane.errors import StoreError
from controlplane.store import Session, Store, freezes
from controlplane.store.audit import Broken, Head, Verified, head_of, verify
from controlplane.store.history import Tenure, history_of, known
from controlplane.store.incidents import incident_of, silences
from controlplane.store.intents import STORED, IntentKind
from controlplane.store.records import evidence_of
from controlplane.store.runs import newest
from controlplane.store.tables import ConfigRow, DeliveryRow, IncidentRow, MonitorRow, RunRow, TransitionRow
from controlplane.store.tables_acts import ActionRow, HoldingRow, IntentRow, ReplayRow

FRESH = 5.0
"""Seconds for which an answer is kept."""
STRIP = 24
"""How many windows of each monitor the overview shows."""


class Place(NamedTuple):
    """Which database, and which workspace in it."""

    url: str
    workspace: str


def place() -> Place:
    """What the process that launched the pages told them; raises StoreError where nothing was said."""
    url = os.environ.get("CONTROLPLANE_DATABASE_URL", "")
    if not url:
        raise StoreError("CONTROLPLANE_DATABASE_URL is not set; start the pages with `controlplane dashboard`")
    return Place(url, os.environ.get("CONTROLPLANE_WORKSPACE") or "default")


@st.cache_resource(show_spinner=False)
def _store(where: Place) -> Store:
    return Store(where.url, where.workspace, read_only=True)


@contextmanager
def reading(where: Place) -> Iterator[Session]:
    """A read-only transaction: everything a page asks within it is of one moment."""
    with _store(where).begin() as session:
        yield session


@st.cache_data(ttl=FRESH, show_spinner=False)
def trouble(where: Place) -> str:
    """Why the database cannot be shown, in one sentence; empty where it can."""
    try:
        _store(where).require_current()
    except StoreError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Watched:
    """A monitor as last loaded, who holds its alias, and its newest scheduled windows, oldest first."""

    monitor: Monitor
    holder: str | None
    runs: tuple[RunRow, ...]

    @property
    def last(self) -> RunRow | None:
        """The newest window."""
        return self.runs[-1] if self.runs else None

    def late(self, now: datetime) -> bool:
        """Whether windows that should have been recorded by now are not: nothing is watching.

        Three times the distance of the last two windows, and the delay, may pass without one.
        """
        if self.last is None or self.last.recorded_at is None:
            return False
        usual = self.monitor.schedule.window
        if len(self.runs) > 1:
            usual = max(usual, self.last.window_end - self.runs[-2].window_end)
        return now > max(self.last.recorded_at, self.last.window_end) + 3 * usual + self.monitor.schedule.delay


@st.cache_data(ttl=FRESH, show_spinner=False)
def watched(where: Place) -> list[Watched]:
    """Every monitor of the workspace, by name."""
    with reading(where) as session:
        known = session.execute(
            select(MonitorRow, ConfigRow.canonical)
            .join(
                ConfigRow,
                (ConfigRow.workspace == MonitorRow.workspace) & (ConfigRow.digest == MonitorRow.config_digest),
            )
            .where(MonitorRow.workspace == where.workspace)
            .order_by(MonitorRow.name)
        ).all()
        monitors = [read_monitor(canonical) for _, canonical in known]
        return [
            Watched(monitor, _holder(session, monitor), tuple(_newest(session, monitor, STRIP))) for monitor in monitors
        ]


def _newest(session: Session, monitor: Monitor, most: int) -> list[RunRow]:
    query = (
        select(RunRow)
        .where(
            RunRow.workspace == monitor.workspace,
            RunRow.monitor == monitor.name,
            newest(RunKind.SCHEDULED),
        )
        .order_by(RunRow.window_end.desc())
        .limit(most)
    )
    return list(reversed(session.scalars(query).all()))


def _held(session: Session, monitor: Monitor) -> list[HoldingRow]:
    """Who held the monitor's alias. A key ends with `model@alias`; a long one is a hash, which actions tell."""
    told = select(ActionRow.registry_key).where(
        ActionRow.workspace == monitor.workspace, ActionRow.monitor == monitor.name
    )
    query = (
        select(HoldingRow)
        .where(
            HoldingRow.workspace == monitor.workspace,
            HoldingRow.registry_key.endswith(f" {monitor.model}", autoescape=True) | HoldingRow.registry_key.in_(told),
        )
        .order_by(HoldingRow.since, HoldingRow.sequence)
    )
    return list(session.scalars(query))


def _holder(session: Session, monitor: Monitor) -> str | None:
    held = _held(session, monitor)
    return held[-1].version if held else None


@st.cache_data(ttl=FRESH, show_spinner=False)
def holdings(where: Place, name: str) -> list[HoldingRow]:
    """Who held a monitor's alias, newest first."""
    for one in watched(where):
        if one.monitor.name == name:
            with reading(where) as session:
                return list(reversed(_held(session, one.monitor)))
    return []


@st.cache_data(ttl=FRESH, show_spinner=False)
def tenures(where: Place) -> dict[str, list[Tenure]]:
    """Every alias that has a history, with its tenures, oldest first; by its registry too where it is in several."""
    with reading(where) as session:
        found = {name: history_of(session, where.workspace, name) for name in known(session, where.workspace)}
    return {
        name if len(aliases) == 1 else held[0].holding.registry_key: held
        for name, aliases in found.items()
        for held in aliases
    }


@st.cache_data(ttl=FRESH, show_spinner=False)
def head(where: Place) -> Head | None:
    """The newest link of the chain."""
    with reading(where) as session:
        return head_of(session, where.workspace)


def audit(where: Place) -> Verified | Broken:
    """The whole chain read again, with every row under it."""
    with _store(where).snapshot() as session:
        return verify(session, where.workspace)


@dataclass(frozen=True)
class Case:
    """An incident as lists show it: with its newest change, and how many of its notifications did not arrive."""

    incident: IncidentRow
    newest: TransitionRow | None
    unheard: int
    muted: Silence | None

    @property
    def open(self) -> bool:
        """Whether it is not closed."""
        return self.incident.state != IncidentState.CLOSED


@st.cache_data(ttl=FRESH, show_spinner=False)
def cases(where: Place, most: int = 500) -> list[Case]:
    """The newest incidents: open ones first, critical before warning, then the newest."""
    now = datetime.now(UTC)
    with reading(where) as session:
        found = session.scalars(
            select(IncidentRow)
            .where(IncidentRow.workspace == where.workspace)
            .order_by((IncidentRow.state == IncidentState.CLOSED.value).asc(), IncidentRow.id.desc())
            .limit(most)
        ).all()
        ids = [row.id for row in found]
        last = select(func.max(TransitionRow.id)).where(TransitionRow.incident_id.in_(ids))
        newest = {
            row.incident_id: row
            for row in session.scalars(
                select(TransitionRow).where(TransitionRow.id.in_(last.group_by(TransitionRow.incident_id)))
            )
        }
        unheard = {
            incident: count
            for incident, count in session.execute(
                select(TransitionRow.incident_id, func.count())
                .join(DeliveryRow, DeliveryRow.transition_id == TransitionRow.id)
                .where(TransitionRow.incident_id.in_(ids), DeliveryRow.error != "", DeliveryRow.sent_at.is_(None))
                .group_by(TransitionRow.incident_id)
            )
        }
        mutes = silences(session, where.workspace, now)
        muted = {row.id: _mute(row, mutes) for row in found}
    made = [Case(row, newest.get(row.id), unheard.get(row.id, 0), muted[row.id]) for row in found]
    return sorted(made, key=lambda case: (not case.open, case.open and case.incident.severity != "critical"))


def _mute(row: IncidentRow, mutes: list[Silence]) -> Silence | None:
    return next((mute for mute in mutes if mute.monitor == row.monitor and mute.cause in (None, row.cause)), None)


@dataclass(frozen=True)
class Rollback:
    """An action with its proof and what people asked of it."""

    action: ActionRow
    replays: tuple[ReplayRow, ...]
    asked: tuple[IntentRow, ...]

    @property
    def waits(self) -> bool:
        """Whether it waits for a person whose answer is not stored yet."""
        return self.action.state == ActionState.PROPOSED and not any(row.state == STORED for row in self.asked)


@st.cache_data(ttl=FRESH, show_spinner=False)
def rollbacks(where: Place, incident_id: str | None = None) -> list[Rollback]:
    """Every action of the workspace or of one incident, newest first."""
    with reading(where) as session:
        query = select(ActionRow).where(ActionRow.workspace == where.workspace).order_by(ActionRow.id.desc())
        if incident_id is not None:
            query = query.where(ActionRow.incident_id == incident_id)
        return [
            Rollback(
                row,
                tuple(session.scalars(select(ReplayRow).where(ReplayRow.action_id == row.id))),
                tuple(_asked(session, where, row.id)),
            )
            for row in session.scalars(query.limit(500)).all()
        ]


def _asked(session: Session, where: Place, target: str) -> list[IntentRow]:
    query = select(IntentRow).where(IntentRow.workspace == where.workspace, IntentRow.target == target)
    return list(session.scalars(query.order_by(IntentRow.id.desc())))


@dataclass(frozen=True)
class Frozen:
    """A freeze in force; `asked` says that it is a wish that was not applied yet, which holds all the same."""

    freeze: Freeze
    asked: bool


@st.cache_data(ttl=FRESH, show_spinner=False)
def frozen(where: Place) -> list[Frozen]:
    """What is frozen now: everything first, then by monitor."""
    now = datetime.now(UTC)
    with reading(where) as session:
        held = [Frozen(freeze, False) for freeze in freezes.in_force(session, where.workspace, now)]
        asked = [Frozen(freeze, True) for freeze in freezes.asked_for(session, where.workspace)]
    return sorted(held + asked, key=lambda one: one.freeze.monitor or "")


@st.cache_data(ttl=FRESH, show_spinner=False)
def freezes_asked(where: Place) -> tuple[IntentRow, ...]:
    """Who asked to freeze or to let go, newest first."""
    kinds = (IntentKind.FREEZE, IntentKind.UNFREEZE)
    with reading(where) as session:
        query = select(IntentRow).where(IntentRow.workspace == where.workspace, IntentRow.kind.in_(kinds))
        return tuple(session.scalars(query.order_by(IntentRow.id.desc()).limit(20)))


@dataclass(frozen=True)
class Story:
    """What happened to one incident: each change with its deliveries, oldest first, and what people asked for."""

    changes: tuple[tuple[TransitionRow, tuple[DeliveryRow, ...]], ...]
    asked: tuple[IntentRow, ...]
    opened_run: RunRow | None


@st.cache_data(ttl=FRESH, show_spinner=False)
def story(where: Place, incident_id: str) -> Story:
    """The whole timeline of an incident."""
    with reading(where) as session:
        changes = session.scalars(
            select(TransitionRow).where(TransitionRow.incident_id == incident_id).order_by(TransitionRow.id)
        ).all()
        told = {
            change.id: tuple(
                session.scalars(
                    select(DeliveryRow).where(DeliveryRow.transition_id == change.id).order_by(DeliveryRow.receiver)
                )
            )
            for change in changes
        }
        row = session.get(IncidentRow, incident_id)
        run = None if row is None else session.get(RunRow, row.opened_run)
        return Story(
            tuple((change, told[change.id]) for change in changes), tuple(_asked(session, where, incident_id)), run
        )


@st.cache_data(ttl=FRESH, show_spinner=False)
def evidence(where: Place) -> tuple[list[Evidence], list[Incident]]:
    """What the report on the framework is made of."""
    with reading(where) as session:
        rows = session.scalars(select(IncidentRow).where(IncidentRow.workspace == where.workspace)).all()
        return evidence_of(session, where.workspace), [incident_of(row) for row in rows]
