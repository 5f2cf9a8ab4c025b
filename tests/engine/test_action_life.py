"""An action's life, every step of it in every order, with everything that may come between."""

from __future__ import annotations

import pytest
from action_cases import MUTATIONS, SMALL, broken
from action_life import Case
from explore import explore

from controlplane.domain.action import LIVE, NEXT, ActionState


def test_every_live_state_leads_to_a_final_one_and_none_comes_twice() -> None:
    def longest(state: ActionState, before: tuple[ActionState, ...] = ()) -> None:
        assert state not in before
        if state in LIVE:
            assert NEXT[state]
        for after in NEXT.get(state, ()):
            longest(after, (*before, state))

    longest(ActionState.PLANNED)


@pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
def test_no_order_of_steps_breaks_a_promise_and_every_action_can_end(case: Case) -> None:
    found = explore(case.begin(), case.steps, case.wrong, case.is_over)
    assert (found.wrong, found.path) == ("", ())
    assert found.whole
    assert found.stuck == 0
    assert found.goals > 100


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_protocol_that_lacks_one_of_its_precautions_is_found_out(mutation: str) -> None:
    case = broken(mutation)
    found = explore(case.begin(), case.steps, case.wrong, case.is_over, most=100_000)
    assert found.wrong, f"nobody would notice if {MUTATIONS[mutation]}"
    assert len(found.path) == found.depth
