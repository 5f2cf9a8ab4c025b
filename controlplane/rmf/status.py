"""What the evidence says of each subcategory. Pure: fresh, stale or missing, and never more than that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.domain.evidence import Evidence
from controlplane.domain.verdict import Outcome
from controlplane.rmf.catalogue import Mode, Subcategory
from controlplane.rmf.words import kind_list, kind_words, moment, span

SILENCED = "silenced"
_SHOWS_NOTHING = frozenset({Outcome.ERROR.casefold(), Outcome.INCONCLUSIVE.casefold(), SILENCED})
_NAMED = 3
_WORST_LAST = [Outcome.PASS, Outcome.WARN, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL]


class Status(StrEnum):
    """How far live evidence reaches for one subcategory; it is not a grade of the watched system."""

    SUPPORTED = "supported"
    PARTLY = "partly"
    EXPIRED = "expired"
    GAP = "gap"
    NOT_ASSESSED = "not_assessed"


class Standing(StrEnum):
    """What one record is worth to one subcategory today: `blind` is fresh, but ended without measuring anything."""

    FRESH = "fresh"
    STALE = "stale"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Row:
    """One subcategory with the newest record of each kind and subject behind it, and one sentence that says why.

    `standings` goes with `evidence`, one each; `missing` are the kinds without any record; `age` is that of the
    newest record.
    """

    subcategory: Subcategory
    status: Status
    evidence: tuple[Evidence, ...]
    standings: tuple[Standing, ...]
    missing: tuple[str, ...]
    age: timedelta | None
    why: str


def newest(evidence: Iterable[Evidence], now: datetime) -> tuple[Evidence, ...]:
    """The newest record of each kind and subject as of `now`, in a stable order; older ones are superseded.

    Of two collected at the same moment the worse outcome stays, so that a good one never hides a bad one.
    """
    latest: dict[tuple[str, str], Evidence] = {}
    for record in evidence:
        held = latest.get((record.kind, record.subject))
        if record.collected <= now and (held is None or _supersedes(record, held)):
            latest[record.kind, record.subject] = record
    return tuple(latest[key] for key in sorted(latest))


def _supersedes(record: Evidence, held: Evidence) -> bool:
    if record.collected != held.collected:
        return record.collected > held.collected
    return (_badness(record), record.digest) > (_badness(held), held.digest)


def _badness(record: Evidence) -> int:
    return _WORST_LAST.index(Outcome(record.outcome)) if record.outcome in _WORST_LAST else 0


def standing(record: Evidence, now: datetime, max_age: timedelta | None = None) -> Standing:
    """What a record is worth at `now`: stale once it expired or is older than `max_age`, blind if it shows nothing."""
    if now >= record.expires or (max_age is not None and now - record.collected > max_age):
        return Standing.STALE
    if record.kind != "silence_override" and record.outcome.casefold() in _SHOWS_NOTHING:
        return Standing.BLIND
    return Standing.FRESH


def assess(
    subcategories: Sequence[Subcategory], evidence: Iterable[Evidence], produced: Collection[str], now: datetime
) -> tuple[Row, ...]:
    """One row for every subcategory. `produced` are the kinds this installation can record at all.

    Machine evidence alone supports a subcategory only where its mode is automatic and every kind it lists is fresh
    for every subject; a mixed one is partly evidenced at best, and an attested one is not assessed.
    """
    records = newest(evidence, now)
    return tuple(_row(subcategory, records, produced, now) for subcategory in subcategories)


def _row(sub: Subcategory, records: Sequence[Evidence], produced: Collection[str], now: datetime) -> Row:
    mine = tuple(record for kind in sub.machine_kinds for record in records if record.kind == kind)
    standings = tuple(standing(record, now, sub.max_age) for record in mine)
    status, why = _judge(sub, tuple(zip(mine, standings, strict=True)), produced, now)
    held = {record.kind for record in mine}
    missing = tuple(kind for kind in sub.evidence if kind not in held)
    age = min((now - record.collected for record in mine), default=None)
    return Row(sub, status, mine, standings, missing, age, why)


def _judge(
    sub: Subcategory, held: Sequence[tuple[Evidence, Standing]], produced: Collection[str], now: datetime
) -> tuple[Status, str]:
    kinds = sub.machine_kinds
    if sub.mode is Mode.ATTESTED:
        beside = "; machine records stand beside it, and prove nothing by themselves" if held else ""
        return Status.NOT_ASSESSED, f"Rests on a person's statement, and none is claimed here{beside}."
    fresh = [record for record, worth in held if worth is Standing.FRESH]
    stale = [record for record, worth in held if worth is Standing.STALE]
    blind = [record for record, worth in held if worth is Standing.BLIND]
    if fresh:
        covered = [kind for kind in kinds if any(record.kind == kind for record in fresh)]
        said = f"{len(covered)} of {len(kinds)} machine kinds fresh: {kind_list(covered)}"
        said += _named("ended FAIL", [record for record in fresh if record.outcome == Outcome.FAIL])
        said += _named("stale", stale) + _named("could not be measured", blind)
        if sub.mode is Mode.MIXED:
            return Status.PARTLY, f"{said}. The human half is not attested here."
        whole = len(covered) == len(kinds) and not stale and not blind
        return Status.SUPPORTED if whole else Status.PARTLY, f"{said}."
    if stale:
        last = max(stale, key=lambda record: record.collected)
        return Status.EXPIRED, f"{_why_stale(last, now)}{_named('could not be measured', blind)}."
    if blind:
        return Status.GAP, f"The newest records show nothing{_named('could not be measured', blind)}."
    expected = [kind for kind in kinds if kind in produced]
    if expected:
        return Status.GAP, f"Could be recorded here, but no record exists: {kind_list(expected)}."
    return Status.NOT_ASSESSED, "Nothing recorded here speaks to it."


def _named(word: str, records: Sequence[Evidence]) -> str:
    if not records:
        return ""
    names = [f"{kind_words(record.kind)} ({record.subject})" for record in records]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; {word}: {', '.join(names[:_NAMED])}{more}"


def _why_stale(record: Evidence, now: datetime) -> str:
    what = f"The newest record, {kind_words(record.kind)} ({record.subject}),"
    if now >= record.expires:
        return f"{what} expired on {moment(record.expires)}"
    return f"{what} is {span(now - record.collected)} old, more than this row accepts"
