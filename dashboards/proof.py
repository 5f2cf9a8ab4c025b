"""One rollback as the pages show it: where it stands, its proof in numbers, and the form that decides it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from controlplane.dashboards import intents, words
from controlplane.dashboards.queries import Place, Rollback
from controlplane.domain.action import ActionState
from controlplane.store.intents import STORED, IntentKind
from controlplane.store.tables_acts import ActionRow, IntentRow


def show(where: Place, rollback: Rollback, now: datetime) -> None:
    """The rollback in a box; a proposed one carries its two buttons."""
    action = rollback.action
    with st.container(border=True, gap="small"):
        st.markdown(f"{words.badge(action.state)} **{_move(action)}**")
        st.text(action.why)
        if rollback.replays:
            st.dataframe(
                [
                    {
                        "measure": replay.measure,
                        f"version {action.from_version} (failing)": words.number(replay.current),
                        "candidate": f"version {replay.version}",
                        "with the candidate": words.number(replay.candidate),
                        "difference": words.number(replay.difference),
                        "95 % interval": words.interval(replay.low, replay.high),
                        "n": replay.n,
                        f"version {action.from_version} since the reference": _fall(
                            replay.own, replay.own_low, replay.own_high
                        ),
                        "candidate since the reference": _fall(replay.other, replay.other_low, replay.other_high),
                        "attribution": replay.attribution,
                    }
                    for replay in rollback.replays
                ],
                hide_index=True,
                width="content",
            )
            st.caption("Both versions measured on the same frozen rows with the same seed, paired.", help=_ATTRIBUTION)
        st.caption(_dates(action, now), help=_dates_utc(action))
        requests(rollback.asked, now)
        if rollback.waits:
            st.markdown("**Decide**: nothing moves before a person approves; without an answer the proposal runs out.")
            choices = {"Approve the rollback": IntentKind.APPROVE, "Reject it": IntentKind.REJECT}
            intents.form(where, f"decide {action.id}", choices, action.id, bound=action.proof_digest)


def requests(asked: tuple[IntentRow, ...], now: datetime) -> None:
    """What people asked for, and what became of it."""
    for row in asked:
        became = row.result or "the scheduler applies it at its next tick"
        if row.state == STORED and (now - row.at).total_seconds() > 120:
            became = "still not applied: is `controlplane up` running?"
        text = f"{row.author} asked to {row.kind}" + (f": {row.why}" if row.why else "")
        st.caption(
            f"{words.badge(row.state, 'waiting' if row.state == STORED else row.state)} {words.plain(text)} "
            f"({words.ago(row.at, now)}) → {became if row.state == STORED else words.plain(became)}",
            help=words.utc(row.at),
        )


_ATTRIBUTION = (
    "Attribution: the version regressed where it does worse on the same rows; the world changed where both versions "
    "fell since the reference; neither where falls that matter are ruled out; otherwise nobody can tell. "
    "Blame asks for more than 95 %, because a failing window was picked for looking bad."
)


def _fall(estimate: float | None, low: float | None, high: float | None) -> str:
    return "-" if estimate is None else f"{words.number(estimate)} ({words.interval(low, high)})"


def _move(action: ActionRow) -> str:
    name = words.plain(f"{action.model}@{action.alias}")
    if action.to_version is None:
        return f"{name} stays at version {words.plain(str(action.from_version))}"
    verb = "moved" if action.moved_at else "would move" if action.state == ActionState.PROPOSED else "from"
    there = "back to" if action.moved_at or action.state == ActionState.PROPOSED else "to"
    return (
        f"{name} {verb}{'' if verb == 'from' else ' from'} version {words.plain(str(action.from_version))} "
        f"{there} version {words.plain(action.to_version)}"
    )


def _moments(action: ActionRow) -> list[tuple[str, datetime]]:
    found = [
        ("planned", action.planned_at),
        ("proposed", action.proposed_at),
        ("moved", action.moved_at),
        ("served", action.served_at),
        ("ended", action.ended_at),
    ]
    return [(word, at) for word, at in found if at is not None]


def _dates(action: ActionRow, now: datetime) -> str:
    said = [f"{word} {words.local(at)} ({words.ago(at, now)})" for word, at in _moments(action)]
    if action.approved_by:
        said.append(f"approved by {words.plain(action.approved_by)}")
    if action.gap_seconds is not None:
        said.append(f"unguarded gap {action.gap_seconds * 1000:.1f} ms")
    return " · ".join(said)


def _dates_utc(action: ActionRow) -> str:
    said = "; ".join(f"{word} {words.utc(at)}" for word, at in _moments(action))
    if action.gap_seconds is not None:
        said += ". The gap lies between reading the alias and writing it; a move made in it is overwritten."
    return said
