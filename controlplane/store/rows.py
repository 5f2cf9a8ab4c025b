"""What every table is made of: ULIDs, moments in UTC, and the guarded update by which things are claimed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CursorResult, Dialect, Text, TypeDecorator, Update
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase, Session
from ulid import ULID


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, always UTC: PostgreSQL keeps the zone, SQLite gets it back on reading."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive moment, whose zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the store keeps moments with a zone; got {value.isoformat()} without one")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the moment its zone back where the database dropped it."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    """Text as it comes out of watched data: PostgreSQL refuses a NUL in it, and both refuse half a surrogate pair."""

    impl = Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Put a mark in the place of what neither database can keep."""
        return None if value is None else value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def new_id() -> str:
    """A ULID: 26 characters that sort by the time they were made."""
    return str(ULID())


class Row(DeclarativeBase):
    """What every table's row class derives from; strings are text, moments are UTC."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        int: BigInteger(),
        str: AnyText(),
    }


def won(session: Session, claim: Update) -> bool:
    """Whether this guarded update, `UPDATE ... WHERE state = expected`, found its row: the row count decides."""
    result = session.execute(claim)
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
