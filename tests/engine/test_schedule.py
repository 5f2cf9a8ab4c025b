"""Which windows are due."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile

import pytest
from cronsim import CronSim

from controlplane.domain.guards import Closed
from controlplane.domain.monitor import FreezeWindow, Schedule
from controlplane.engine.schedule import closed, due, next_due

HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURLY = Schedule("0 * * * *", HOUR, starts=NOON)


def ends(schedule: Schedule, last: datetime | None, now: datetime) -> list[datetime]:
    return [window.end for window in due(schedule, last, now)]


def test_a_window_is_due_once_its_delay_has_passed() -> None:
    late = Schedule("0 * * * *", HOUR, timedelta(minutes=5), NOON)
    assert ends(late, None, NOON + HOUR + timedelta(minutes=4, seconds=59)) == []
    assert ends(late, None, NOON + HOUR + timedelta(minutes=5)) == [NOON + HOUR]


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(seconds=1), timedelta(minutes=30)])
def test_the_first_window_starts_at_or_after_the_start(offset: timedelta) -> None:
    schedule = Schedule("0 * * * *", HOUR, starts=NOON + offset)
    first = due(schedule, None, NOON + 5 * HOUR)[0]
    assert first.start == (NOON if not offset else NOON + HOUR)


def test_without_a_start_only_the_newest_complete_window_is_due() -> None:
    schedule = Schedule("0 * * * *", HOUR)
    assert ends(schedule, None, NOON + timedelta(minutes=59)) == [NOON]
    assert ends(schedule, None, NOON) == [NOON]


def test_missed_windows_are_caught_up_oldest_first_and_the_oldest_beyond_the_cap_dropped() -> None:
    schedule = Schedule("0 * * * *", HOUR, starts=NOON, catch_up=3)
    assert ends(schedule, NOON, NOON + 10 * HOUR) == [NOON + 8 * HOUR, NOON + 9 * HOUR, NOON + 10 * HOUR]


def test_a_start_years_ago_costs_no_more_than_the_windows_still_run() -> None:
    schedule = Schedule("* * * * *", timedelta(minutes=1), starts=datetime(2000, 1, 1, tzinfo=UTC), catch_up=3)
    began = time.process_time()
    assert ends(schedule, None, NOON) == [NOON - timedelta(minutes=minutes) for minutes in (2, 1, 0)]
    assert time.process_time() - began < 1


@pytest.mark.parametrize("now", [NOON, NOON - timedelta(days=3)])
def test_a_clock_that_went_back_has_nothing_due(now: datetime) -> None:
    assert due(HOURLY, NOON, now) == []


def test_each_window_is_as_long_as_asked_and_ends_at_its_slot() -> None:
    weekly = Schedule("0 6 * * 1", timedelta(days=7), starts=datetime(2026, 1, 5, 6, tzinfo=UTC))
    windows = due(weekly, None, datetime(2026, 2, 1, tzinfo=UTC))
    assert [str(window.end.date()) for window in windows] == ["2026-01-12", "2026-01-19", "2026-01-26"]
    assert all(before.end == after.start for before, after in pairwise(windows))
    daily = Schedule("0 9 * * 1-5", 24 * HOUR, starts=datetime(2026, 1, 9, tzinfo=UTC))
    windows = due(daily, None, datetime(2026, 1, 13, 10, tzinfo=UTC))
    assert [(window.end.day, window.end - window.start) for window in windows] == [(12, 24 * HOUR), (13, 24 * HOUR)]


def test_working_days_only_have_windows_on_working_days() -> None:
    schedule = Schedule("0 9 * * 1-5", 24 * HOUR, starts=datetime(2026, 1, 1, tzinfo=UTC))
    days = [end.isoweekday() for end in ends(schedule, None, datetime(2026, 1, 20, tzinfo=UTC))]
    assert set(days) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("cron", ["0 * * * *", "*/15 * * * *", "30 2 * * *", "0 9 * * 1-5", "7 */3 * * *"])
@pytest.mark.parametrize("seed", range(5))
def test_irregular_ticks_miss_no_window_and_run_none_twice(cron: str, seed: int) -> None:
    generator = random.Random(f"{cron} {seed}")
    schedule = Schedule(cron, HOUR, timedelta(minutes=generator.randint(0, 90)), NOON, catch_up=10_000)
    done: list[datetime] = []
    now = NOON
    for _ in range(60):
        now += timedelta(minutes=generator.expovariate(1 / 200))
        done += ends(schedule, done[-1] if done else None, now)
    ready = now - schedule.delay
    assert done == list(takewhile(lambda slot: slot <= ready, CronSim(cron, NOON + HOUR - timedelta(minutes=1))))
    assert len(done) == len(set(done))
    cap = generator.randint(1, 5)
    assert ends(replace(schedule, catch_up=cap), None, now) == done[-cap:]


def test_the_next_window_is_announced_with_its_delay() -> None:
    assert next_due(Schedule("0 * * * *", HOUR, timedelta(minutes=5)), NOON) == NOON + HOUR + timedelta(minutes=5)


def test_a_freeze_window_is_half_open_from_its_slot_on() -> None:
    nightly = FreezeWindow("0 22 * * *", 8 * HOUR, "the night")
    begins = NOON + 10 * HOUR
    assert closed([nightly], begins - timedelta(microseconds=1)) == []
    assert closed([nightly], begins) == [Closed("the night", begins + 8 * HOUR)]
    assert closed([nightly], begins + 8 * HOUR - timedelta(microseconds=1)) == [Closed("the night", begins + 8 * HOUR)]
    assert closed([nightly], begins + 8 * HOUR) == []


def test_a_freeze_window_longer_than_its_period_never_ends_and_each_is_looked_at() -> None:
    always = FreezeWindow("0 * * * *", 2 * HOUR, "always")
    yearly = FreezeWindow("0 0 20 12 *", timedelta(days=14), "year-end")
    for minutes in range(0, 300, 7):
        now = NOON + timedelta(minutes=minutes)
        assert [found.why for found in closed([always, yearly], now)] == ["always", "year-end"]
    assert closed([yearly], NOON + timedelta(days=3)) == []
