"""The life of an action as a model: two schedulers, and everything that may come between any two of their steps.

A scheduler's steps are the transactions of `engine.rollback`, `moving`, `recovery` and `intents` and the single calls
of the registry; each is taken whole or not at all. What follows what is the product's own `NEXT`; what a move does when
it reads the alias, and until when it may not end, are the product's own `on_holder` and `may_land`. Between any two
steps: a crash; somebody sets the alias to any version or deletes it; a time-out of any registry call, whose write was
made, was not, or is made later; a freeze, its end; two people approve and reject at once, or approve what was changed;
a proposal runs out; the claim of an action is taken over, even from a scheduler that still works (so that nothing rests
on the length of that lease).

What the model grants, because nobody can do without it:

- The database keeps what it committed, and a guarded update finds its row as it is.
- Time: a scheduler is not held up for longer than `SETTLES` less its own time limit (60 s) between its look at that
  limit and the registry's answer, and a write is made within the client's time-out or never. So a write that was begun
  `SETTLES` ago, or under an alias lease that ran out, is made or never will be. Clocks of two hosts agree that well.
- The gap that MLflow leaves: what somebody sets between our read and our write is overwritten. What was set before that
  read never is.
- How long a step is put off is left out, and fewer attempts are made than in production.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from action_world import (
    AGES,
    APPLIED,
    APPROVE_OTHER,
    BAD,
    DECLINED,
    IDLE,
    LATELY,
    NEVER,
    NOBODY,
    REJECT,
    SAID,
    SETTLED,
    TARGETS,
    UNASKED,
    WAITING,
    Act,
    Life,
    S,
    World,
    free_lease,
    put_act,
    put_ask,
    put_life,
    step,
    versions,
)

from controlplane.domain.action import LIVE, ActionState, Step, may_land, on_holder

Moves = Iterator[tuple[str, bool, World]]


@dataclass(frozen=True)
class Case:
    """What is explored: the actions on one alias, the people and trouble around them, and what is broken on purpose."""

    actions: int = 1
    schedulers: int = 2
    begins: ActionState = S.PLANNED
    proposes: bool = False
    undoes: bool = False
    strangers: tuple[str | None, ...] = ()
    crashes: bool = True
    timeouts: bool = False
    freezes: bool = False
    windows: bool = True
    attempts: int = 2
    broken: str = ""

    def begin(self) -> list[World]:
        """The state before anything was done."""
        act = Act(self.begins, (self.begins,), proved=self.begins is not S.PLANNED)
        return [World((act,) * self.actions, (IDLE,) * self.schedulers, asked=(UNASKED,) * 3 if self.proposes else ())]

    def is_over(self, world: World) -> bool:
        """Whether every action has its final state, and every scheduler rests."""
        return all(act.state not in self._live for act in world.acts)

    @property
    def _live(self) -> frozenset[ActionState]:
        return LIVE if self.windows else LIVE - {S.MOVED}

    def wrong(self, world: World) -> str:
        """The promise that this state breaks, or nothing."""
        if world.wrong:
            return world.wrong
        for act in world.acts:
            if len(set(act.told)) < len(act.told):
                return f"{act.told[-1]} was told twice"
            if act.told != tuple(state for state in act.path if state in SAID) and all(
                not life.news for life in world.lives
            ):
                return f"{act.state} was not told"
        return ""

    def steps(self, world: World) -> Moves:
        """Everything that can happen next."""
        for one in range(len(world.lives)):
            # Schedulers are alike: where both are in the same place, it is enough to follow one.
            if world.lives[one] not in world.lives[:one]:
                for name, friendly, after in self._scheduler(world, one):
                    yield name, friendly, after._replace(lives=tuple(sorted(after.lives)))
        yield from self._outside(world)

    def _outside(self, w: World) -> Moves:
        """What the schedulers have no hand in."""
        for holder in self.strangers:
            if holder != w.holder:
                yield f"somebody sets the alias to {holder}", False, w._replace(holder=holder, ours=NOBODY)
        if self.freezes:
            yield "unfreeze" if w.frozen else "freeze", False, w._replace(frozen=not w.frozen)
        for flight in w.flights:
            rest = tuple(one for one in w.flights if one != flight)
            yield "a late write is made", True, self._make(w._replace(flights=rest), *flight)
            yield "a late write is lost", True, w._replace(flights=rest)
        for place, act in enumerate(w.acts):
            lives = tuple(
                life._replace(late=True) if life.act == place and life.at in _BEFORE_WRITE else life for life in w.lives
            )
            writing = any(life.act == place and life.at == "write" for life in w.lives)
            writing |= any(flight[0] == place for flight in w.flights)
            if act.begun == LATELY and not writing:
                yield "a write has settled", True, put_act(w._replace(lives=lives), place, begun=SETTLED)
            if w.lease == place and not writing:
                yield "an alias lease runs out", True, w._replace(lives=lives, lease=NOBODY)
            if act.state is S.PROPOSED and not act.expired:
                yield "a proposal runs out", True, put_act(w, place, expired=True)
            if self.windows and act.state is S.MOVED and not act.window:
                yield "a window is well", True, put_act(w, place, window="well")
                yield "a window is bad", False, put_act(w, place, window="bad")
        if w.asked and S.PROPOSED in w.acts[0].path:
            for kind, status in enumerate(w.asked):
                if status == UNASKED:
                    yield f"asked: {('approve', 'reject', 'approve another')[kind]}", False, put_ask(w, kind, WAITING)

    def _scheduler(self, w: World, one: int) -> Moves:
        life = w.lives[one]
        if life.at == "idle":
            for place, act in enumerate(w.acts):
                if act.state in self._live:
                    yield f"claim {act.state}", True, self._claim(w, one, place)
            for kind, status in enumerate(w.asked):
                if status == WAITING:
                    yield "apply an intent", True, self._apply(w, kind)
            return
        if self.crashes:
            yield f"crash before {life.at}", False, put_life(w, one, IDLE)
        yield from getattr(self, f"_{life.at}")(w, one, life, w.acts[life.act])

    def _claim(self, w: World, one: int, place: int) -> World:
        act = w.acts[place]
        lives = tuple(life._replace(current=False) if life.act == place else life for life in w.lives)
        life = Life(_FIRST[act.state], place, act.state, marked=act.begun != NEVER)
        return put_life(w._replace(lives=lives), one, life)

    def _apply(self, w: World, kind: int) -> World:
        """`engine.intents._decide`, in one transaction."""
        act = w.acts[0]
        if act.state is not S.PROPOSED:
            return put_ask(w, kind, DECLINED)
        if kind != REJECT and act.expired:
            return put_ask(step(w, 0, S.EXPIRED), kind, DECLINED)
        if kind == APPROVE_OTHER:
            return put_ask(w, kind, DECLINED)
        return put_ask(step(w, 0, S.REJECTED if kind == REJECT else S.ACCEPTED), kind, APPLIED)

    # One method for each place where a scheduler can be; its name is that place.

    def _prove(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """The replay, which changes nothing."""
        yield "the replay proves it", True, put_life(w, one, life._replace(at="accept"))
        for said in ("the target is unsafe", "the target is no better"):
            yield said, True, put_life(w, one, life._replace(at="refuse"))
        yield from self._timeout(w, one, life)

    def _accept(self, w: World, one: int, life: Life, act: Act) -> Moves:
        to = S.PROPOSED if self.proposes else S.ACCEPTED
        yield f"store {to}", True, self._store(w, one, to, proved=True)

    def _refuse(self, w: World, one: int, life: Life, act: Act) -> Moves:
        yield "store refused", True, self._store(w, one, S.ACCEPTED if self.broken == "proof" else S.REFUSED)

    def _wait(self, w: World, one: int, life: Life, act: Act) -> Moves:
        expired = life.state is S.PROPOSED and act.expired
        yield "store the wait", True, self._store(w, one, S.EXPIRED if expired else None)

    def _begin(self, w: World, one: int, life: Life, act: Act) -> Moves:
        if w.frozen:
            yield "store refused: frozen", True, self._store(w, one, S.REFUSED)
        elif not self._may_lease(w, life.act):
            yield "wait for the alias", True, self._store(w, one, None)
        else:
            after = self._store(w, one, S.MOVING, "lease")
            yield "store moving", True, after._replace(lease=life.act) if after.lives[one].at == "lease" else after

    def _lease(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """`take_alias_lease`, which no fence guards."""
        if not self._may_lease(w, life.act):
            yield "wait for the alias", True, self._store(w, one, None)
        else:
            lease = life.act if len(w.acts) > 1 else NOBODY
            yield (
                "take the alias's lease",
                True,
                put_life(w, one, life._replace(at="look", late=False))._replace(lease=lease),
            )

    def _look(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """Read the alias and decide."""
        source, target = versions(life)
        if self.broken == "once":
            decided = Step.DONE if w.holder == target else _decide(w.holder, source, target, NEVER)
        elif self.broken == "read" and not life.marked:
            decided = Step.WRITE
        else:
            age = max(act.begun, LATELY) if life.marked else NEVER
            decided = _decide(w.holder, source, target, SETTLED if age and self.broken == "settle" else age)
        yield f"look: {decided}", True, put_life(w, one, life._replace(at=_AFTER_LOOK[decided]))
        yield from self._timeout(w, one, life)

    def _mark(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """Say that the write begins: fenced, and after another look at the freezes."""
        if w.frozen and self.broken != "freeze":
            yield "store: frozen", True, self._store(w, one, S.REFUSED if life.state is S.MOVING else S.FAILED)
            return
        after = self._store(w, one, None, "read", begun=NEVER if self.broken == "once" else LATELY)
        if after.lives[one].at == "read" and w.frozen:
            after = after._replace(wrong="a write was begun in a freeze")
        yield "store that the write begins", True, after

    def _read(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """The registry's own read, right before the write."""
        visible = w.holder != versions(life)[0] or (act.made[life.state is S.UNDOING] > 0 and w.ours == NOBODY)
        if w.holder == versions(life)[0] or self.broken == "read":
            yield "read", True, put_life(w, one, life._replace(at="check", stale=visible))
        else:
            yield "read: somebody else's", True, put_life(w, one, life._replace(at="supersede"))
        yield from self._timeout(w, one, life, "unmark")

    def _check(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """The time limit of the writer."""
        if not life.late or self.broken == "deadline":
            yield "in time", True, put_life(w, one, life._replace(at="write"))
        if self.broken != "deadline":
            yield "too late", life.late, put_life(w, one, life._replace(at="unmark"))

    def _write(self, w: World, one: int, life: Life, act: Act) -> Moves:
        write = (life.act, int(life.state is S.UNDOING), life.stale)
        made = self._make(w, *write)
        yield "write", True, put_life(made, one, life._replace(at="readback"))
        if self.timeouts:
            again = life._replace(at="again")
            yield "write: made, no answer", False, put_life(made, one, again)
            yield "write: not made, no answer", False, put_life(w, one, again)
            yield (
                "write: no answer yet",
                False,
                put_life(w._replace(flights=tuple(sorted({*w.flights, write}))), one, again),
            )

    def _readback(self, w: World, one: int, life: Life, act: Act) -> Moves:
        at = "record" if w.holder == versions(life)[1] else "supersede"
        yield "read back", True, put_life(w, one, life._replace(at=at))
        yield from self._timeout(w, one, life)

    def _record(self, w: World, one: int, life: Life, act: Act) -> Moves:
        to = S.MOVED if life.state is S.MOVING else S.UNDONE
        yield f"store {to}", True, free_lease(self._store(w, one, to), w, life.act)

    def _supersede(self, w: World, one: int, life: Life, act: Act) -> Moves:
        yield "store superseded", True, free_lease(self._store(w, one, S.SUPERSEDED), w, life.act)

    def _lose(self, w: World, one: int, life: Life, act: Act) -> Moves:
        yield "store failed: outcome not seen", True, free_lease(self._store(w, one, S.FAILED), w, life.act)

    def _unmark(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """Nothing was written, and that is known."""
        yield "store that nothing was written", True, self._store(w, one, None, "again", begun=NEVER)

    def _again(self, w: World, one: int, life: Life, act: Act) -> Moves:
        attempt = min(act.attempt + 1, self.attempts)
        given_up = attempt >= self.attempts and (not may_land(AGES[act.begun]) or self.broken == "patience")
        yield "try again", True, self._store(w, one, S.FAILED if given_up else None, attempt=attempt)

    def _see(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """Who holds the alias, some time after the move."""
        at = "judge" if w.holder == TARGETS[life.act] else "again" if w.holder is None else "supersede"
        yield "see", True, put_life(w, one, life._replace(at=at))
        yield from self._timeout(w, one, life)

    def _judge(self, w: World, one: int, life: Life, act: Act) -> Moves:
        if act.window == "bad" and self.undoes and not w.frozen:
            if may_land(AGES[act.begun]) and self.broken != "undo":
                yield "wait to undo", True, self._store(w, one, None)
            else:
                yield "store undoing", True, self._store(w, one, S.UNDOING, begun=NEVER)
        else:
            to = {"well": S.VERIFIED, "bad": S.FAILED}.get(act.window)
            yield "judge", True, self._store(w, one, to)

    def _tell(self, w: World, one: int, life: Life, act: Act) -> Moves:
        """Only where telling is broken on purpose."""
        yield "tell", True, put_life(put_act(w, life.act, told=(*act.told, S(life.news))), one, IDLE)

    def _timeout(self, w: World, one: int, life: Life, at: str = "again") -> Moves:
        if self.timeouts:
            yield f"no answer to {life.at}", False, put_life(w, one, life._replace(at=at))

    def _may_lease(self, w: World, place: int) -> bool:
        return len(w.acts) == 1 or w.lease in (NOBODY, place) or self.broken == "lease"

    def _store(self, w: World, one: int, to: ActionState | None, at: str = "idle", **values: Any) -> World:
        """`step_action`: one fenced transaction; a scheduler whose claim was taken over stores nothing and lets go."""
        life = w.lives[one]
        if w.acts[life.act].state is not life.state or not (life.current or self.broken == "fence"):
            return put_life(w, one, IDLE)
        news = "" if to is None or to not in SAID or self.broken != "tell" else to.value
        w = put_act(w, life.act, **values)
        if to is not None:
            w = step(w, life.act, to, tells=not news)
        if news:
            return put_life(w, one, life._replace(at="tell", news=news))
        marked = w.acts[life.act].begun != NEVER
        return put_life(w, one, IDLE if at == "idle" else life._replace(at=at, state=to or life.state, marked=marked))

    def _make(self, w: World, place: int, leg: int, stale: bool) -> World:
        """A write reaches the registry, and every promise about it is looked at."""
        act = w.acts[place]
        expected = {S.MOVING, S.MOVED, S.VERIFIED} if leg == 0 else {S.UNDOING, S.UNDONE}
        ended_after = S.MOVED in act.path and S.UNDOING not in act.path if leg == 0 else S.UNDOING in act.path
        wrong = ""
        if act.made[leg]:
            wrong = "two moves for one action"
        elif not act.proved or S.ACCEPTED not in act.path[:-1]:
            wrong = "a move onto a target that was not proved"
        elif stale:
            wrong = "a visible move was overwritten"
        elif w.ours not in (NOBODY, place):
            wrong = "a move of our own was overwritten"
        elif act.state not in expected and not ended_after:
            wrong = f"a write was made after the action was {act.state}"
        made = (act.made[0] + (leg == 0), act.made[1] + (leg == 1))
        holder = TARGETS[place] if leg == 0 else BAD
        return put_act(w, place, made=made)._replace(holder=holder, ours=place, wrong=w.wrong or wrong)


_FIRST = {
    S.PLANNED: "prove",
    S.PROPOSED: "wait",
    S.ACCEPTED: "begin",
    S.MOVING: "lease",
    S.MOVED: "see",
    S.UNDOING: "lease",
}
_AFTER_LOOK = {
    Step.WRITE: "mark",
    Step.DONE: "record",
    Step.WAIT: "wait",
    Step.SUPERSEDED: "supersede",
    Step.LOST: "lose",
}
_BEFORE_WRITE = {"look", "mark", "read", "check"}
_decide = cache(lambda holder, source, target, age: on_holder(holder, source, target, AGES[age]))
