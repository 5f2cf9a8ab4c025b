"""Is it the version or the world? What two versions did on the same rows, and each against the reference. Pure.

Three numbers decide, each with its interval: how much worse the watched version did than the other on the same rows,
and how far each fell below what it did on the reference's rows. Claims of harm are held to a stricter level than 95 %,
because nobody asks on a quiet day: a window that gets here was picked because the watched version looked bad in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from controlplane.domain.student import student
from controlplane.domain.verdict import PAIRED, Measure

BASELINE = "_vs_baseline"
"""Ends the name of a measure that compares a version with itself on the reference's rows."""
ERROR = 0.005
"""How often a version that is no worse may be blamed, over all the windows and measures one was picked from."""
WINDOWS = 30
"""From how many windows the one at hand is taken to be the worst looking."""
SMALL = 0.125
"""The least fall that matters, in standard deviations of one row: 5 points of accuracy where accuracy is 80 %."""
LEAST_ROWS = 20
"""Below this an interval cannot be stretched: the tails of so few rows are not known."""


class Attribution(StrEnum):
    """Whose fault a fall is."""

    VERSION_REGRESSED = "version regressed"
    WORLD_CHANGED = "world changed"
    BOTH = "both"
    NEITHER = "neither"
    CANNOT_TELL = "cannot tell"


AGAINST_VERSION = frozenset({Attribution.VERSION_REGRESSED, Attribution.BOTH})
"""What proves that the other version does better on the same rows."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One measure of two versions on the same frozen rows, paired, with the same seed.

    `difference` is the failing version's value minus the candidate's, with its 95 % interval in `low` and `high`. `own`
    and `theirs` say how far the failing version and the candidate are from what each did on the labelled rows of the
    reference, None where that is not known. `margin` is the least fall that matters, in the unit of the measure.
    """

    measure: str
    current: float
    candidate: float
    difference: float
    low: float
    high: float
    n: int
    higher_is_worse: bool
    own: Measure | None = None
    theirs: Measure | None = None
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Attributed:
    """Whose fault it is, and a sentence that quotes every number it rests on.

    `no_worse` says that the failing version does not do worse than the other on the same rows by as much as matters,
    `better` that it does better beyond doubt.
    """

    attribution: Attribution
    why: str
    no_worse: bool = False
    better: bool = False


@dataclass(frozen=True, slots=True)
class _Fall:
    """A difference turned so that harm is above zero: 95 % bounds, and the stricter ones."""

    most: float
    surely_least: float
    surely_most: float


def paired(name: str) -> str:
    """The name of the paired measure of `name`: the failing version's value minus the other version's.

    >>> paired("accuracy")
    'accuracy_vs_previous'
    """
    return name + PAIRED


def behind(name: str) -> str:
    """The plain measure behind a difference: what is compared between versions when the difference failed its limit.

    >>> behind("accuracy_vs_baseline"), behind("accuracy")
    ('accuracy', 'accuracy')
    """
    return name.removesuffix(PAIRED).removesuffix(BASELINE)


def compare(
    measures: Sequence[Measure], wanted: Sequence[str], current: str, higher_is_worse: Mapping[str, bool]
) -> list[Replay]:
    """The `wanted` measures as comparisons, out of what a check measured with both versions on the same rows.

    A wanted difference, such as `accuracy_vs_baseline`, is compared by the measure behind it. Measures of one column or
    segment are left out, as are those without an interval or a direction: they cannot be told apart by name, or prove
    nothing.
    """
    found = {(one.name, one.version): one for one in measures if one.column is None and one.segment is None}
    replays = []
    for name in dict.fromkeys(behind(name) for name in wanted):
        gap, own = found.get((paired(name), current)), found.get((name, current))
        other = next((one for (of, version), one in found.items() if of == name and version != current), None)
        if gap is None or own is None or other is None or gap.low is None or gap.high is None:
            continue
        if name not in higher_is_worse:
            continue
        replays.append(
            Replay(
                name,
                own.estimate,
                other.estimate,
                gap.estimate,
                gap.low,
                gap.high,
                gap.n,
                higher_is_worse[name],
                found.get((name + BASELINE, current)),
                found.get((name + BASELINE, other.version)),
                margin_of(own),
            )
        )
    return replays


