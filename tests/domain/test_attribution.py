"""Whose fault a fall is: the rules on plain numbers, and how often they are wrong on simulated windows."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from controlplane.checks import intervals
from controlplane.domain.attribution import (
    AGAINST_VERSION,
    LEAST_ROWS,
    WINDOWS,
    Attribution,
    Replay,
    attribute,
    margin_of,
)
from controlplane.domain.verdict import Measure


def fall(estimate: float, half: float = 0.03, n: int = 1000) -> Measure:
    return Measure("accuracy_vs_baseline", estimate, n, estimate - half, estimate + half)


SAME, WORSE, BETTER = (0.0, -0.03, 0.03), (-0.1, -0.13, -0.07), (0.1, 0.07, 0.13)
UNSURE = (-0.05, -0.09, -0.01)
FELL, KEPT, MAYBE = fall(-0.1), fall(0.0), fall(-0.05)


@pytest.mark.parametrize(
    ("gap", "own", "theirs", "expected"),
    [
        (WORSE, FELL, KEPT, Attribution.VERSION_REGRESSED),
        (WORSE, FELL, MAYBE, Attribution.VERSION_REGRESSED),
        (WORSE, KEPT, KEPT, Attribution.VERSION_REGRESSED),
        (WORSE, None, None, Attribution.VERSION_REGRESSED),
        (WORSE, FELL, FELL, Attribution.BOTH),
        (SAME, FELL, FELL, Attribution.WORLD_CHANGED),
        (BETTER, FELL, FELL, Attribution.WORLD_CHANGED),
        (SAME, KEPT, KEPT, Attribution.NEITHER),
        (SAME, FELL, KEPT, Attribution.CANNOT_TELL),
        (SAME, KEPT, FELL, Attribution.CANNOT_TELL),
        (SAME, MAYBE, MAYBE, Attribution.CANNOT_TELL),
        (SAME, FELL, None, Attribution.CANNOT_TELL),
        (SAME, None, None, Attribution.CANNOT_TELL),
        (UNSURE, FELL, FELL, Attribution.CANNOT_TELL),
        (UNSURE, FELL, KEPT, Attribution.CANNOT_TELL),
    ],
)
@pytest.mark.parametrize("higher_is_worse", [False, True])
def test_three_intervals_say_whose_fault_it_is(
    gap: tuple[float, float, float],
    own: Measure | None,
    theirs: Measure | None,
    expected: Attribution,
    higher_is_worse: bool,
) -> None:
    difference, low, high = gap
    if higher_is_worse:
        difference, low, high = -difference, -high, -low
        own, theirs = (None if one is None else fall(-one.estimate) for one in (own, theirs))
    replay = Replay("accuracy", 0.7, 0.7 - difference, difference, low, high, 1000, higher_is_worse, own, theirs, 0.05)
    found = attribute(replay, "3", "2")
    assert found.attribution is expected
    assert found.why.startswith(f"{expected}: ")
    assert found.no_worse == (gap in (SAME, BETTER))
    assert found.better == (gap is BETTER)


def test_the_sentence_quotes_all_three_numbers() -> None:
    replay = Replay("accuracy", 0.6, 0.7, *WORSE, 1000, False, FELL, KEPT, 0.05)
    assert attribute(replay, "3", "2").why == (
        "version regressed: on the same 1000 rows accuracy is 0.6 with version 3 and 0.7 with version 2 "
        "(difference -0.1, -0.13 to -0.07); against the reference version 3 -0.1 (-0.13 to -0.07, n=1000), "
        "version 2 +0 (-0.03 to 0.03, n=1000)"
    )


@pytest.mark.parametrize(
    "broken", [{"difference": math.nan}, {"low": math.nan}, {"high": math.inf}, {"n": LEAST_ROWS - 1}]
)
def test_numbers_that_are_none_and_too_few_rows_blame_nobody(broken: dict[str, float]) -> None:
    replay = replace(Replay("accuracy", 0.6, 0.7, *WORSE, 1000, False, FELL, KEPT, 0.05), **broken)
    found = attribute(replay, "3", "2")
    assert (found.attribution, found.no_worse, found.better) == (Attribution.CANNOT_TELL, False, False)


def test_without_an_interval_of_the_metric_no_fall_is_small_enough() -> None:
    assert margin_of(Measure("accuracy", 0.8, 900)) == 0.0
    replay = Replay("accuracy", 0.7, 0.7, *SAME, 1000, False, KEPT, KEPT)
    assert attribute(replay, "3", "2").attribution is Attribution.CANNOT_TELL


def test_more_measures_at_once_ask_for_more() -> None:
    replay = Replay("accuracy", 0.6, 0.7, -0.1, -0.1535, -0.0465, 1000, False)
    found = [attribute(replay, "3", "2", among).attribution for among in (1, 20)]
    assert found == [Attribution.VERSION_REGRESSED, Attribution.CANNOT_TELL]


def simulated(rng: np.random.Generator, own: float, theirs: float, n: int, picked: int = 1) -> Attribution:
    """A window of answers right this often, and a reference of 85 %; the worst of `picked` by the watched version."""
    alike, shared = rng.random((picked, n)) < 0.5, rng.random((picked, n))
    right = [np.where(alike, shared, rng.random((picked, n))) < level for level in (own, theirs)]
    worst = int(right[0].sum(axis=1).argmin())
    mine, other = right[0][worst], right[1][worst]
    now = [int(mine.sum()), int(other.sum())]
    then = rng.binomial(10_000, 0.85, size=2)
    falls = []
    for hits, before in zip(now, then, strict=True):
        parts = [intervals.wilson(int(right), of) for right, of in ((hits, n), (before, 10_000))]
        low, high = intervals.apart(hits / n, parts[0], before / 10_000, parts[1])
        falls.append(Measure("accuracy_vs_baseline", hits / n - before / 10_000, n, low, high))
    low, high = intervals.paired_proportions(int((mine & ~other).sum()), int((other & ~mine).sum()), n)
    level = Measure("accuracy", now[0] / n, n, *intervals.wilson(now[0], n))
    gap = (now[0] - now[1]) / n
    replay = Replay("accuracy", now[0] / n, now[1] / n, gap, low, high, n, False, falls[0], falls[1], margin_of(level))
    return attribute(replay, "3", "2").attribution


@pytest.mark.parametrize("picked", [1, WINDOWS])
@pytest.mark.parametrize("level", [0.85, 0.75])
def test_a_version_that_is_no_worse_is_hardly_ever_blamed_however_the_window_was_picked(
    picked: int, level: float
) -> None:
    rng = np.random.default_rng(int(100 * level) + picked)
    found = Counter(simulated(rng, level, level, n, picked) for n in (200, 500, 1000) for _ in range(150))
    assert sum(found[blamed] for blamed in AGAINST_VERSION) <= 2


@pytest.mark.parametrize(
    ("own", "theirs", "truth"),
    [
        (0.77, 0.85, Attribution.VERSION_REGRESSED),
        (0.77, 0.77, Attribution.WORLD_CHANGED),
        (0.69, 0.77, Attribution.BOTH),
        (0.85, 0.85, Attribution.NEITHER),
    ],
)
def test_a_fall_of_8_points_on_2000_rows_is_laid_at_the_right_door(
    own: float, theirs: float, truth: Attribution
) -> None:
    rng = np.random.default_rng(7)
    assert Counter(simulated(rng, own, theirs, 2000) for _ in range(100))[truth] >= 95
