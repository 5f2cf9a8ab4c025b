"""The hours of the demo: made up, for neither data set knows when its rows happened."""

from __future__ import annotations

from datetime import datetime, timedelta

from controlplane.domain.monitor import Window

HOUR = timedelta(hours=1)


def last_hours(count: int, now: datetime) -> list[Window]:
    """The `count` full hours before `now` (UTC), oldest first.

    >>> from datetime import UTC
    >>> [str(window) for window in last_hours(1, datetime(2026, 1, 1, 9, 30, tzinfo=UTC))]
    ['2026-01-01T08:00:00Z/2026-01-01T09:00:00Z']
    """
    end = now.replace(minute=0, second=0, microsecond=0)
    return [Window(end - back * HOUR, end - (back - 1) * HOUR) for back in range(count, 0, -1)]
