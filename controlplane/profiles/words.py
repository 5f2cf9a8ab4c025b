"""Numbers as people read them: a share as a percentage, a value short, a moment as a date."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

_SIZES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def percents(*shares: float) -> tuple[str, ...]:
    """Shares as percentages with as few digits as tell them apart, at most two behind the point.

    >>> percents(0.46, 0.71), percents(0.0012, 0.12), percents(0.4612, 0.4608), percents(0.0, 0.00001)
    (('46 %', '71 %'), ('0.1 %', '12 %'), ('46.12 %', '46.08 %'), ('0 %', '<0.1 %'))
    """
    for least in range(3):
        written = tuple(_percent(share, least) for share in shares)
        if len(set(written)) == len(set(shares)):
            return written
    return written


def _percent(share: float, least: int) -> str:
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    digits = max(least, 1 if share < 0.0095 or share > 0.9905 else 0)
    smallest = 10.0**-digits
    if share * 100 < smallest / 2:
        return f"<{smallest:.{digits}f} %"
    if (1 - share) * 100 < smallest / 2:
        return f">{100 - smallest:.{digits}f} %"
    return f"{share * 100:.{digits}f} %"


def numbers(*values: float) -> tuple[str, ...]:
    """Values with as few significant digits, from three to nine, as tell them apart.

    >>> numbers(31.2456, 42.8), numbers(1000.01, 1000.02), numbers(29612.4, 1e9), numbers(5.0, 5.0)
    (('31.2', '42.8'), ('1000.01', '1000.02'), ('29612', '1e+09'), ('5', '5'))
    """
    for digits in range(3, 10):
        written = tuple(_number(value, digits) for value in values)
        if len(set(written)) == len(set(values)):
            return written
    return written


def _number(value: float, digits: int) -> str:
    if not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    written = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def moment(seconds: float) -> str:
    """Seconds since 1970 in UTC as a date, with the time of day to the minute; as a number beyond the calendar.

    >>> moment(1767225600.0), moment(1767229500.0), moment(1e18)
    ('2026-01-01', '2026-01-01 01:05', '1e+18')
    """
    try:
        found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return f"{seconds:.3g}"
    return f"{found:%Y-%m-%d}" if found.hour == found.minute == found.second == 0 else f"{found:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """A signed span in its largest unit.

    >>> duration(2678400.0), duration(-5400.0), duration(0.25)
    ('+31 d', '-1.5 h', '+0.25 s')
    """
    size, unit = next((pair for pair in _SIZES if abs(seconds) >= pair[0]), _SIZES[-1])
    return f"{seconds / size:+.3g} {unit}" if math.isfinite(seconds) else f"{seconds:+} s"


def quoted(name: str, most: int = 30) -> str:
    """A category in quotes, cut where it is long, with what cannot be printed spelled out.

    >>> quoted("Online TA"), quoted("a\\nb"), quoted("x" * 50)
    ("'Online TA'", "'a\\\\nb'", "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'")
    """
    return repr(name if len(name) <= most else name[:most] + "...")
