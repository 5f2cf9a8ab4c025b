"""The kill switch: freezes thrown and lifted. Needs the store alone, so that it works when nothing else does."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from controlplane.domain.evidence import Evidence
from controlplane.domain.guards import Freeze
from controlplane.engine.transitions import EVIDENCE_KEPT
from controlplane.ports import suggest
from controlplane.store import Session, Store, freezes, intents, records
from controlplane.store.intents import APPLIED, REFUSED, IntentKind
from controlplane.store.tables_acts import IntentRow

EVERYTHING = "all monitors"


def throw(
    store: Store,
    kind: IntentKind,
    monitor: str | None,
    author: str,
    why: str,
    now: datetime,
    until: datetime | None = None,
    known: Collection[str] = (),
) -> IntentRow:
    """Store the wish to freeze or to unfreeze `monitor` (None: everything) and apply it, in one transaction.

    What others asked for before and nobody applied yet comes first. `known` are monitors that job files name. The row
    that comes back says what became of the wish.
    """
    with store.begin() as session:
        freezes.one_at_a_time(session)
        target = freezes.ALL if monitor is None else monitor
        asked = intents.store_intent(session, store.workspace, kind, target, author, why, now, until)
        for intent in intents.waiting(session, store.workspace):
            if intent.kind in (IntentKind.FREEZE, IntentKind.UNFREEZE):
                refusal, said = apply(session, intent, known, now)
                intents.end_intent(session, intent, REFUSED if refusal else APPLIED, refusal or said, now)
    with store.begin() as session:
        return intents.intent_of(session, asked)


def apply(session: Session, intent: IntentRow, known: Collection[str], now: datetime) -> tuple[str, str]:
    """What stands in the way of a freeze or its lifting (empty: nothing), and what was done."""
    freezes.one_at_a_time(session)
    monitor = None if intent.target == freezes.ALL else intent.target
    in_force = freezes.in_force(session, intent.workspace, now)
    frozen = {held.monitor for held in in_force if held.monitor is not None}
    names = sorted({*known, *frozen, *records.monitor_names(session, intent.workspace)})
    if monitor is not None and monitor not in names:
        choices = suggest(monitor, names) if names else "no monitor was ever loaded; leave it out to mean everything"
        return f"unknown monitor {monitor!r}; {choices}", ""
    apply_it = _freeze if intent.kind == IntentKind.FREEZE else _unfreeze
    return apply_it(session, intent, monitor, in_force, now)


def _freeze(
    session: Session, intent: IntentRow, monitor: str | None, in_force: list[Freeze], now: datetime
) -> tuple[str, str]:
    if not intent.why.strip():
        return "a freeze needs a reason", ""
    if intent.until is not None and intent.until <= now:
        return "a freeze needs an end in the future, or none", ""
    freeze = Freeze(monitor, intent.author, intent.why, now, intent.until)
    for held in in_force:
        if held.monitor == monitor and held.outlasts(freeze):
            return f"nothing to do: {held}", ""
    row = freezes.store_freeze(session, intent.workspace, freeze)
    _record(session, intent.workspace, monitor, row, "FROZEN", str(freeze), now)
    return "", str(freeze)


def _unfreeze(
    session: Session, intent: IntentRow, monitor: str | None, in_force: list[Freeze], now: datetime
) -> tuple[str, str]:
    what = EVERYTHING if monitor is None else monitor
    rest = "; ".join(str(held) for held in in_force if held.monitor != monitor and None in (held.monitor, monitor))
    lifted = [held for held in in_force if held.monitor == monitor]
    if not lifted:
        return f"nothing to lift: there is no freeze of {what}" + (f"; {rest}" if rest else ""), ""
    rows = freezes.lift(session, intent.workspace, monitor, intent.author, now)
    because = f" ({intent.why})" if intent.why else ""
    said = f"{intent.author} lifted the freeze of {what}{because}; it was: {'; '.join(map(str, lifted))}"
    _record(session, intent.workspace, monitor, rows[-1], "UNFROZEN", said, now)
    return "", said + (f". Still in force: {rest}" if rest else "")


def _record(
    session: Session, workspace: str, monitor: str | None, row: str, outcome: str, summary: str, now: datetime
) -> None:
    kept = now + EVIDENCE_KEPT
    made = Evidence("silence_override", monitor or EVERYTHING, f"freeze:{row}", outcome, summary, now, kept)
    records.store_evidence(session, workspace, [made])
