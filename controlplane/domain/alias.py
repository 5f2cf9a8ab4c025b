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
