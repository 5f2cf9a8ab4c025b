"""The chain: what was asked, done and found, each link over the one before, so that no edit goes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, reduce
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, insert, select, tuple_, type_coerce, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NULLTYPE

from controlplane.errors import StoreError
from controlplane.store.rows import Row, UtcDateTime
from controlplane.store.tables import EvidenceRow
from controlplane.store.tables_acts import (
    ActionRow,
    ChainHeadRow,
    FreezeRow,
    HoldingRow,
    IntentRow,
    LinkRow,
    ReplayRow,
    VersionRow,
)

_PENDING = "chain"
LINKS, HEADS = LinkRow.metadata.tables["cp_chain"], ChainHeadRow.metadata.tables["cp_chain_heads"]


@dataclass(frozen=True)
class Sealed:
    """A table whose rows the chain covers: all of their columns but those in `loose`, which leases and looks change."""

    row: type[Row]
    word: str
    loose: frozenset[str] = frozenset()

    @cached_property
    def table(self) -> Table:
        """The table itself."""
        return self.row.metadata.tables[self.row.__tablename__]

    @cached_property
    def key(self) -> tuple[Column[object], ...]:
        """What names a row within a workspace."""
        return tuple(column for column in self.table.primary_key if column.name != "workspace")

    @cached_property
    def columns(self) -> tuple[Column[object], ...]:
        """What is sealed of a row."""
        return tuple(column for column in self.table.columns if column.name not in self.loose)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def spelled(self) -> ColumnElement[str]:
        """A row's id as its links have it, in SQL: the parts of its key with a blank between."""
        first, *others = (type_coerce(column, LinkRow.row_id.type) for column in self.key)
        return reduce(lambda before, column: before + " " + column, others, first)

    @cached_property
    def read(self) -> Select[Any]:
        """The sealed columns as they lie in the database: what nobody could parse is an edit too, not an exception."""
        return Select(*map(as_stored, self.columns))

    def within(self, query: Select[Any], workspace: str) -> Select[Any]:
        """The query over the rows of one workspace.

        By no index of it: almost every row is in one workspace, and they are wanted in the order of their ids.
        """
        return query.where(self.table.c.workspace.concat("") == workspace)

    def content(self, values: Iterable[object]) -> str:
        """The digest of a row's sealed columns, the same on either database; a column without a value is left out, so
        that one added later changes no digest of before."""
        told = [
            f"{name}{len(value)}:{value}" if type(value) is str else f"{name}={value!r},"
            for name, value in zip(self._names, values, strict=True)
            if value is not None
        ]
        return _digest(self.table.name + "".join(told))


class _Moment(FunctionElement[Any]):
    """A moment as text in UTC, to the microsecond: the way SQLite keeps it."""

    inherit_cache = True


