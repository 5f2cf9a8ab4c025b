"""What is explored of an action's life: a part of it in the tests, the whole in the bench, and ways to break it."""

from __future__ import annotations

from action_life import Case
from action_world import BAD, OTHER, TARGETS

from controlplane.domain.action import ActionState

STRANGERS = (BAD, TARGETS[0], OTHER, None)
SMALL = {
    "crashes alone": Case(undoes=True),
    "time-outs and strangers": Case(timeouts=True, strangers=(BAD, OTHER)),
    "a freeze": Case(freezes=True, undoes=True, strangers=(OTHER,)),
    "two people": Case(proposes=True),
    "two actions on one alias": Case(actions=2, begins=ActionState.ACCEPTED, windows=False, attempts=1),
}
"""Seconds each."""

WHOLE = {
    "rollback, undone where it fails": Case(timeouts=True, undoes=True, strangers=STRANGERS, freezes=True),
    "rollback, left to a person": Case(timeouts=True, strangers=STRANGERS, freezes=True, attempts=3),
    "proposal, two people": Case(proposes=True, timeouts=True, strangers=(BAD, OTHER), freezes=True),
    "two actions on one alias": Case(
        actions=2, begins=ActionState.ACCEPTED, windows=False, timeouts=True, strangers=(OTHER,)
    ),
}
"""Minutes altogether."""

MUTATIONS = {
    "fence": "a step is stored though another scheduler has taken the action over",
    "lease": "an alias is moved without its lease",
    "read": "the alias is written without having been read",
    "deadline": "a scheduler that was held up writes all the same",
    "once": "a write whose outcome was not seen is begun again",
    "settle": "a write is taken for lost before it must have been made",
    "patience": "an action is given up while its write may still be made",
    "undo": "a move is undone while its write may still be made",
    "tell": "what happened is told in a transaction of its own",
    "freeze": "a write is begun without another look at the freezes",
    "proof": "a rollback is accepted whatever the replay says",
}


def broken(mutation: str) -> Case:
    """A case in which that mutation does harm."""
    if mutation == "lease":
        return Case(actions=2, begins=ActionState.ACCEPTED, windows=False, broken=mutation)
    return Case(timeouts=True, undoes=True, strangers=STRANGERS, freezes=mutation == "freeze", broken=mutation)
