"""What a failing window calls for, and what a reaction would have done over windows that are replayed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controlplane import ports
from controlplane.domain.action import Accepted, Past, Plan, Proof, Refusal, Refused, accept, plan_rollback
from controlplane.domain.attribution import Attribution, attribute
from controlplane.domain.guards import Known, Move, Wish, guard
from controlplane.domain.incident import Incident
from controlplane.domain.monitor import Fleet, Monitor, Reaction, Window
from controlplane.domain.verdict import Finding, Outcome

Prove = Callable[[Plan], Sequence[Proof]]


class Would(StrEnum):
    """What would have come of a plan."""

    ROLL_BACK = "roll back"
    PROPOSE = "propose"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure of the failing version and of one target on the same rows, and whose fault it says the fall is.

    `difference` is the failing version's value minus the target's, `low` to `high` its 95 % interval.
    """

    version: str
    measure: str
    current: float
    candidate: float
    difference: float
    low: float
    high: float
    n: int
    attribution: Attribution


@dataclass(frozen=True, slots=True)
class Response:
    """What the reaction would have done about a page: what was planned, what the proof said, and what came of it.

    `page` numbers the page, `code` says in one word why it would have been refused. A refusal that is given again for
    the same page is one response; `windows` counts those that called for it, `until` is the end of the last one.
    """

    number: int
    page: int
    window: Window
    at: datetime
    would: Would
    why: str
    from_version: str | None
    to_version: str | None = None
    targets: tuple[str, ...] = ()
    check: str = ""
    measures: tuple[str, ...] = ()
    planned: str = ""
    proof: tuple[Compared, ...] = ()
    code: Refusal | None = None
    windows: int = 1
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a reaction would have done over all windows, and how often; `unknown` counts the windows after a rollback
    that nobody made."""

    reaction: Reaction
    responses: tuple[Response, ...]
    counts: Mapping[Would, int]
    unknown: int


def replayable(monitor: Monitor) -> dict[str, bool]:
    """For each check whether its measures depend on the model's version at all."""
    return {check.name: bool(ports.load("checks", check.kind).replayable) for check in monitor.checks}


def asks(monitor: Monitor, plan: Plan) -> bool:
    """Whether a person is asked before this rollback is made."""
    return plan.needs_approval or monitor.reaction is Reaction.PROPOSE


def called_for(
    monitor: Monitor,
    findings: Sequence[Finding],
    causes: Collection[str],
    version: str | None,
    earlier: Sequence[str],
    past: Past,
    hold: Callable[[bool], Refused | None],
) -> tuple[str, Plan | Refused] | None:
    """The one of the open `causes` that a window's failures speak to, and the rollback or refusal they call for.

    `hold` says why the guards hold any move of the alias back just now, given whether a person is going to be asked.
    """
    failing = [
        finding
        for finding in findings
        if finding.outcome is Outcome.FAIL and not finding.dry_run and finding.check in causes
    ]
    planned = plan_rollback(version, earlier, failing, replayable(monitor), past, monitor.reaction)
    if planned is None:
        return None
    if isinstance(planned, Refused):
        return failing[0].check, planned
    # A proposal is there for a person to decide, whose word counts for more than what holds automatic moves back.
    return planned.check, hold(asks(monitor, planned)) or planned


