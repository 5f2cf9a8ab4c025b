"""A realistic chain, and single tamperings with it past the product, each with the row that it should be found by."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Float, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from store_samples import KEY, REFUSED, T0, monitor, planned

from controlplane.domain.action import ActionState, Proof
from controlplane.domain.attribution import Replay
from controlplane.domain.evidence import Evidence
from controlplane.domain.guards import Freeze
from controlplane.store import Store, actions, freezes, intents, records
from controlplane.store.chain import HEADS, LINKS, SEALED, Sealed, as_stored, link_hash
from controlplane.store.intents import APPLIED, IntentKind
from controlplane.store.rows import UtcDateTime, new_id
from controlplane.store.tables_acts import IntentRow

PROOF = Replay("accuracy", 0.61, 0.8, -0.19, -0.25, -0.13, 812, False)
LIVES = (
    (ActionState.ACCEPTED, ActionState.MOVING, ActionState.MOVED, ActionState.VERIFIED),
    (ActionState.PROPOSED, ActionState.ACCEPTED, ActionState.MOVING, ActionState.MOVED, ActionState.SUPERSEDED),
    (ActionState.PROPOSED, ActionState.REJECTED),
    (ActionState.REFUSED,),
)


def fill(store: Store, stories: int) -> None:
    """So many incidents: each planned, proved, told, and taken to one of its ends, with what people asked for."""
    for number in range(stories):
        watched = monitor(f"scorer-{number}")
        with store.begin() as session:
            row = planned(session, watched)
            refused = planned(session, watched, 1, REFUSED, "drift")
            records.store_evidence(session, "default", [evidence(number, place) for place in range(8)])
        now = T0 + number * timedelta(hours=1)
        frozen = f"scorer-{number}" if number % 2 else None
        with store.begin() as session:
            actions.store_proofs(session, row, [Proof("1", (PROOF,))], "5a" * 32)
            actions.see_version(session, "default", KEY, str(number), "d" * 64, "", now)
            freezes.store_freeze(session, "default", Freeze(frozen, "ann", "sale", now, None))
        with store.begin() as session:
            freezes.lift(session, "default", frozen, "bob", now + timedelta(hours=1))
        for state in LIVES[number % len(LIVES)]:
            with store.begin() as session:
                actions.step_action(session, row, state, why=f"{row.why}; {state}")
        with store.begin() as session:
            records.see_holder(session, "default", f"{KEY}-{number}", "2", now)
            records.see_holder(session, "default", f"{KEY}-{number}", "1", now + timedelta(minutes=5), row.id)
            asked = intents.store_intent(session, "default", IntentKind.APPROVE, row.id, "ann", "go", now)
        with store.begin() as session:
            intents.end_intent(session, session.get_one(IntentRow, asked), APPLIED, f"approved {refused.id}", now)


def evidence(number: int, place: object) -> Evidence:
    """One of the rows a run leaves."""
    said = f"run {number}, check {place}: 5 columns within max 0.2"
    return Evidence("drift_check", f"scorer-{number}", f"run:{number}", "PASS", said, T0, T0 + timedelta(90), "2", 812)


@dataclass(frozen=True)
class Done:
    """A tampering, and the table and row that an audit has to name."""

    what: str
    table: str
    row_id: str


def tamper(connection: Connection, dice: random.Random) -> Done:
    """Do one thing to one row or link, or let two change places; what the tables themselves refuse is tried anew."""
    while True:
        try:
            with connection.begin_nested():
                return dice.choice(ACTS)(connection, dice)
        except IntegrityError:
            continue


def edit_row(connection: Connection, dice: random.Random) -> Done:
    """Another value in one sealed column that is not part of the key."""
    sealed, row = _any_row(connection, dice)
    column = dice.choice([column for column in sealed.columns if column not in sealed.key])
    change = {column.name: _other(row._mapping[column.name], column, dice)}
    connection.execute(update(sealed.table).where(*_is(sealed.table, row)).values(change))
    return Done(f"edit {column}", sealed.table.name, _id(sealed, row))


def rename_row(connection: Connection, dice: random.Random) -> Done:
    """Another key: as if one row went and another came."""
    sealed, row = _any_row(connection, dice)
    change = {sealed.key[-1].name: f"{row._mapping[sealed.key[-1].name]}0"[-26:]}
    connection.execute(update(sealed.table).where(*_is(sealed.table, row)).values(change))
    return Done("rename", sealed.table.name, _id(sealed, row))


def delete_row(connection: Connection, dice: random.Random) -> Done:
    """A row less."""
    sealed, row = _any_row(connection, dice)
    connection.execute(delete(sealed.table).where(*_is(sealed.table, row)))
    return Done("delete", sealed.table.name, _id(sealed, row))


def insert_row(connection: Connection, dice: random.Random) -> Done:
    """A row more, like one that is there."""
    sealed, row = _any_row(connection, dice)
    values = dict(row._mapping) | {sealed.key[-1].name: new_id()}
    unique = {"key": "e" * 64, "digest": "e" * 64, "sequence": 9}
    values |= {name: unique[name] for name in unique.keys() & values.keys()}
    connection.execute(insert(sealed.table).values(values))
    return Done("insert", sealed.table.name, " ".join(str(values[column.name]) for column in sealed.key))


def swap_rows(connection: Connection, dice: random.Random) -> Done:
    """Two rows of a table change places: each has the other's key."""
    sealed, row = _any_row(connection, dice)
    name = sealed.key[-1].name
    same = [sealed.table.c[column.name] == row._mapping[column.name] for column in sealed.key[:-1]]
    others = connection.execute(select(sealed.table).where(*same, sealed.table.c[name] != row._mapping[name])).all()
    if not others:
        return swap_rows(connection, dice)
    other = dice.choice(others)
    for place, value in ((row, "?"), (other, row._mapping[name])):
        connection.execute(update(sealed.table).where(*_is(sealed.table, place)).values({name: value}))
    marked = [*same, sealed.table.c[name] == "?"]
    connection.execute(update(sealed.table).where(*marked).values({name: other._mapping[name]}))
    first = min((row, other), key=lambda one: _newest_link(connection, sealed, one))
    return Done("swap rows", sealed.table.name, _id(sealed, first))