def margin_of(level: Measure) -> float:
    """The least fall of this measure that matters: `SMALL` standard deviations of one row, read off its interval.

    In units of a row, so that one rule fits shares, probabilities and errors in the unit of the label. Without an
    interval it is 0, and no fall can be ruled out.

    >>> round(margin_of(Measure("accuracy", 0.8, 900, 0.7726, 0.8248)), 3)
    0.05
    """
    if level.low is None or level.high is None or not math.isfinite(level.high - level.low):
        return 0.0
    return SMALL * (level.high - level.low) / 2 * math.sqrt(level.n) / NormalDist().inv_cdf(0.975)


def attribute(replay: Replay, version: str, other: str, among: int = 1) -> Attributed:
    """Whose fault the fall of `version` is, beside `other`; `among` measures were asked about at once.

    Harm is claimed where an interval stretched to the level `ERROR / WINDOWS / among` (one side) lies past zero:
    Bonferroni's bound over every window and measure the one at hand may have been picked from, which holds however it
    was picked. Its absence is claimed where the 95 % interval excludes a fall of `replay.margin`. Whatever is between
    the two is "cannot tell". Without both falls against the reference, only the version can be blamed, or nothing said.

    >>> worse = Replay("accuracy", 0.6, 0.8, -0.2, -0.25, -0.15, 900, False)
    >>> attribute(worse, "2", "1").why
    'version regressed: on the same 900 rows accuracy is 0.6 with version 2 and 0.8 with version 1 \
(difference -0.2, -0.25 to -0.15)'
    """
    gap = _fall(replay.difference, replay.low, replay.high, replay.n, replay.higher_is_worse, among)
    own, theirs = (_fall_of(measure, replay.higher_is_worse, among) for measure in (replay.own, replay.theirs))
    reason = ""
    if gap is None:
        found, reason = Attribution.CANNOT_TELL, f"{replay.n} rows are too few to compare versions"
    elif gap.surely_least > 0:
        fell_too = theirs is not None and theirs.surely_least > 0
        found = Attribution.BOTH if fell_too else Attribution.VERSION_REGRESSED
    elif gap.most >= replay.margin:
        found, reason = Attribution.CANNOT_TELL, "the difference is too uncertain"
    elif own is None or theirs is None:
        found, reason = Attribution.CANNOT_TELL, "the versions are about as good, and the reference tells no more"
    elif own.surely_least > 0 and theirs.surely_least > 0:
        found = Attribution.WORLD_CHANGED
    elif own.most < replay.margin and theirs.most < replay.margin:
        found = Attribution.NEITHER
    else:
        found, reason = Attribution.CANNOT_TELL, "the versions are about as good, but whether both fell is unsure"
    said = "; ".join(filter(None, (reason, _say(replay, version, other))))
    no_worse = gap is not None and gap.most < replay.margin
    return Attributed(found, f"{found}: {said}", no_worse, gap is not None and gap.surely_most < 0)


def _say(replay: Replay, version: str, other: str) -> str:
    said = (
        f"on the same {replay.n} rows {replay.measure} is {replay.current:.3g} with version {version} and "
        f"{replay.candidate:.3g} with version {other} "
        f"(difference {replay.difference:.3g}, {replay.low:.3g} to {replay.high:.3g})"
    )
    both = ((version, replay.own), (other, replay.theirs))
    falls = [
        f"version {name} {measure.estimate:+.3g} ({measure.low:.3g} to {measure.high:.3g}, n={measure.n})"
        for name, measure in both
        if measure is not None and measure.low is not None and measure.high is not None
    ]
    return f"{said}; against the reference {', '.join(falls)}" if falls else said


def _fall_of(measure: Measure | None, higher_is_worse: bool, among: int) -> _Fall | None:
    if measure is None or measure.low is None or measure.high is None:
        return None
    return _fall(measure.estimate, measure.low, measure.high, measure.n, higher_is_worse, among)


def _fall(estimate: float, low: float, high: float, n: int, higher_is_worse: bool, among: int) -> _Fall | None:
    """Each side of the interval stretched by itself, because those of shares are lopsided; None where it cannot be."""
    if n < LEAST_ROWS or not all(map(math.isfinite, (estimate, low, high))):
        return None
    stretch = student(1 - ERROR / WINDOWS / among, n - 1) / student(0.975, n - 1)
    least, most = estimate - stretch * (estimate - low), estimate + stretch * (high - estimate)
    return _Fall(high, least, most) if higher_is_worse else _Fall(-low, -most, -least)
