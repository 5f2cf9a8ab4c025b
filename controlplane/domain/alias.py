"""Which version an alias stood for, and when: our own history, because a registry keeps none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from controlplane.domain.monitor import Window


@dataclass(frozen=True, slots=True)
class Holding:
    """A version took an alias. `since` is when we moved it, or when we first saw it there.

    `unseen_since` is None for our own move and for the first look; for a move by somebody else it is the last look
    that still saw the version before: the move happened somewhere between the two. `version` None: nobody holds it.
    """

    version: str | None
    since: datetime
    unseen_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """One part of a window, half-open, and the version that answered it; None where that cannot be known."""

    start: datetime
    end: datetime
    version: str | None


@dataclass(frozen=True, slots=True)
class HeldAt:
    """Who held an alias at one moment: `version` where that is known, with nothing else.

    Where it is not, `before` was last seen at `after_look` and `after` was first seen at `before_look`; None on the
    side where nobody looked.
    """

    version: str | None
    before: str | None = None
    after_look: datetime | None = None
    after: str | None = None
    before_look: datetime | None = None


def held_at(holdings: Sequence[Holding], last_look: datetime, at: datetime) -> HeldAt:
    """Who held an alias at a moment, as far as `holdings` (one at least, oldest first) and the last look tell.

    >>> from datetime import UTC
    >>> on = lambda hour: datetime(2026, 1, 1, hour, tzinfo=UTC)
    >>> held = [Holding("1", on(1)), Holding("2", on(5), unseen_since=on(3)), Holding("1", on(8))]
    >>> [held_at(held, on(9), on(hour)).version for hour in (0, 1, 3, 4, 5, 7, 8, 9, 10)]
    [None, '1', '1', None, '2', '2', '1', '1', None]
    """
    taken = [holding for holding in holdings if holding.since <= at]
    following = next((holding for holding in holdings if holding.since > at), None)
    if following is None:
        return HeldAt(taken[-1].version) if at <= last_look else HeldAt(None, taken[-1].version, last_look)
    if not taken:
        return HeldAt(None, after=following.version, before_look=following.since)
    last = taken[-1]
    if following.unseen_since is not None and at > following.unseen_since:
        return HeldAt(None, last.version, following.unseen_since, following.version, following.since)
    return HeldAt(last.version)


def spans(holdings: Sequence[Holding], window: Window) -> list[Span]:
    """Split a window by who held the alias: in order, without gaps or overlaps, one version at most for each moment.

    Our own moves are exact. A move by somebody else leaves a span without a version, whose rows are nobody's, because
    an answer attributed to the wrong version would accuse the innocent one. Before the first look the version first
    seen is assumed. A move away and back between two looks cannot be seen at all.

    >>> from datetime import UTC, datetime
    >>> at = lambda hour: datetime(2026, 1, 1, hour, tzinfo=UTC)
    >>> held = [Holding("1", at(1)), Holding("2", at(5), unseen_since=at(4)), Holding("1", at(8))]
    >>> [(span.start.hour, span.version) for span in spans(held, Window(at(0), at(9)))]
    [(0, '1'), (4, None), (5, '2'), (8, '1')]
    """
    ordered = sorted(holdings, key=lambda holding: holding.since)
    starts: list[tuple[datetime, str | None]] = [(window.start, ordered[0].version if ordered else None)]
    for before, after in pairwise(ordered):
        if after.unseen_since is not None and after.unseen_since < after.since:
            starts.append((max(after.unseen_since, before.since), None))
        starts.append((after.since, after.version))
    found: list[Span] = []
    ends = [start for start, _ in starts[1:]] + [window.end]
    for (start, version), end in zip(starts, ends, strict=True):
        start, end = max(start, window.start), min(end, window.end)
        if start >= end:
            continue
        if found and found[-1].version == version:
            start = found.pop().start
        found.append(Span(start, end, version))
    return found
