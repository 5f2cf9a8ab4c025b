"""Reading the chain again: whether every link, and every row under it, is as it was written; and if not, which."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, collate, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from controlplane.store.chain import HEADS, LINKS, SEALED, Sealed, as_stored, link_hash

_AT_ONCE = 2_000
_EMPTY = -1
_Links = list[tuple[int, str, str]]


class Tampering(StrEnum):
    """What was done to the first thing that is not as it was written."""

    EDITED = "edited"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    CUT_OFF = "cut off"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link of a chain; kept elsewhere, it shows later whether the chain up to it was written anew.

    >>> Head.parse("12:" + "0f" * 32).sequence
    12
    """

    sequence: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read `SEQUENCE:HASH`; raises ValueError with a sentence."""
        match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip())
        if match is None:
            said = " ".join(text.split())[:80]
            raise ValueError(f"{said!r} is no head of a chain; valid: SEQUENCE:HASH, with 64 hexadecimal digits")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Verified:
    """Every link follows from the one before it, and every row under the chain is as its newest link says."""

    workspace: str
    links: int
    rows: int
    head: Head | None

    @property
    def why(self) -> str:
        """It in a sentence."""
        return f"all {self.links} links of the chain, and the {self.rows} rows under it, are as they were written"


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing that is not as it was written: the table, the row, what was done to it, and a sentence.

    `sequence` is the link by which it was found; None where no link knows the row.
    """

    workspace: str
    what: Tampering
    table: str
    row_id: str
    sequence: int | None
    why: str


def head_of(session: Session, workspace: str) -> Head | None:
    """The newest link of a workspace's chain; None while it is empty."""
    found = session.execute(select(HEADS).where(HEADS.c.workspace == workspace)).first()
    return None if found is None or found.sequence == _EMPTY else Head(found.sequence, found.hash)


