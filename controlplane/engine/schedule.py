"""Which windows are due: pure, so that a missed tick is caught up by rule and never forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile

from cronsim import CronSim

from controlplane.domain.guards import Closed
from controlplane.domain.monitor import FreezeWindow, Schedule, Window


def due(schedule: Schedule, last_end: datetime | None, now: datetime) -> list[Window]:
    """The windows that are complete and not yet run, oldest first, at most `schedule.catch_up` of them.

    A window ends at a cron slot and is due once `delay` has passed since. `last_end` is the end of the newest window
    that was run. When nothing ran yet, the slots are counted from `starts`, or, without it, only the newest is due.

    >>> from datetime import UTC, timedelta
    >>> hourly = Schedule("0 * * * *", timedelta(hours=1), delay=timedelta(minutes=5))
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> [str(window) for window in due(hourly, noon, noon + timedelta(hours=2, minutes=4))]
    ['2026-01-01T12:00:00Z/2026-01-01T13:00:00Z']
    """
    # From the newest slot backwards, so that a start years ago costs no more than the slots that are still run.
    slots = CronSim(schedule.cron, _minute(now - schedule.delay) + timedelta(minutes=1), reverse=True)
    if last_end is not None:
        after = last_end
    elif schedule.starts is not None:
        after = _minute(schedule.starts + schedule.window - timedelta(microseconds=1))
    else:
        newest = next(slots)
        return [Window(newest - schedule.window, newest)]
    missed = list(islice(takewhile(lambda slot: slot > after, slots), schedule.catch_up))
    return [Window(slot - schedule.window, slot) for slot in reversed(missed)]


def next_due(schedule: Schedule, after: datetime) -> datetime:
    """When the next window after `after` will be due."""
    return next(CronSim(schedule.cron, after)) + schedule.delay


def closed(windows: Sequence[FreezeWindow], now: datetime) -> list[Closed]:
    """The freeze windows that are in force now: half-open, from a cron slot on.

    >>> from datetime import UTC, timedelta
    >>> weekends = FreezeWindow("0 18 * * 5", timedelta(days=2, hours=12), "nobody is there")
    >>> [found.until.isoformat() for found in closed([weekends], datetime(2026, 1, 3, tzinfo=UTC))]
    ['2026-01-05T06:00:00+00:00']
    >>> closed([weekends], datetime(2026, 1, 5, 6, tzinfo=UTC))
    []
    """
    found = []
    for window in windows:
        ends = next(CronSim(window.cron, _minute(now) + timedelta(minutes=1), reverse=True)) + window.lasts
        if now < ends:
            found.append(Closed(window.why, ends))
    return found


def _minute(moment: datetime) -> datetime:
    """The whole minute at or before: cron counts in minutes, strictly after where it starts."""
    return moment.replace(second=0, microsecond=0)