def edit_link(connection: Connection, dice: random.Random) -> Done:
    """Another value in one column of a link."""
    row = _any_link(connection, dice)
    name = dice.choice(["table", "row_id", "before", "content", "at", "hash"])
    change = {name: _other(row._mapping[name], LINKS.c[name], dice)}
    connection.execute(update(LINKS).where(*_is(LINKS, row)).values(change))
    return Done(f"edit link's {name}", LINKS.name, str(row.sequence))


def delete_link(connection: Connection, dice: random.Random) -> Done:
    """A link less, with or without the later ones moved up."""
    row = _any_link(connection, dice)
    connection.execute(delete(LINKS).where(*_is(LINKS, row)))
    if dice.random() < 0.5:
        _shift(connection, row.sequence, -1)
    return Done("delete link", LINKS.name, str(row.sequence))


def insert_link(connection: Connection, dice: random.Random) -> Done:
    """A link more, like one that is there, with the later ones moved down."""
    row = _any_link(connection, dice)
    _shift(connection, row.sequence - 1, 1)
    connection.execute(insert(LINKS).values(dict(row._mapping) | {"at": row.at + timedelta(seconds=1)}))
    return Done("insert link", LINKS.name, str(row.sequence))


def swap_links(connection: Connection, dice: random.Random) -> Done:
    """Two links change places."""
    one, other = sorted((_any_link(connection, dice) for _ in range(2)), key=lambda link: link.sequence)
    if one.sequence == other.sequence:
        return swap_links(connection, dice)
    for row, place in ((one, -9), (other, one.sequence)):
        connection.execute(update(LINKS).where(*_is(LINKS, row)).values(sequence=place))
    connection.execute(update(LINKS).where(LINKS.c.sequence == -9).values(sequence=other.sequence))
    return Done("swap links", LINKS.name, str(one.sequence))


