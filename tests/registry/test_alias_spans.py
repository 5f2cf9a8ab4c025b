"""Which version answered which part of a window: exact for our own moves, unknown while somebody else's was unseen."""

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.domain.alias import Holding, Span, spans
from controlplane.domain.monitor import Window

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def test_a_window_nobody_looked_at_has_no_version() -> None:
    assert spans([], Window(at(0), at(60))) == [Span(at(0), at(60), None)]


def test_before_the_first_look_the_first_seen_version_is_assumed() -> None:
    assert spans([Holding("3", at(500))], Window(at(0), at(60))) == [Span(at(0), at(60), "3")]


def test_our_own_move_splits_the_window_exactly() -> None:
    held = [Holding("1", at(0)), Holding("2", at(25))]
    assert spans(held, Window(at(0), at(60))) == [Span(at(0), at(25), "1"), Span(at(25), at(60), "2")]


def test_a_move_by_somebody_else_leaves_the_unseen_time_to_nobody() -> None:
    held = [Holding("1", at(0)), Holding("2", at(25), unseen_since=at(20))]
    assert spans(held, Window(at(0), at(60))) == [
        Span(at(0), at(20), "1"),
        Span(at(20), at(25), None),
        Span(at(25), at(60), "2"),
    ]


def test_a_window_inside_the_unseen_time_has_no_version() -> None:
    held = [Holding("1", at(0)), Holding("2", at(90), unseen_since=at(10))]
    assert spans(held, Window(at(20), at(60))) == [Span(at(20), at(60), None)]


def test_an_alias_that_was_taken_away_answers_nothing() -> None:
    held = [Holding("1", at(0)), Holding(None, at(30))]
    assert spans(held, Window(at(0), at(60)))[-1] == Span(at(30), at(60), None)


@pytest.mark.parametrize("seed", range(20))
def test_spans_partition_any_window_and_never_contradict_the_true_history(seed: int) -> None:
    """Simulated truth: an alias moves at random minutes, by us or by others, and we look at random minutes."""
    rng = random.Random(seed)
    for _ in range(50):
        moves = sorted(rng.sample(range(1, 1000), rng.randint(0, 8)))
        ours = {minute for minute in moves if rng.random() < 0.4}
        rate = rng.choice([0.005, 0.05])
        # Our own move looks before it writes, and reads back.
        looks = {0, 999} | ours | {minute - 1 for minute in ours}
        looks |= {minute for minute in range(1000) if rng.random() < rate}
        held = _observed(moves, ours, sorted(looks))
        begin = rng.randint(0, 900)
        end = rng.randint(begin + 1, 1000)
        found = spans(held, Window(at(begin), at(end)))
        assert found[0].start == at(begin) and found[-1].end == at(end)
        assert all(span.start < span.end for span in found)
        assert all(left.end == right.start for left, right in itertools.pairwise(found))
        assert all(left.version != right.version for left, right in itertools.pairwise(found))
        assert spans(rng.sample(held, len(held)), Window(at(begin), at(end))) == found
        for minute in range(begin, end):
            answered = next(span.version for span in found if span.start <= at(minute) < span.end)
            if answered is not None:
                assert answered == _holder(moves, minute)
            else:
                before = max(look for look in looks if look <= minute)
                after = min(look for look in looks if look > minute)
                assert any(before < move <= after for move in moves if move not in ours)


def _holder(moves: list[int], minute: int) -> str:
    """The version at a minute, when version n is what the n-th move brought."""
    return str(sum(move <= minute for move in moves))


def _observed(moves: list[int], ours: set[int], looks: list[int]) -> list[Holding]:
    """What looking at these minutes sees of the moves, as it is remembered."""
    held = [Holding(_holder(moves, looks[0]), at(looks[0]))]
    for before, now in itertools.pairwise(looks):
        version = _holder(moves, now)
        if version != held[-1].version:
            held.append(Holding(version, at(now), None if now in ours else at(before)))
    return held
