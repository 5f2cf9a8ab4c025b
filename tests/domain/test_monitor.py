"""A monitor's values and its canonical form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest

from controlplane.domain.monitor import (
    Budget,
    CheckSpec,
    Columns,
    Guards,
    LateLabels,
    Limit,
    ModelRef,
    Monitor,
    Reaction,
    RiskTier,
    Schedule,
    Serving,
    SourceSpec,
    Tolerance,
    Window,
)

HOUR = timedelta(hours=1)
MONITOR = Monitor(
    "m",
    ModelRef("model", "champion"),
    SourceSpec("files", {"path": "a", "format": "csv"}),
    Columns("at"),
    Schedule("0 * * * *", HOUR),
    (CheckSpec("drift", "drift", {"columns": ("a",)}, (Limit("drift", max=0.1),)),),
)
OTHERS = {
    "name": "n",
    "model": ModelRef("model", "shadow"),
    "source": SourceSpec("files", {"path": "b"}),
    "columns": Columns("at", label="y"),
    "late_labels": LateLabels(timedelta(days=30)),
    "schedule": Schedule("0 * * * *", HOUR, starts=datetime(2026, 1, 1, tzinfo=UTC)),
    "checks": (CheckSpec("drift", "drift", {}, (Limit("drift", max=0.2),)),),
    "reference": SourceSpec("files"),
    "labels": SourceSpec("files"),
    "budget": Budget(1, timedelta(days=90)),
    "sample_rows": 1,
    "tolerance": Tolerance(fails=2),
    "reaction": Reaction.ROLLBACK,
    "rollback_targets": ("1",),
    "guards": Guards(cooldown=HOUR * 2),
    "serving": Serving("http://localhost"),
    "receivers": ("log",),
    "owner": "ann",
    "risk_tier": RiskTier.HIGH,
    "runbook": "https://example.org",
    "workspace": "other",
}


@pytest.mark.parametrize("name", [field.name for field in fields(Monitor)])
def test_every_field_changes_the_digest(name: str) -> None:
    assert replace(MONITOR, **{name: OTHERS[name]}).digest != MONITOR.digest


def parts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field of a dataclass and of the dataclasses in it, with its value."""
    for item in fields(value):
        found = getattr(value, item.name)
        first = found[0] if isinstance(found, tuple) and found and is_dataclass(found[0]) else found
        if is_dataclass(first):
            yield from parts(first, (*path, item.name))
        else:
            yield (*path, item.name), found


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case None:
            return 7
        case bool():
            return not value
        case StrEnum():
            return next(other for other in type(value) if other is not value)
        case str():
            return value + "x"
        case tuple():
            return (*value, "x")
        case dict():
            return {**value, "x": 1}
        case timedelta():
            return value + timedelta(microseconds=1)
    return value + 1


def put(value: Any, path: tuple[str, ...], new: Any) -> Any:
    """The dataclass with one field somewhere in it replaced."""
    if len(path) > 1:
        old = getattr(value, path[0])
        new = (put(old[0], path[1:], new), *old[1:]) if isinstance(old, tuple) else put(old, path[1:], new)
    return replace(value, **{path[0]: new})


def test_every_field_of_every_part_changes_the_digest_each_to_another() -> None:
    digests = {put(MONITOR, path, changed(value)).digest for path, value in parts(MONITOR)} | {MONITOR.digest}
    assert len(digests) == len(list(parts(MONITOR))) + 1 > 40


AFTER_JUDGING = {"owner", "receivers", "runbook", "guards", "reaction", "rollback_targets", "risk_tier", "serving"}


@pytest.mark.parametrize("name", [field.name for field in fields(Monitor)])
def test_what_judging_depends_on_has_a_digest_of_its_own(name: str) -> None:
    changed_one = replace(MONITOR, **{name: OTHERS[name]})
    assert (changed_one.judged_by == MONITOR.judged_by) == (name in AFTER_JUDGING)


def test_a_start_is_the_same_in_every_zone() -> None:
    starts = datetime(2026, 1, 1, 12, tzinfo=UTC)
    one = replace(MONITOR, schedule=replace(MONITOR.schedule, starts=starts))
    other = replace(MONITOR, schedule=replace(MONITOR.schedule, starts=starts.astimezone(timezone(HOUR))))
    assert one == other
    assert one.digest == other.digest


def test_equal_monitors_have_one_digest_whatever_the_order_of_options() -> None:
    same = replace(MONITOR, source=SourceSpec("files", {"format": "csv", "path": "a"}))
    assert same.digest == MONITOR.digest
    assert json.loads(MONITOR.canonical())["schema"] == 1


def test_a_window_is_in_utc_and_ends_after_it_starts() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="must end after it starts"):
        Window(start, start)
    with pytest.raises(ValueError, match="in UTC"):
        Window(start.replace(tzinfo=None), start + HOUR)
    with pytest.raises(ValueError, match="in UTC"):
        Window(start.astimezone(timezone(HOUR)), start + HOUR)
    assert Window.parse("2026-01-01T02:00+01:00/2026-01-01T02:00Z") == Window(start + HOUR, start + 2 * HOUR)


@pytest.mark.parametrize("text", ["", "2026-01-01", "a/b", "2026-01-01T00:00/2026-01-01T01:00", "1/2/3"])
def test_a_window_that_cannot_be_read_says_what_would_be_valid(text: str) -> None:
    with pytest.raises(ValueError):
        Window.parse(text)


def test_features_are_what_has_no_other_part() -> None:
    columns = Columns("at", "id", "v", "p", "q", "y")
    assert columns.features_of(["id", "at", "a", "v", "b", "p", "q", "y"]) == ("a", "b")
    assert replace(columns, features=("b",)).features_of(["a", "b"]) == ("b",)