def cut_tail(connection: Connection, dice: random.Random) -> Done:
    """The last links gone."""
    row = _any_link(connection, dice)
    connection.execute(delete(LINKS).where(LINKS.c.sequence >= row.sequence))
    return Done("cut tail", LINKS.name, str(row.sequence))


def edit_head(connection: Connection, dice: random.Random) -> Done:
    """The head row changed, or gone."""
    head = connection.execute(select(HEADS)).one()
    other = _other(head.hash, HEADS.c.hash, dice)
    changes = [{"sequence": head.sequence - 3}, {"sequence": head.sequence + 3}, {"hash": other}, {}]
    change = dice.choice(changes)
    connection.execute(update(HEADS).values(change) if change else delete(HEADS))
    return Done(f"edit head's {', '.join(change)}" if change else "delete head", HEADS.name, head.workspace)


ROWS: Sequence[Callable[[Connection, random.Random], Done]] = (edit_row, rename_row, delete_row, insert_row, swap_rows)
LINK: Sequence[Callable[[Connection, random.Random], Done]] = (edit_link, delete_link, insert_link, swap_links)
ACTS = (*ROWS, *ROWS, *LINK, cut_tail, edit_head)


def write_anew(connection: Connection) -> None:
    """Every link and the head made to fit the rows as they are now: what a thorough forger does."""
    last = ""
    before: dict[str, str] = {}
    links = select(*(as_stored(column).label(column.name) for column in LINKS.c)).order_by(LINKS.c.sequence)
    for link in connection.execute(links).all():
        sealed = SEALED[link.table]
        content = sealed.content(connection.execute(sealed.read.where(sealed.spelled == link.row_id)).one())
        told = (link.table, link.row_id, before.get(link.row_id, ""), content, link.at)
        last = link_hash(last, link.workspace, link.sequence, *told)
        change = {"before": before.get(link.row_id, ""), "content": content, "hash": last}
        connection.execute(update(LINKS).where(*_is(LINKS, link)).values(change))
        before[link.row_id] = content
    connection.execute(update(HEADS).values(hash=last))


def _any_row(connection: Connection, dice: random.Random) -> tuple[Sealed, Any]:
    sealed = dice.choice(list(SEALED.values()))
    return sealed, dice.choice(connection.execute(select(sealed.table)).all())


def _any_link(connection: Connection, dice: random.Random) -> Any:
    return dice.choice(connection.execute(select(LINKS)).all())


def _is(table: Table, row: Any) -> list[Any]:
    return [column == row._mapping[column.name] for column in table.primary_key]


def _id(sealed: Sealed, row: Any) -> str:
    return " ".join(str(row._mapping[column.name]) for column in sealed.key)


def _newest_link(connection: Connection, sealed: Sealed, row: Any) -> int:
    links = select(LINKS.c.sequence).where(LINKS.c.table == sealed.table.name, LINKS.c.row_id == _id(sealed, row))
    return max(connection.scalars(links))


def _shift(connection: Connection, after: int, by: int) -> None:
    """Number the links behind `after` anew; by way of numbers below zero, because no two may have the same."""
    away = update(LINKS).where(LINKS.c.sequence > after).values(sequence=-2 - LINKS.c.sequence)
    back = update(LINKS).where(LINKS.c.sequence <= -2).values(sequence=-2 - LINKS.c.sequence + by)
    connection.execute(away)
    connection.execute(back)


def _other(value: Any, column: Column[Any], dice: random.Random) -> Any:
    """Another value for a column, close to the one that is there."""
    if value is None:
        kinds: tuple[tuple[type, Any], ...] = ((UtcDateTime, T0), (BigInteger, 1), (Float, 0.5))
        return next((other for kind, other in kinds if isinstance(column.type, kind)), "x")
    if isinstance(value, datetime):
        return value + timedelta(microseconds=dice.choice([1, 3_600_000_000]))
    if isinstance(value, float):
        return value + dice.choice([1e-9, 0.1, -1.0])
    if isinstance(value, int):
        return value + 1
    place = dice.randrange(len(value) + 1)
    return value[:place] + ("1" if value[place : place + 1] != "1" else "0") + value[place + 1 :]
