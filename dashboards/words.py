"""Moments, spans, numbers and outcomes as the pages spell them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

COLOURS: dict[str, Literal["red", "orange", "green", "blue", "violet", "gray"]] = {
    "PASS": "green",
    "WARN": "orange",
    "FAIL": "red",
    "ERROR": "violet",
    "INCONCLUSIVE": "gray",
    "critical": "red",
    "warning": "orange",
    "open": "red",
    "acknowledged": "blue",
    "closed": "gray",
    "proposed": "orange",
    "verified": "green",
    "moved": "blue",
    "moving": "blue",
    "planned": "blue",
    "accepted": "blue",
    "refused": "red",
    "failed": "red",
    "superseded": "red",
    "sent": "green",
    "muted": "gray",
    "pending": "blue",
    "undeliverable": "red",
    "supported": "green",
    "partly": "blue",
    "expired": "orange",
    "gap": "red",
    "opened": "red",
    "rollback_proposed": "orange",
    "rollback_made": "blue",
    "rollback_verified": "green",
    "rollback_refused": "red",
    "rollback_failed": "red",
    "rollback_superseded": "red",
    "escalated": "red",
}
"""Streamlit's names of the colours that outcomes, states and events are shown in; anything else is gray."""


def zone() -> tzinfo:
    """The viewer's time zone as the browser tells it; UTC where it tells none."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def zone_name() -> str:
    """The viewer's time zone as a word for headings, such as `Europe/Paris`."""
    return str(zone())


def local(at: datetime) -> str:
    """A moment in the viewer's zone, to the minute; sorts as text."""
    return f"{at.astimezone(zone()):%Y-%m-%d %H:%M}"


def utc(at: datetime) -> str:
    """A moment in UTC, to the second: for tooltips and captions, where logs are compared.

    >>> utc(datetime(2026, 11, 2, 9, 5, tzinfo=UTC))
    '2026-11-02 09:05:00 UTC'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def window(start: datetime, end: datetime) -> str:
    """A window in the viewer's zone; the second date is left out where it is the first."""
    until = end.astimezone(zone())
    same_day = start.astimezone(zone()).date() == until.date()
    return f"{local(start)} to {until:%H:%M}" if same_day else f"{local(start)} to {local(end)}"


def span(delta: timedelta) -> str:
    """A length of time by its two largest units.

    >>> span(timedelta(days=2, hours=3, minutes=5)), span(timedelta(minutes=59, seconds=59)), span(timedelta(0))
    ('2 d 3 h', '59 min', 'under 1 min')
    """
    minutes = int(delta.total_seconds()) // 60
    units = [(minutes // 1440, "d"), (minutes % 1440 // 60, "h"), (minutes % 60, "min")]
    while units and not units[0][0]:
        units.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in units[:2] if count) or "under 1 min"


def ago(at: datetime, now: datetime) -> str:
    """How long ago a moment was."""
    return f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"


def number(value: float | None) -> str:
    """A number to three digits; a dash where there is none.

    >>> number(0.61234), number(-0.1), number(None), number(1500)
    ('0.612', '-0.1', '-', '1500')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def count(n: int | None) -> str:
    """How many rows; a dash where nobody counted.

    >>> count(12345), count(None)
    ('12,345', '-')
    """
    return "-" if n is None else f"{n:,}"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval; empty where the statistic has none.

    >>> interval(0.58, 0.641), interval(None, None)
    ('0.58 to 0.641', '')
    """
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def plain(text: str) -> str:
    r"""Text of others made harmless for Markdown: every mark is escaped, line breaks become spaces.

    Addresses are parted by an invisible word joiner, or they would become links wherever they stand.

    >>> print(plain("a *b* $c$ ![x](y)"))
    a \*b\* \$c\$ \!\[x\]\(y\)
    """
    parted = re.sub(r"(?i)(://|www\.)", "\u2060\\1", " ".join(text.split()))
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", parted)


def colour(word: str) -> Literal["red", "orange", "green", "blue", "violet", "gray"]:
    """The colour an outcome, a state or an event is shown in."""
    return COLOURS.get(word, "gray")


def badge(word: str, said: str = "") -> str:
    """An outcome, state or event as a coloured Markdown badge.

    >>> badge("FAIL"), badge("rollback_made")
    (':red-badge[FAIL]', ':blue-badge[rollback made]')
    """
    return f":{COLOURS.get(word, 'gray')}-badge[{plain(said or word.replace('_', ' '))}]"


def listed(words: Iterable[str]) -> str:
    """Several words in one line; a dash for none."""
    return ", ".join(words) or "-"


def sentence(text: str) -> str:
    """A message that stands by itself: it starts with a capital and ends with a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