@compiles(_Moment)
def _kept(element: _Moment, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Moment, "postgresql")
def _told(element: _Moment, compiler: SQLCompiler, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    text = f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"{text} || CASE WHEN {moment} < '0001-01-02' THEN ' BC' ELSE '' END"


def as_stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column as plain text, number or nothing, past our own types."""
    return _Moment(column) if isinstance(column.type, UtcDateTime) else type_coerce(column, NULLTYPE)


_LEASE = frozenset({"owner", "lease_expires", "attempt", "fence"})
SEALED = {
    one.table.name: one
    for one in (
        Sealed(IntentRow, "intent"),
        Sealed(ActionRow, "action", _LEASE),
        Sealed(ReplayRow, "replay"),
        Sealed(EvidenceRow, "evidence"),
        Sealed(HoldingRow, "alias holding", frozenset({"last_seen"})),
        Sealed(FreezeRow, "freeze"),
        Sealed(VersionRow, "version"),
    )
}
"""Every table under the chain: the one place that says what is sealed."""

Place = tuple[str, str, tuple[str, ...]]
"""A row's workspace, table and key."""


def append(session: Session, *rows: Row) -> None:
    """Have new rows linked when this transaction commits."""
    for row in rows:
        _pending(session).setdefault(_place(row), "")


def amend(session: Session, row: Row) -> None:
    """Have a row that may be there already linked again, if it changes; called before it is written.

    What it is now is kept in the link: a row that was edited past us cannot be laundered by a change of ours.
    """
    place, pending = _place(row), _pending(session)
    if place not in pending:
        pending[place] = dict(_contents(session.connection(), SEALED[place[1]], [place[2]])).get(place[2], "")


def close(session: Session) -> None:
    """Write the links of everything this transaction added and changed; the last thing before its commit.

    The head row serialises those who append, and is held from here to the commit only.
    """
    pending: dict[Place, str] = session.info.pop(_PENDING, {})
    if not pending:
        return
    session.flush()
    connection = session.connection()
    found: dict[Place, str] = {}
    for workspace, table in dict.fromkeys(place[:2] for place in pending):
        keys = [place[2] for place in pending if place[:2] == (workspace, table)]
        found |= {(workspace, table, key): content for key, content in _contents(connection, SEALED[table], keys)}
    changed = [(place, before, found[place]) for place, before in pending.items() if found.get(place, before) != before]
    for workspace in sorted({place[0] for place, _, _ in changed}):
        _link(connection, workspace, [one for one in changed if one[0][0] == workspace])


def link_hash(
    previous: str, workspace: str, sequence: int, table: str, row_id: str, before: str, content: str, at: str
) -> str:
    """What a link's hash must be: over all of it and the hash of the one before. No text can reach into the next."""
    return _digest(
        f"{previous}:{sequence}:{len(workspace)}:{workspace}{len(table)}:{table}{len(row_id)}:{row_id}"
        f"{len(before)}:{before}{len(content)}:{content}{at}"
    )


def _pending(session: Session) -> dict[Place, str]:
    pending: dict[Place, str] = session.info.setdefault(_PENDING, {})
    return pending


def _place(row: Row) -> Place:
    sealed = SEALED[row.__tablename__]
    workspace: str = getattr(row, sealed.table.c.workspace.name)
    return workspace, sealed.table.name, tuple(str(getattr(row, column.name)) for column in sealed.key)


def _contents(
    connection: Connection, sealed: Sealed, keys: Sequence[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], str]]:
    wanted = tuple_(*sealed.key).in_(keys) if len(sealed.key) > 1 else sealed.key[0].in_([key[0] for key in keys])
    places = [sealed.columns.index(column) for column in sealed.key]
    for values in connection.execute(sealed.read.where(wanted)):
        yield tuple(str(values[place]) for place in places), sealed.content(values)


def _link(connection: Connection, workspace: str, changed: Sequence[tuple[Place, str, str]]) -> None:
    sequence, last = _hold_head(connection, workspace)
    # When it was written, by this machine's clock; what the engine took the time to be stands in the rows themselves.
    at = datetime.now(UTC)
    links = []
    for (_, table, key), before, content in changed:
        sequence += 1
        row_id, moment = " ".join(key), at.isoformat(" ", "microseconds").removesuffix("+00:00")
        last = link_hash(last, workspace, sequence, table, row_id, before, content, moment)
        told = (workspace, sequence, table, row_id, before, content, at, last)
        links.append(dict(zip(LINKS.c.keys(), told, strict=True)))
    try:
        connection.execute(insert(LINKS), links)
    except IntegrityError:
        raise StoreError(
            f"the chain of workspace {workspace!r} does not go on from its head, so nothing was stored; "
            "`controlplane audit verify` says what was done to it"
        ) from None
    connection.execute(update(HEADS).where(HEADS.c.workspace == workspace).values(sequence=sequence, hash=last))


def _hold_head(connection: Connection, workspace: str) -> tuple[int, str]:
    query = select(HEADS.c.sequence, HEADS.c.hash).where(HEADS.c.workspace == workspace).with_for_update()
    found = connection.execute(query).first()
    if found is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(HEADS).values(workspace=workspace, sequence=-1, hash=""))
        except IntegrityError:
            pass  # another process begins this chain at the same moment
        found = connection.execute(query).one()
    return found[0], found[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