class Rehearsal:
    """A reaction met by one window after the other. Nothing is moved: what it would have moved, it remembers.

    After a rollback that it would have made, the rows still come from the version that really held the alias, so the
    windows until somebody really moves the alias tell nothing of it and are passed over. A proposal is taken to be
    answered by nobody, and to run out. `known` says what the guards knew at a moment, of what was really done.
    """

    def __init__(self, monitor: Monitor, fleet: Fleet, known: Callable[[datetime], Known]) -> None:
        self._monitor, self._fleet, self._really = monitor, fleet, known
        self._responses: list[Response] = []
        self._last: dict[int, int] = {}
        self._moves: list[Move] = []
        self._left: int | None = None
        self._waits: datetime | None = None
        self._unknown = 0

    def meet(
        self,
        window: Window,
        at: datetime,
        findings: Sequence[Finding],
        pages: Mapping[str, Incident],
        version: str,
        tenure: int,
        earlier: Sequence[str],
        prove: Prove,
    ) -> Response | None:
        """What the reaction would do at `at` about one window; None where that is nothing new.

        `pages` are those open after the window, by cause, their ids being their numbers; `tenure` numbers the holding
        of the alias by `version`, `earlier` are the possible targets, best first.
        """
        if self._left == tenure:
            self._unknown += 1
            return None
        self._left = None
        called = called_for(
            self._monitor,
            findings,
            pages,
            version,
            earlier,
            self._past(pages),
            lambda person: self._hold(at, version, None, person),
        )
        if called is None or (self._waits is not None and at < self._waits):
            return None
        cause, planned = called
        response = Response(0, int(pages[cause].id), window, at, Would.REFUSE, planned.why, version, until=window.end)
        if isinstance(planned, Refused):
            return self._refuse(response, planned)
        response = replace(
            response, targets=planned.targets, check=planned.check, measures=planned.measures, planned=planned.why
        )
        proofs = prove(planned)
        accepted = accept(planned, proofs)
        response = replace(response, proof=_compared(planned, proofs))
        person = asks(self._monitor, planned)
        if isinstance(accepted, Accepted):
            accepted = self._hold(at, version, accepted.version, person) or accepted
        if isinstance(accepted, Refused):
            return self._refuse(response, accepted)
        response = replace(response, to_version=accepted.version, why=accepted.why)
        if person:
            self._waits = at + self._monitor.guards.approval_expires
            return self._add(replace(response, would=Would.PROPOSE))
        self._moves.append(Move(version, accepted.version, at, ours=True))
        self._left = tenure
        return self._add(replace(response, would=Would.ROLL_BACK))

    def end(self) -> Policy:
        """Everything it would have done."""
        counts = {would: sum(one.would is would for one in self._responses) for would in Would}
        return Policy(self._monitor.reaction, tuple(self._responses), counts, self._unknown)

    def _past(self, pages: Mapping[str, Incident]) -> Past:
        proves = replayable(self._monitor)
        failing = {page.version for cause, page in pages.items() if proves.get(cause) and page.version is not None}
        return Past({move.from_version for move in self._moves}, failing)

    def _hold(self, at: datetime, version: str, to: str | None, person: bool) -> Refused | None:
        wish = Wish(self._monitor.name, self._monitor.risk_tier, version, to, person)
        return guard(wish, self._monitor.guards, self._fleet, self._known(at), at)

    def _known(self, at: datetime) -> Known:
        """What was really done until then, and what would have been; what is both is counted once."""
        known = self._really(at)
        moves, made = list(known.moves), list(known.made)
        for would in self._moves:
            same = (move for move in moves if move.at >= would.at and _ends(move) == _ends(would))
            really = next(same, None)
            if really is not None:
                moves.remove(really)
                made = [moment for moment in made if moment != really.at]
        moves = sorted([*moves, *self._moves], key=lambda move: move.at)
        return replace(known, moves=moves, made=[*made, *(move.at for move in self._moves)])

    def _refuse(self, response: Response, refused: Refused) -> Response | None:
        last = self._last.get(response.page)
        if last is not None:
            before = self._responses[last]
            if (before.code, before.targets) == (refused.code, response.targets):
                self._responses[last] = replace(before, windows=before.windows + 1, until=response.until)
                return None
        return self._add(replace(response, code=refused.code, why=refused.why))

    def _add(self, response: Response) -> Response:
        response = replace(response, number=len(self._responses) + 1)
        self._last[response.page] = len(self._responses)
        self._responses.append(response)
        return response


def _ends(move: Move) -> tuple[str, str]:
    return move.from_version, move.to_version


def _compared(plan: Plan, proofs: Sequence[Proof]) -> tuple[Compared, ...]:
    among = sum(len(proof.replays) for proof in proofs)
    return tuple(
        Compared(
            proof.version,
            replay.measure,
            replay.current,
            replay.candidate,
            replay.difference,
            replay.low,
            replay.high,
            replay.n,
            attribute(replay, plan.from_version, proof.version, among).attribution,
        )
        for proof in proofs
        for replay in proof.replays
    )
