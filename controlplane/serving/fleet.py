"""The process that follows the aliases: it fetches versions, has all workers load them, and only then switches them.

It runs in one thread, so that its workers can be forked from it at any time; they share what it has imported.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Any

from controlplane.domain.monitor import ModelRef
from controlplane.errors import RegistryError
from controlplane.registry import Registry
from controlplane.serving.cache import Cache
from controlplane.serving.plan import Plan, Role
from controlplane.serving.worker import run

_log = logging.getLogger(__name__)
_FORK = get_context("fork")
_PAUSES = (0.0, 1.0, 5.0, 15.0, 60.0)
"""Seconds before a worker that died is replaced, by how many died within the last minutes."""
_RETRIES = (15.0, 60.0, 300.0)
"""Seconds before a version that could not be served is tried again."""
_MINUTES = 300.0
_REPEAT = 30.0
"""Seconds after which what was reported is reported again, so that whoever hears it knows that it still holds."""


@dataclass
class _Hand:
    """A worker process as the fleet sees it: what it was asked to load, still loads and holds, and what it serves."""

    number: int
    process: BaseProcess
    pipe: connection.Connection
    asked: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    ordered: Mapping[Role, str] | None = None
    serves: Mapping[str, str] = field(default_factory=dict)

    def order(self, **what: Any) -> None:
        """Tell the worker something; one that is gone is found out by its sentinel."""
        try:
            self.pipe.send_bytes(json.dumps(what).encode())
        except OSError:
            _log.debug("worker %d does not hear", self.number)


@dataclass
class _Trouble:
    """Why a version is not served, how often it was tried, and when it is tried again."""

    version: str
    why: str
    tries: int
    again: float


@dataclass(frozen=True)
class Following:
    """How an alias is followed: what it holds, what all workers serve, and why these differ where they do."""

    alias: ModelRef
    wanted: str | None
    served: str | None
    why: str = ""


class Fleet:
    """The workers of a server, and what they are to serve. `report` hears how aliases are followed.

    A version takes traffic once every worker has loaded it and warmed it up, and its alias still holds it. Until then,
    and for good where one of them cannot, the version before stays.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        cache: Cache,
        listener: socket.socket,
        report: Callable[[Mapping[Role, Following]], None],
    ) -> None:
        self._plan, self._registry, self._cache, self._listener, self._report = plan, registry, cache, listener, report
        self._aliases = plan.aliases()
        self._hands: dict[int, _Hand] = {}
        self._deaths: dict[int, list[float]] = {number: [] for number in range(1, plan.workers + 1)}
        self._wanted: dict[Role, str | None] = {}
        self._served: dict[Role, str] = {}
        self._previous: str | None = None
        self._trouble: dict[Role, _Trouble] = {}
        self._away = ""
        self._next_look = 0.0
        self._said: dict[str, Any] = {}
        self._reported: dict[Role, Following] = {}
        self._report_again = 0.0
        self._stopping = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        before = signal.set_wakeup_fd(self._wake)
        try:
            self._look()
            if self._away:
                self._wanted = {role: self._cache.last(model) for role, model in self._aliases.items()}
            while not self._stopping:
                self._hire()
                self._pursue()
                self._tell()
                self._hear()
                if time.monotonic() >= self._next_look:
                    self._look()
        finally:
            self._end()
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _look(self) -> None:
        """Ask the registry what the aliases hold; where it is away, what is served stays."""
        try:
            self._wanted = {role: self._registry.held(model) for role, model in self._aliases.items()}
            self._away = ""
        except RegistryError as error:
            if not self._away:
                _log.warning("what is served stays: %s", error)
            self._away = str(error)
        self._next_look = time.monotonic() + self._plan.every.total_seconds()

    def _hire(self) -> None:
        """Have a worker for each number; one that died is replaced, after a pause where many did."""
        now = time.monotonic()
        for number, deaths in self._deaths.items():
            deaths[:] = [at for at in deaths if now - at < _MINUTES]
            pause = _PAUSES[min(len(deaths), len(_PAUSES) - 1)]
            if number in self._hands or (deaths and now < deaths[-1] + pause):
                continue
            ours, theirs = _FORK.Pipe()
            others = [hand.pipe for hand in self._hands.values()] + [ours]
            process = _FORK.Process(
                target=run, args=(self._plan, theirs, self._listener, others), name=f"serving-{number}"
            )
            process.start()
            theirs.close()
            hand = self._hands[number] = _Hand(number, process, ours)
            if not self._served:
                # Before anything is served, whoever asks is told so; a replacement takes requests once it can answer.
                hand.order(do="open")

    def _pursue(self) -> None:
        """Bring every worker one step nearer to serving what the aliases hold."""
        coming = {role: version for role, version in self._wanted.items() if version and self._is_due(role, version)}
        for role, version in coming.copy().items():
            if not self._place(role, version):
                del coming[role]
        for hand in self._hands.values():
            for version in {*self._served.values(), *coming.values()} - hand.asked:
                hand.asked.add(version)
                hand.loads.add(version)
                hand.order(do="load", version=version, folder=str(self._cache.left(version)))
        for role, version in coming.items():
            if self._hands and all(version in hand.holds for hand in self._hands.values()):
                self._take(role, version)
        for role in (Role.CANARY, Role.SHADOW):
            if role in self._served and self._wanted.get(role) is None and not self._away:
                del self._served[role]
        self._switch(set(coming.values()))

    def _is_due(self, role: Role, version: str) -> bool:
        """Whether the role is to be given that version now."""
        trouble = self._trouble.get(role)
        if version == self._served.get(role):
            self._trouble.pop(role, None)
            return False
        return trouble is None or trouble.version != version or time.monotonic() >= trouble.again

    def _place(self, role: Role, version: str) -> bool:
        """Have the version's artefacts here."""
        if self._away:
            return self._cache.left(version) is not None
        try:
            self._cache.fetch(self._registry, self._aliases[role].name, version)
        except RegistryError as error:
            self._fail(role, version, str(error))
            return False
        return True

    def _take(self, role: Role, version: str) -> None:
        """Give a role the version that all workers hold, unless its alias was moved on meanwhile."""
        if not self._away:
            self._look()
            if self._wanted.get(role) != version:
                return
        if role is Role.LIVE:
            self._previous = self._served.get(role)
        self._served[role] = version
        self._trouble.pop(role, None)
        self._cache.note_last(self._aliases[role], version)
        _log.info("%s: version %s answers", self._aliases[role], version)

    def _switch(self, coming: set[str]) -> None:
        """Tell each worker that holds all of it what to serve, and to let go of what nobody needs."""
        keep = {*self._served.values(), *coming} | ({self._previous} if self._previous else set())
        for hand in self._hands.values():
            if self._served and hand.ordered != self._served and set(self._served.values()) <= hand.holds:
                hand.ordered = dict(self._served)
                hand.asked &= keep
                hand.holds &= keep
                hand.order(do="serve", roles=hand.ordered, keep=sorted(keep))
        if self._served and not self._away:
            # Nobody may need any more what a worker still loads; it is whole as long as it is read.
            self._cache.keep(keep.union(*(hand.loads for hand in self._hands.values())))

    def _fail(self, role: Role, version: str, why: str) -> None:
        now, before = time.monotonic(), self._trouble.get(role)
        if before is not None and before.version != version:
            before = None
        if before is not None and now < before.again:
            # Another worker said so of the same try.
            return
        tries = 1 if before is None else before.tries + 1
        again = now + _RETRIES[min(tries, len(_RETRIES)) - 1]
        self._trouble[role] = _Trouble(version, why, tries, again)
        _log.error("%s: version %s is not served: %s", self._aliases[role], version, why)

    def _hear(self) -> None:
        """Wait for a worker to say something or to end, or for the next look."""
        pipes = {hand.pipe: hand for hand in self._hands.values()}
        sentinels = {hand.process.sentinel: hand for hand in self._hands.values()}
        now = time.monotonic()
        waits = [self._next_look, *(trouble.again for trouble in self._trouble.values() if trouble.again > now)]
        waits += [now + 1.0] if len(self._hands) < self._plan.workers else []
        for ready in connection.wait([*pipes, *sentinels, self._woken], max(0.0, min(waits) - now)):
            if ready in pipes:
                self._listen(pipes[ready])
            elif ready in sentinels:
                self._bury(sentinels[ready])
            else:
                os.read(self._woken, 4096)

    def _listen(self, hand: _Hand) -> None:
        try:
            while hand.pipe.poll():
                said = json.loads(hand.pipe.recv_bytes())
                if "look" in said:
                    self._next_look = 0.0
                    for trouble in self._trouble.values():
                        trouble.again = 0.0
                elif "loaded" in said:
                    hand.loads.discard(said["loaded"])
                    hand.holds.add(said["loaded"])
                elif "serves" in said:
                    hand.serves = said["serves"]
                elif "failed" in said:
                    self._refused(hand, said["failed"], said["why"])
        except (EOFError, OSError):
            # Its sentinel says the rest.
            return

    def _refused(self, hand: _Hand, version: str, why: str) -> None:
        hand.asked.discard(version)
        hand.loads.discard(version)
        if version in self._served.values():
            # The others serve it. This worker is not let near requests, and one day another takes its place.
            _log.error("worker %d is replaced: %s", hand.number, why)
            hand.process.kill()
            return
        for role, wanted in self._wanted.items():
            if wanted == version:
                self._fail(role, version, why)

    def _bury(self, hand: _Hand) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        hand.process.join()
        hand.pipe.close()
        del self._hands[hand.number]
        self._deaths[hand.number].append(time.monotonic())
        mark_process_dead(hand.process.pid)
        if not self._stopping:
            _log.error("worker %d ended with code %s", hand.number, hand.process.exitcode)

    def _tell(self) -> None:
        """Have workers know the whole server's state, and report it where it changed."""
        found = {role: self._following(role) for role in self._aliases}
        if found != self._reported or time.monotonic() >= self._report_again:
            self._reported, self._report_again = found, time.monotonic() + _REPEAT
            self._report(found)
        live = found[Role.LIVE]
        state: dict[str, Any] = {
            "version": live.served,
            "model": self._plan.model.name,
            "alias": self._plan.model.alias,
            "wanted": live.wanted,
            "why": live.why,
            "stale": bool(self._away),
            "workers": {str(hand.number): hand.serves.get(Role.LIVE) for hand in self._hands.values()},
            "others": {role: found[role].served for role in found if role is not Role.LIVE},
        }
        for hand in self._hands.values():
            if state != self._said or hand.ordered is None:
                hand.order(do="tell", state=state)
        self._said = state

    def _following(self, role: Role) -> Following:
        """How a role's alias stands. Its version counts as served once every worker says so."""
        serving = {hand.serves.get(role) for hand in self._hands.values()}
        before = self._reported.get(role)
        agreed = serving.pop() if len(serving) == 1 else (before.served if before is not None else None)
        wanted, trouble = self._wanted.get(role), self._trouble.get(role)
        if self._away:
            why = self._away
        elif wanted is None:
            why = f"{self._aliases[role]} does not exist (any more)"
        else:
            why = trouble.why if trouble is not None and trouble.version == wanted else ""
        return Following(self._aliases[role], wanted, agreed, why)

    def _end(self) -> None:
        """End the workers: what they have in hand is answered first."""
        for hand in self._hands.values():
            hand.pipe.close()
        last = time.monotonic() + self._plan.limits.answer_seconds + 10.0
        for hand in self._hands.values():
            hand.process.join(max(0.0, last - time.monotonic()))
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
