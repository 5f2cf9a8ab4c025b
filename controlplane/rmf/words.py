"""Spans, kinds and moments in the words a report is read in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta


def kind_words(kind: str) -> str:
    """A kind of evidence as it is spoken.

    >>> kind_words("drift_check")
    'drift check'
    """
    return kind.replace("_", " ")


def kind_list(kinds: Iterable[str]) -> str:
    """Several kinds in one line.

    >>> kind_list(["drift_check", "calibration"])
    'drift check, calibration'
    """
    return ", ".join(map(kind_words, kinds))


def span(delta: timedelta) -> str:
    """A length of time, rounded down to its largest unit.

    >>> span(timedelta(days=9, hours=3)), span(timedelta(minutes=61)), span(timedelta(seconds=5))
    ('9 days', '1 hour', 'under a minute')
    """
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(delta.total_seconds()) // size
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "under a minute"


def moment(at: datetime) -> str:
    """A moment in UTC, to the minute.

    >>> moment(datetime(2026, 11, 2, 9, 5, tzinfo=UTC))
    '2026-11-02 09:05'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
