"""The spellings job files use for durations, sizes, times and cron lines."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from controlplane.config.lines import Wrong

LONGEST = timedelta(days=366)
_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = r"^[0-9]{1,8}[smhdw]$"
_SIZE = r"^[0-9]{1,7}(MiB|GiB)$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


def duration(value: object) -> timedelta:
    """Read a span of time, at most 366 days.

    >>> duration("90s")
    datetime.timedelta(seconds=90)
    >>> duration("5 minutes")
    Traceback (most recent call last):
    ...
    controlplane.config.lines.Wrong: '5 minutes' is not a duration; write a number and s, m, h, d or w, such as 5m
    """
    if not isinstance(value, str) or not re.match(_DURATION, value):
        raise Wrong(f"{value!r} is not a duration", "write a number and s, m, h, d or w, such as 5m")
    span = timedelta(seconds=int(value[:-1]) * _UNITS[value[-1]])
    if span > LONGEST:
        raise Wrong(f"{value} is too long", f"at most {spell(LONGEST)}")
    return span


def spell(span: timedelta) -> str:
    """Write a span of time as job files do.

    >>> spell(timedelta(minutes=90)), spell(timedelta(0))
    ('90m', '0s')
    """
    seconds = int(span.total_seconds())
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0 and (seconds or unit == "s"))
    return f"{seconds // _UNITS[unit]}{unit}"


def _positive(span: timedelta) -> timedelta:
    if not span:
        raise Wrong("0 is too short", "at least 1s")
    return span


def memory(value: object) -> int | None:
    """Read a size as MiB, or None for `unlimited`.

    >>> memory("4GiB"), memory("unlimited")
    (4096, None)
    """
    if value == "unlimited":
        return None
    if not isinstance(value, str) or not re.match(_SIZE, value) or not int(value[:-3]):
        raise Wrong(f"{value!r} is not a size", "write a number and MiB or GiB, such as 512MiB, or unlimited")
    return int(value[:-3]) * (1024 if value.endswith("GiB") else 1)


def _spell_memory(size: int | None) -> str:
    if size is None:
        return "unlimited"
    return f"{size}MiB" if size % 1024 else f"{size // 1024}GiB"


def moment(value: object) -> datetime:
    """Read a moment with its zone as UTC."""
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise Wrong(f"{value!r} is not a time with a zone", "write it as 2026-01-01T00:00:00Z")
    return parsed.astimezone(UTC)


def cron(value: object) -> str:
    """Check a cron line: five fields, UTC, and it must fire some day.

    >>> cron("0 0 31 2 *")
    Traceback (most recent call last):
    ...
    controlplane.config.lines.Wrong: cron '0 0 31 2 *' never fires; no such day exists
    """
    fields = value.split() if isinstance(value, str) else []
    if len(fields) != 5:
        raise Wrong(f"cron {value!r} has not five fields", 'minute hour day month weekday, such as "0 * * * *"')
    line, new_year = " ".join(fields), datetime(2026, 1, 1, tzinfo=UTC)
    never = Wrong(f"cron {value!r} never fires", "no such day exists")
    try:
        next(CronSim(line, new_year))
    except StopIteration:
        raise never from None
    except CronSimError as error:
        if str(error) == "Bad day-of-month" and _reads(" ".join([*fields[:3], "*", fields[4]]), new_year):
            raise never from None
        which = str(error).removeprefix("Bad ")
        raise Wrong(f"cron {value!r} has a bad {which}", 'such as "0 * * * *" for every hour, in UTC') from None
    return line


def _reads(line: str, when: datetime) -> bool:
    try:
        CronSim(line, when)
    except CronSimError:
        return False
    return True


def cron_of(every: timedelta) -> str:
    """The cron line that fires `every` so long, on the clock in UTC; only spans that divide the day, and 1w.

    >>> cron_of(timedelta(minutes=15)), cron_of(timedelta(hours=6)), cron_of(timedelta(days=1))
    ('*/15 * * * *', '0 */6 * * *', '0 0 * * *')
    """
    minutes, rest = divmod(int(every.total_seconds()), 60)
    if minutes == 1 and not rest:
        return "* * * * *"
    if not rest and minutes < 60 and minutes and 60 % minutes == 0:
        return f"*/{minutes} * * * *"
    if not rest and minutes in (60, 1440, 10_080):
        return {60: "0 * * * *", 1440: "0 0 * * *", 10_080: "0 0 * * 1"}[minutes]
    if not rest and minutes < 1440 and minutes % 60 == 0 and 24 % (minutes // 60) == 0:
        return f"0 */{minutes // 60} * * *"
    raise Wrong(f"every {spell(every)} does not divide an hour or a day", "give cron and window instead")


def name_of(value: str) -> str:
    """Check a name that monitors, checks and receivers go by."""
    if not re.match(_NAME, value):
        raise Wrong(f"{value!r} is not a name", "letters, digits, '.', '_' and '-', at most 100, no spaces")
    return value


def _every(value: object) -> timedelta:
    span = _positive(duration(value))
    cron_of(span)
    return span


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["90s", "5m", "1h", "2d", "1w"]})
_SPELL = PlainSerializer(spell)


def address(value: str) -> str:
    """Check where something answers: http or https, a host, and nobody's name or password.

    >>> address("https://serving.example.org/version")
    'https://serving.example.org/version'
    """
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)
        known = parts.port is None or parts.port > 0
    except ValueError:
        sound = known = False
    if sound and "@" in parts.netloc:
        raise Wrong("a user or password stands in the URL", "it must answer without one")
    if not sound or not known:
        raise Wrong(f"{value!r} is not an address", "write http://HOST/PATH or https://HOST/PATH")
    return value


Duration = Annotated[timedelta, PlainValidator(duration), _SPELL, _DURATION_SCHEMA]
Span = Annotated[timedelta, PlainValidator(lambda value: _positive(duration(value))), _SPELL, _DURATION_SCHEMA]
Every = Annotated[timedelta, PlainValidator(_every), _SPELL, _DURATION_SCHEMA]
Memory = Annotated[
    int | None,
    PlainValidator(memory),
    PlainSerializer(_spell_memory),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _SIZE}, {"const": "unlimited"}]}),
]
Moment = Annotated[datetime, PlainValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Cron = Annotated[str, PlainValidator(cron), WithJsonSchema({"type": "string", "examples": ["0 * * * *"]})]
Url = Annotated[str, AfterValidator(address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Name = Annotated[str, AfterValidator(name_of), WithJsonSchema({"type": "string", "pattern": _NAME})]
