"""When a rollback is planned, refused, and proved."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from controlplane.domain.action import (
    LIVE,
    NEXT,
    Accepted,
    ActionState,
    Past,
    Plan,
    Proof,
    Refusal,
    Refused,
    accept,
    plan_rollback,
)
from controlplane.domain.attribution import Replay, compare
from controlplane.domain.monitor import Reaction
from controlplane.domain.verdict import Finding, Measure, Outcome

REPLAYABLE = {"performance": True, "drift": False}
FAILED = Finding("performance", Outcome.FAIL, "", "accuracy", version="3")
DRIFTED = Finding("drift", Outcome.FAIL, "", "drift", version="3")


def planned(
    failing: list[Finding],
    current: str | None = "3",
    earlier: tuple[str, ...] = ("2", "1"),
    past: Past | None = None,
    reaction: Reaction = Reaction.ROLLBACK,
) -> Plan | Refused | None:
    return plan_rollback(current, earlier, failing, REPLAYABLE, past or Past(), reaction)


def test_the_best_earlier_version_is_planned_for_the_measures_that_failed() -> None:
    plan = planned([FAILED, replace(FAILED, measure="brier"), DRIFTED])
    assert isinstance(plan, Plan)
    assert (plan.from_version, plan.targets, plan.check) == ("3", ("2", "1"), "performance")
    assert plan.measures == ("accuracy", "brier")


@pytest.mark.parametrize("reaction", [Reaction.PROPOSE, Reaction.ROLLBACK])
def test_only_watching_plans_nothing(reaction: Reaction) -> None:
    assert planned([FAILED], reaction=Reaction.OBSERVE) is None
    assert planned([], reaction=reaction) is None
    assert isinstance(planned([FAILED], reaction=reaction), Plan)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"failing": [DRIFTED]}, Refusal.WORLD_CHANGED, "only drift failed"),
        ({"failing": [FAILED], "current": "4"}, Refusal.NOT_CURRENT, "version 3 failed, but the alias holds version 4"),
        (
            {"failing": [FAILED], "current": None},
            Refusal.NOT_CURRENT,
            "version 3 failed, but the alias holds nothing now",
        ),
        ({"failing": [FAILED], "earlier": ()}, Refusal.NO_TARGET, "no other version held the alias"),
        ({"failing": [FAILED], "earlier": ("3",)}, Refusal.NO_TARGET, "no other version held the alias"),
        (
            {"failing": [FAILED], "past": Past(rolled_back_from=("2",), failing=("1", "2"))},
            Refusal.NO_TARGET,
            "version 2 has an open failure of its own; version 1 has an open failure of its own",
        ),
    ],
)
def test_what_cannot_help_is_refused_with_its_reason(given: dict[str, Any], code: Refusal, said: str) -> None:
    refused = planned(**given)
    assert isinstance(refused, Refused)
    assert refused.code is code
    assert said in refused.why


def test_a_barred_version_is_passed_over() -> None:
    plan = planned([FAILED], past=Past(rolled_back_from=("2",)))
    assert isinstance(plan, Plan)
    assert (plan.targets, plan.needs_approval) == (("1",), False)


def test_where_only_rolled_back_versions_are_left_a_person_has_to_agree() -> None:
    plan = planned([FAILED], past=Past(rolled_back_from=("2", "1")))
    assert isinstance(plan, Plan)
    assert (plan.targets, plan.needs_approval) == (("2", "1"), True)
    assert "a person has to agree" in plan.why


@pytest.mark.parametrize("seed", range(300))
def test_the_targets_are_those_that_nothing_speaks_against_in_their_order(seed: int) -> None:
    generator = random.Random(seed)
    versions = "12345"
    earlier = tuple(generator.choices(versions, k=generator.randint(0, 6)))
    past = Past(generator.sample(versions, 2), generator.sample(versions, generator.randint(0, 3)))
    answer = planned([FAILED], earlier=earlier, past=past)
    possible = [version for version in dict.fromkeys(earlier) if version not in {*past.failing, "3"}]
    clean = [version for version in possible if version not in past.rolled_back_from]
    if possible:
        assert isinstance(answer, Plan)
        assert list(answer.targets) == (clean or possible)[:3]
        assert answer.needs_approval is (not clean)
    else:
        assert isinstance(answer, Refused)
        assert answer.code is Refusal.NO_TARGET


def test_a_failure_of_no_version_in_particular_is_the_holders() -> None:
    plan = planned([replace(FAILED, version=None), replace(FAILED, version="1", measure="brier")])
    assert isinstance(plan, Plan)
    assert plan.measures == ("accuracy",)


def test_drift_beside_a_failure_of_the_version_hides_no_rollback() -> None:
    assert isinstance(planned([DRIFTED, FAILED]), Plan)
    assert isinstance(planned([replace(FAILED, check="removed")]), Refused)


def replay(difference: float, low: float, high: float, higher_is_worse: bool = False, margin: float = 0.05) -> Replay:
    return Replay("accuracy", 0.7, 0.7 - difference, difference, low, high, 500, higher_is_worse, margin=margin)


PLAN = Plan("3", ("2",), "performance", ("accuracy",), "")


def proved(*replays: Replay, by: str = "2") -> list[Proof]:
    return [Proof(by, replays)]


@pytest.mark.parametrize(
    ("proof", "code"),
    [
        (replay(-0.10, -0.15, -0.05), None),
        (replay(-0.10, -0.16, -0.04), Refusal.CANNOT_TELL),
        (replay(-0.10, -0.21, 0.01), Refusal.CANNOT_TELL),
        (replay(0.10, 0.05, 0.15), Refusal.NOT_BETTER),
        (replay(0.10, 0.05, 0.15, higher_is_worse=True), None),
        (replay(-0.10, -0.15, -0.05, higher_is_worse=True), Refusal.NOT_BETTER),
        (replay(0.10, -0.01, 0.21, higher_is_worse=True), Refusal.CANNOT_TELL),
        (replay(-0.01, -0.04, 0.02), Refusal.NOT_BETTER),
        (replay(-0.01, -0.04, 0.02, margin=0.0), Refusal.CANNOT_TELL),
        (replay(0.01, -0.02, 0.04, higher_is_worse=True), Refusal.NOT_BETTER),
    ],
)
def test_the_target_must_be_better_beyond_more_than_its_interval(proof: Replay, code: Refusal | None) -> None:
    answer = accept(PLAN, proved(proof))
    assert isinstance(answer, Accepted if code is None else Refused)
    if isinstance(answer, Refused):
        assert answer.code is code
        assert "same 500 rows" in answer.why


def test_a_change_of_the_world_is_refused_by_its_name() -> None:
    same = replay(0.01, -0.02, 0.04)
    fell = Measure("accuracy_vs_baseline", -0.2, 500, -0.25, -0.15)
    answer = accept(PLAN, proved(replace(same, own=fell, theirs=fell)))
    assert isinstance(answer, Refused)
    assert answer.code is Refusal.WORLD_CHANGED
    assert answer.why.startswith("world changed: on the same 500 rows")


def test_of_several_measures_the_one_that_proves_the_target_better_is_named() -> None:
    unclear, proof = replay(-0.1, -0.21, 0.01), replace(replay(0.1, 0.05, 0.15, True), measure="brier")
    accepted = accept(PLAN, proved(unclear, proof))
    assert isinstance(accepted, Accepted)
    assert accepted.replay == proof
    refused = accept(PLAN, proved(unclear, replace(unclear, measure="f1")))
    assert isinstance(refused, Refused)
    assert "accuracy is 0.7 with version 3 and 0.8 with version 2" in refused.why
    assert "-0.1, -0.21 to 0.01" in refused.why


def test_the_more_measures_failed_the_more_each_has_to_prove() -> None:
    near = replay(-0.10, -0.1535, -0.0465)
    assert isinstance(accept(PLAN, proved(near)), Accepted)
    assert isinstance(accept(PLAN, proved(near, *(replace(near, measure=f"m{n}") for n in range(9)))), Refused)


def test_the_more_targets_are_tried_the_more_each_has_to_prove() -> None:
    near = replay(-0.10, -0.1535, -0.0465)
    others = [Proof(str(n), (replay(-0.01, -0.2, 0.2),)) for n in range(4, 13)]
    assert isinstance(accept(PLAN, [*proved(near), *others]), Refused)


def test_of_proven_targets_the_first_wins_unless_another_is_surely_better() -> None:
    first, alike, far = replay(-0.1, -0.14, -0.06), replay(-0.12, -0.16, -0.08), replay(-0.2, -0.22, -0.18)
    chosen = accept(PLAN, [Proof("2", (first,)), Proof("1", (alike,))])
    assert isinstance(chosen, Accepted)
    assert chosen.version == "2"
    chosen = accept(PLAN, [Proof("2", (first,)), Proof("1", (far,))])
    assert isinstance(chosen, Accepted)
    assert chosen.version == "1"
    assert "with version 3 and 0.9 with version 1" in chosen.why


def test_an_unsafe_target_is_passed_over_and_told_where_none_is_safe() -> None:
    unsafe = Proof("2", unsafe=Refused(Refusal.ARTEFACT_CHANGED, "its artefacts changed"))
    chosen = accept(PLAN, [unsafe, *proved(replay(-0.1, -0.14, -0.06), by="1")])
    assert isinstance(chosen, Accepted)
    assert chosen.version == "1"
    refused = accept(PLAN, [unsafe])
    assert refused == unsafe.unsafe
    both = accept(PLAN, [unsafe, *proved(replay(0.1, 0.06, 0.14), by="1")])
    assert isinstance(both, Refused)
    assert both.code is Refusal.NOT_BETTER
    assert both.why.startswith("to version 2: its artefacts changed; to version 1: version 3 does better")


@pytest.mark.parametrize("state", ActionState)
def test_from_every_live_state_a_final_one_can_be_reached_and_from_no_final_one_anything(state: ActionState) -> None:
    reached, seen = {state}, set[ActionState]()
    while reached - seen:
        seen |= reached
        reached = {after for one in reached for after in NEXT.get(one, ())}
    assert any(one not in LIVE for one in seen)
    assert state in LIVE or seen == {state}


def test_a_target_that_is_worse_by_another_failed_measure_is_refused() -> None:
    proof, against = replay(-0.1, -0.15, -0.05), replace(replay(0.1, 0.06, 0.14), measure="f1")
    answer = accept(PLAN, proved(proof, against))
    assert isinstance(answer, Refused)
    assert answer.code is Refusal.NOT_BETTER
    assert answer.why.startswith("version 3 does better.")


@pytest.mark.parametrize("worse", [False, True])
def test_an_interval_that_is_no_number_proves_nothing(worse: bool) -> None:
    assert isinstance(accept(PLAN, proved(replay(0.0, math.nan, math.nan, worse))), Refused)


def test_nothing_measured_again_proves_nothing() -> None:
    for nothing in ([], proved()):
        answer = accept(PLAN, nothing)
        assert isinstance(answer, Refused)
        assert answer.code is Refusal.NOT_MEASURED


def test_a_replay_is_read_from_the_measures_of_both_versions() -> None:
    measures = [
        Measure("accuracy", 0.5, 400, 0.45, 0.55, version="3"),
        Measure("accuracy", 0.9, 400, 0.87, 0.93, version="2"),
        Measure("accuracy_vs_previous", -0.4, 400, -0.45, -0.35, version="3"),
        Measure("accuracy_vs_previous", -0.9, 40, -0.95, -0.85, version="3", segment="young"),
        Measure("accuracy_vs_baseline", -0.3, 400, -0.35, -0.25, version="3"),
        Measure("accuracy_vs_baseline", 0.01, 400, -0.02, 0.04, version="2"),
    ]
    (read,) = compare(measures, ["accuracy"], "3", {"accuracy": False})
    assert (read.current, read.candidate, read.low, read.high, read.n) == (0.5, 0.9, -0.45, -0.35, 400)
    assert (read.own, read.theirs) == (measures[4], measures[5])
    assert read.margin == pytest.approx(0.125 * 0.05 * 20 / 1.96, rel=1e-4)
    assert compare(measures[:2], ["accuracy"], "3", {"accuracy": False}) == []
    assert compare(measures, ["accuracy"], "3", {}) == []
    (alone,) = compare(measures[:3], ["accuracy"], "3", {"accuracy": False})
    assert (alone.own, alone.theirs) == (None, None)


def test_a_failed_difference_is_replayed_by_the_measure_behind_it_once() -> None:
    measures = [
        Measure("accuracy", 0.5, 400, version="3"),
        Measure("accuracy", 0.9, 400, version="2"),
        Measure("accuracy_vs_baseline", -0.4, 400, -0.45, -0.35, version="3"),
        Measure("accuracy_vs_previous", -0.4, 400, -0.45, -0.35, version="3"),
    ]
    wanted = ["accuracy_vs_baseline", "accuracy_vs_previous", "accuracy"]
    assert [read.measure for read in compare(measures, wanted, "3", {"accuracy": False})] == ["accuracy"]
    without = [replace(measure, low=None) for measure in measures]
    assert compare(without, wanted, "3", {"accuracy": False}) == []
