"""What holds a move back, rule by rule, each at its boundary."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.domain.action import Refusal, Refused
from controlplane.domain.guards import Closed, Freeze, Known, Move, Wish, guard
from controlplane.domain.monitor import Fleet, Guards, RiskTier

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WISH = Wish("scorer", RiskTier.MEDIUM, "3", "2")
RELEASED = (Move("1", "2", NOW - 9 * DAY, ours=False), Move("2", "3", NOW - MINUTE, ours=False))


def told(known: Known, wish: Wish = WISH, guards: Guards | None = None, fleet: Fleet | None = None) -> Refused | None:
    return guard(wish, guards or Guards(), fleet or Fleet(), known, NOW)


def code(known: Known, wish: Wish = WISH, guards: Guards | None = None, fleet: Fleet | None = None) -> Refusal | None:
    refused = told(known, wish, guards, fleet)
    return None if refused is None else refused.code


def test_nothing_speaks_against_undoing_what_was_released_a_minute_ago() -> None:
    assert told(Known(moves=RELEASED)) is None
    assert told(Known()) is None


@pytest.mark.parametrize(
    ("freeze", "held"),
    [
        (Freeze(None, "ann", "audit", NOW), True),
        (Freeze("scorer", "ann", "audit", NOW), True),
        (Freeze("other", "ann", "audit", NOW), False),
        (Freeze("scorer", "ann", "audit", NOW - HOUR, NOW + SECOND), True),
        (Freeze("scorer", "ann", "audit", NOW - HOUR, NOW), False),
        (Freeze("scorer", "ann", "audit", NOW + HOUR), True),
    ],
    ids=["everything", "this one", "another", "before its end", "at its end", "the clock went back"],
)
@pytest.mark.parametrize("approved", [False, True])
def test_a_freeze_holds_until_its_end_whoever_approves(freeze: Freeze, held: bool, approved: bool) -> None:
    assert code(Known(freezes=[freeze]), replace(WISH, approved=approved)) == (Refusal.FROZEN if held else None)


def test_a_freeze_says_who_why_since_and_until() -> None:
    freeze = Freeze("scorer", "ann", "audit of the model", NOW - HOUR, NOW + HOUR)
    refused = told(Known(freezes=[freeze]))
    assert refused is not None
    assert refused.why == (
        "scorer is frozen since 2026-01-10T11:00:00Z until 2026-01-10T13:00:00Z, by ann: audit of the model"
    )


@pytest.mark.parametrize("approved", [False, True])
def test_a_freeze_window_holds_whoever_approves_and_says_when_it_ends(approved: bool) -> None:
    closed = [Closed("lunch", NOW + MINUTE), Closed("weekend", NOW + HOUR)]
    refused = told(Known(closed=closed), replace(WISH, approved=approved))
    assert refused == Refused(Refusal.FROZEN, "a freeze window is open until 2026-01-10T13:00:00Z: weekend")


def test_nothing_moves_while_the_guards_of_the_fleet_cannot_be_read() -> None:
    refused = told(Known(), replace(WISH, approved=True), fleet=Fleet(unknown="system.yaml has mistakes"))
    assert refused is not None and refused.code is Refusal.FROZEN
    assert refused.why == "system.yaml has mistakes, so that no guard of the fleet is known; nothing is moved"


@pytest.mark.parametrize(
    ("move", "held"),
    [
        (Move("4", "3", NOW - HOUR + SECOND, ours=True), True),
        (Move("4", "3", NOW - HOUR, ours=True), False),
        (Move("4", "3", NOW + HOUR, ours=True), True),
        (Move("4", "3", NOW - SECOND, ours=False), False),
        (Move("2", "1", NOW - HOUR + SECOND, ours=False), True),
        (Move("2", "1", NOW - HOUR, ours=False), False),
    ],
    ids=["ours", "ours long ago", "the clock went back", "a release", "a return by somebody", "one long ago"],
)
def test_a_move_cools_down_first_and_a_release_does_not(move: Move, held: bool) -> None:
    before = Move("1", "2", NOW - 9 * DAY, ours=False)
    assert code(Known(moves=[before, move])) == (Refusal.COOLDOWN if held else None)


def test_a_cooldown_says_who_moved_what_and_until_when() -> None:
    refused = told(Known(moves=[Move("1", "2", NOW - 9 * DAY, False), Move("2", "1", NOW - MINUTE, False)]))
    assert refused is not None
    assert refused.why == (
        "the alias was moved to version 1 by somebody else at 2026-01-10T11:59:00Z; cooldown until 2026-01-10T12:59:00Z"
    )
    assert code(Known(moves=[Move("4", "3", NOW - SECOND, True)]), guards=Guards(cooldown=timedelta(0))) is None


def test_the_same_move_is_never_made_a_second_time_within_a_day() -> None:
    first = Move("3", "2", NOW - DAY + SECOND, ours=True)
    back = Move("2", "3", NOW - 20 * HOUR, ours=False)
    refused = told(Known(moves=[first, back]))
    assert refused is not None and refused.code is Refusal.FLAPPING
    assert "from version 3 to version 2 at 2026-01-09T12:00:01Z" in refused.why
    assert "a person has to decide" in refused.why
    assert code(Known(moves=[replace(first, at=NOW - DAY), back])) is None
    assert code(Known(moves=[first, back]), replace(WISH, to_version="1")) is None
    assert code(Known(moves=[first, back]), replace(WISH, to_version=None)) is None
    assert code(Known(moves=[replace(first, ours=False), back])) is None
    assert code(Known(moves=[first, back]), replace(WISH, approved=True)) is None


def test_so_many_moves_are_made_without_a_person_and_no_more() -> None:
    moves = [Move("5", "4", NOW - DAY + SECOND, ours=True), Move("4", "3", NOW - 2 * HOUR, ours=True)]
    refused = told(Known(moves=moves))
    assert refused is not None and refused.code is Refusal.FLAPPING
    assert "moved by us 2 times since 2026-01-09T12:00:01Z; at most 2 in 24 h" in refused.why
    assert code(Known(moves=[replace(moves[0], at=NOW - DAY), moves[1]])) is None
    assert code(Known(moves=[replace(moves[0], ours=False), moves[1]])) is None
    assert code(Known(moves=moves), guards=Guards(most_moves=3)) is None
    assert code(Known(moves=moves), guards=Guards(most_moves_per=12 * HOUR)) is None


def test_the_fleet_moves_so_often_in_an_hour_and_no_more() -> None:
    made = [NOW - HOUR + SECOND, NOW - MINUTE, NOW]
    refused = told(Known(made=made))
    assert refused == Refused(Refusal.FLEET_CAP, "we moved aliases 3 times within the last hour; at most 3 in all")
    assert code(Known(made=[NOW - HOUR, *made[1:]])) is None
    assert code(Known(made=made), fleet=Fleet(most_per_hour=4)) is None
    assert code(Known(made=[]), fleet=Fleet(most_per_hour=0)) is Refusal.FLEET_CAP
    assert code(Known(made=made), replace(WISH, approved=True)) is None


@pytest.mark.parametrize(("tier", "most"), [(RiskTier.LOW, 5), (RiskTier.MEDIUM, 3), (RiskTier.HIGH, 1)])
def test_the_blast_radius_is_smaller_the_higher_the_risk(tier: RiskTier, most: int) -> None:
    wish = replace(WISH, risk_tier=tier)
    assert code(Known(unverified=most - 1), wish) is None
    assert code(Known(unverified=most), wish) is Refusal.BLAST_RADIUS
    assert code(Known(unverified=most), replace(wish, approved=True)) is None


def test_a_blast_radius_says_how_many_and_of_which_tier() -> None:
    refused = told(Known(unverified=1), replace(WISH, risk_tier=RiskTier.HIGH))
    assert refused is not None
    assert refused.why == "1 other alias of risk tier high moved by us and not yet verified; at most 1 at a time"


@pytest.mark.parametrize("seed", range(200))
def test_an_approval_passes_everything_but_a_freeze(seed: int) -> None:
    generator = random.Random(seed)

    def past() -> datetime:
        return NOW - timedelta(minutes=generator.randint(-10, 3000))

    moves = [
        Move(generator.choice("1234"), generator.choice("1234"), past(), generator.random() < 0.5)
        for _ in range(generator.randint(0, 5))
    ]
    freezes = [Freeze(generator.choice([None, "scorer", "other"]), "ann", "why", past(), None) for _ in range(1)]
    known = Known(
        freezes if generator.random() < 0.3 else [],
        [Closed("weekend", NOW + HOUR)] if generator.random() < 0.3 else [],
        sorted(moves, key=lambda move: move.at),
        [past() for _ in range(generator.randint(0, 5))],
        generator.randint(0, 5),
    )
    frozen = bool(known.closed) or any(freeze.monitor != "other" for freeze in known.freezes)
    assert code(known, replace(WISH, approved=True)) == (Refusal.FROZEN if frozen else None)
    assert (code(known) is Refusal.FROZEN) == frozen
    # What restrains an automatic move goes on restraining it when more is known that speaks against it.
    if code(known) is not None:
        assert code(replace(known, made=[*known.made, NOW], unverified=known.unverified + 1)) is not None