def verify(
    session: Session,
    workspace: str,
    kept: Head | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Verified | Broken:
    """Read a workspace's whole chain and every row under it; the session is a snapshot, or others must not write.

    `kept` is a head that was exported earlier, which the chain must still pass through. `told` hears how many links
    and rows were read, and of how many. Links come first, because only an intact chain can accuse a row. Memory does
    not grow with the chain.
    """
    reading = _Reading(session.connection(), workspace, told)
    end = reading.links(kept)
    if isinstance(end, Broken):
        return end
    head = None if end.sequence == _EMPTY else end
    return reading.rows() or Verified(workspace, end.sequence + 1, reading.read, head)


class _Reading:
    """One pass over a workspace. `read` counts the rows."""

    def __init__(self, connection: Connection, workspace: str, told: Callable[[int, int], None]) -> None:
        self._connection, self._workspace, self._told = connection, workspace, told
        self._mine = LINKS.c.workspace == workspace
        counts = 2 * [select(func.count()).select_from(LINKS).where(self._mine)]
        counts += [
            sealed.within(select(func.count()).select_from(sealed.table), workspace) for sealed in SEALED.values()
        ]
        self._of = sum(connection.execute(count).scalar_one() for count in counts)
        self._done = 0
        self.read = 0

    def links(self, kept: Head | None) -> Head | Broken:
        """The last link, once each follows from the one before and the head row agrees."""
        last = Head(_EMPTY, "")
        try:
            for link in self._stream(self._links_from(0)):
                _, sequence, table, row_id, before, content, at, found = tuple(link)
                place = last.sequence + 1
                wanted = link_hash(last.hash, self._workspace, place, table, row_id, before, content, at)
                if sequence != place or found != wanted:
                    return self._misplaced(last, link)
                last = Head(place, found)
                if kept is not None and kept.sequence == place and kept.hash != found:
                    why = f"link {place} is not the head that was kept: the chain was written anew, there or before"
                    return self._link(Tampering.REWRITTEN, place, why)
        except DBAPIError as error:
            return self._unreadable(LINKS.name, error)
        return self._head(last) or self._passes(kept, last) or last

    def _passes(self, kept: Head | None, last: Head) -> Broken | None:
        if kept is None or kept.sequence <= last.sequence:
            return None
        why = f"the chain ends with {_number(last)}, before link {kept.sequence}, the head that was kept"
        return self._link(Tampering.CUT_OFF, last.sequence + 1, why)

    def _misplaced(self, last: Head, link: Row[Any]) -> Broken:
        """What was done at the place after `last`, where `link` is found and does not follow."""
        place = last.sequence + 1
        stands = link.sequence == place
        for each in self._stream(self._links_from(place)):
            if each.hash == self._hash(last.hash, place, each):
                beside = stands and each.sequence == place + 1
                if beside and link.hash != self._hash(each.hash, place + 1, link):
                    return self._link(Tampering.INSERTED, place, f"link {place} was inserted before the true one")
                why = f"links were reordered: what is link {place} stands at place {each.sequence}"
                return self._link(Tampering.REORDERED, place, why)
        after = self._connection.execute(self._links_from(place + 1).limit(1)).first()
        if not stands or (after is not None and after.hash == self._hash(link.hash, place + 2, after)):
            return self._link(Tampering.REMOVED, place, f"link {place} was removed")
        word = SEALED[link.table].word if link.table in SEALED else "row"
        return self._link(Tampering.EDITED, place, f"link {place}, of {word} {link.row_id}, was edited")

    def _head(self, last: Head) -> Broken | None:
        """What is wrong with the head row beside the last link there is."""
        found = self._connection.execute(select(HEADS).where(HEADS.c.workspace == self._workspace)).first()
        if found is None:
            if last.sequence == _EMPTY:
                return None
            return self._broken(Tampering.REMOVED, HEADS.name, self._workspace, "the head of the chain was removed")
        head = Head(found.sequence, found.hash)
        if head == last:
            return None
        if head.hash != last.hash and head.sequence > last.sequence:
            why = f"the chain ends with {_number(last)}, and its head is link {head.sequence}: its tail was cut off"
            return self._link(Tampering.CUT_OFF, last.sequence + 1, why)
        at_head = self._connection.execute(self._links_from(head.sequence).limit(1)).first()
        if head.sequence < last.sequence and at_head is not None and at_head.hash == head.hash:
            why = f"link {head.sequence + 1} was inserted behind the head of the chain"
            return self._link(Tampering.INSERTED, head.sequence + 1, why)
        why = f"the head of the chain was edited: it does not name {_number(last)}, the last one"
        return self._broken(Tampering.EDITED, HEADS.name, self._workspace, why)

    def rows(self) -> Broken | None:
        """The first row, in the order of the links, that is not as its newest link says."""
        first: Broken | None = None
        for sealed in SEALED.values():
            try:
                for broken in self._differing(sealed):
                    first = broken if first is None else min(first, broken, key=_order)
            except DBAPIError as error:
                return self._unreadable(sealed.table.name, error)
        return first

    def _differing(self, sealed: Sealed) -> Iterator[Broken]:
        """The rows of a table beside their links, both in the order of their ids."""
        name, ended = sealed.table.name, ("", ())
        known = self._known(name)
        id_, links = next(known, ended)
        for row in self._stream(self._in_order(sealed.read, sealed)):
            values, row_id = row[:-1], row[-1]
            self.read += 1
            while links and id_ < row_id:
                yield self._gone(sealed, id_, links)
                id_, links = next(known, ended)
            if links and id_ == row_id:
                yield from self._changed_past_us(sealed, id_, links)
                sequence, _, content = links[-1]
                if sealed.content(values) != content:
                    why = f"{sealed.word} {row_id} was edited after link {sequence}"
                    yield self._broken(Tampering.EDITED, name, row_id, why, sequence)
                id_, links = next(known, ended)
            else:
                why = f"{sealed.word} {row_id} was inserted: no link knows it"
                yield self._broken(Tampering.INSERTED, name, row_id, why)
        while links:
            yield self._gone(sealed, id_, links)
            id_, links = next(known, ended)

    def _gone(self, sealed: Sealed, row_id: str, links: _Links) -> Broken:
        why = f"{sealed.word} {row_id} was removed after link {links[-1][0]}"
        return self._broken(Tampering.REMOVED, sealed.table.name, row_id, why, links[-1][0])

    def _changed_past_us(self, sealed: Sealed, row_id: str, links: _Links) -> Iterator[Broken]:
        """A row that was not as its last link said when we changed it: somebody had changed it in between."""
        last = ""
        for sequence, before, content in links:
            if before != last:
                what = Tampering.INSERTED if not last else Tampering.EDITED if before else Tampering.REMOVED
                why = f"{sealed.word} {row_id} was {what} by somebody else before link {sequence}"
                yield self._broken(what, sealed.table.name, row_id, why, sequence)
            last = content

    def _known(self, table: str) -> Iterator[tuple[str, _Links]]:
        """The links of each row of a table, by the row's id: sequence, before and content of each, oldest first."""
        of_row = self._collated(LINKS.c.row_id)
        query = select(LINKS.c.row_id, LINKS.c.sequence, LINKS.c.before, LINKS.c.content)
        query = query.where(self._mine, LINKS.c.table == table).order_by(of_row, LINKS.c.sequence)
        for row_id, links in groupby(self._stream(query), key=itemgetter(0)):
            yield row_id, [(sequence, before, content) for _, sequence, before, content in map(tuple, links)]

    def _in_order(self, query: Select[Any], sealed: Sealed) -> Select[Any]:
        query = query.add_columns(sealed.spelled).order_by(self._collated(sealed.spelled))
        return sealed.within(query, self._workspace)

    def _collated(self, text: ColumnElement[str]) -> ColumnElement[str]:
        """Text in the order in which Python has it, too."""
        return collate(text, "C") if self._connection.dialect.name == "postgresql" else text

    def _links_from(self, place: int) -> Select[Any]:
        query: Select[Any] = Select(*(as_stored(column).label(column.name) for column in LINKS.columns))
        return query.where(self._mine, LINKS.c.sequence >= place).order_by(LINKS.c.sequence)

    def _hash(self, previous: str, place: int, link: Row[Any]) -> str:
        """The hash that this link would have at that place."""
        told = (link.table, link.row_id, link.before, link.content, link.at)
        return link_hash(previous, self._workspace, place, *told)

    def _stream(self, query: Select[Any]) -> Iterator[Row[Any]]:
        with self._connection.execute(query.execution_options(yield_per=_AT_ONCE)) as result:
            for rows in result.partitions():
                yield from rows
                self._done += len(rows)
                self._told(min(self._done, self._of), self._of)

    def _unreadable(self, table: str, error: DBAPIError) -> Broken:
        why = f"a row of {table} was edited into what cannot be read: {' '.join(str(error.orig).split())}"
        return self._broken(Tampering.EDITED, table, "", why)

    def _link(self, what: Tampering, place: int, why: str) -> Broken:
        return self._broken(what, LINKS.name, str(place), why, place)

    def _broken(self, what: Tampering, table: str, row_id: str, why: str, sequence: int | None = None) -> Broken:
        return Broken(self._workspace, what, table, row_id, sequence, why)


def _order(one: Broken) -> tuple[bool, int, str]:
    """As links come; what no link knows comes last."""
    return one.sequence is None, one.sequence or 0, one.row_id


def _number(last: Head) -> str:
    return "no link" if last.sequence == _EMPTY else f"link {last.sequence}"
