"""One window judged: limits, the page budget, streaks, and the verdict over them. Pure; runs and backtests share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.domain.monitor import Budget, Monitor, Window
from controlplane.domain.verdict import (
    CheckResult,
    DetectorState,
    Finding,
    Measure,
    Outcome,
    Score,
    Verdict,
    accumulate,
    conclude,
    describe,
    judge,
    scores_of,
)
from controlplane.engine.blame import blame
from controlplane.profiles import detector
from controlplane.profiles.detector import EDetector, Name
from controlplane.profiles.promise import Promise

MOST_NAMED = 3
# Evidence grows without end while something is wrong; pictures of it need an end.
SHOWN = 10.0
_Place = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one window came to: findings, the scores it folded, the detector's state after it, and the verdict."""

    findings: tuple[Finding, ...]
    scores: tuple[Score, ...]
    state: DetectorState
    verdict: Verdict


def decide(
    monitor: Monitor,
    window: Window,
    results: Sequence[CheckResult],
    version: str | None,
    promise: Promise | None,
    before: DetectorState,
) -> Judged:
    """Judge one window after those that led to `before`.

    `version` holds the alias, and its rows alone feed the budget; `promise` is what its reference allows (None: it
    bears no blocks). A window that overlaps the last one that a check counted adds no evidence to it: no row is counted
    twice.
    """
    findings = judge(results, monitor)
    scores: tuple[Score, ...] = ()
    state = before
    if monitor.budget is not None:
        own = _own(monitor, results, version)
        after = EDetector.load(before.evidence) if before.evidence else EDetector()
        if promise is not None:
            fresh = [result for result in own if not _overlaps(window, before, result.check)]
            scores = tuple(score for result in fresh for score in result.scores)
            after = detector.accumulate(after, {_name(score): score.value for score in scores}, promise.threshold)
        findings += _judge_evidence(monitor.budget, own, promise, after, window, before)
        if scores:
            until = dict(before.until) | {score.check: window.end.isoformat() for score in scores}
            state = replace(before, evidence=after.dump(), until=until)
    findings = blame(findings, results, monitor)
    streaks = tuple(scores_of(findings))
    state = accumulate(state, streaks)
    return Judged(tuple(findings), (*streaks, *scores), state, conclude(findings, state))


def _own(monitor: Monitor, results: Sequence[CheckResult], version: str | None) -> list[CheckResult]:
    """The results that the evidence comes from: of the version in charge, of checks that are not only tried."""
    tried = {check.name for check in monitor.checks if check.dry_run}
    return [
        result
        for result in results
        if result.version == version and result.scored and not result.early and result.check not in tried
    ]


def _overlaps(window: Window, before: DetectorState, check: str) -> bool:
    return check in before.until and window.start < datetime.fromisoformat(before.until[check])


def _name(score: Score) -> Name:
    return score.check, score.name, score.column, score.side


def _judge_evidence(
    budget: Budget,
    results: Sequence[CheckResult],
    promise: Promise | None,
    after: EDetector,
    window: Window,
    before: DetectorState,
) -> list[Finding]:
    """One finding a check: it fails while its alarm lasts, and says what moved."""
    findings, levels = [], after.levels()
    for result in results:
        if promise is None or not (result.scores or _overlaps(window, before, result.check)):
            why = "no page budget can be kept: " + (result.unscored or "the reference has no blocks to learn from")
            findings.append(Finding(result.check, Outcome.INCONCLUSIVE, why, version=result.version))
            continue
        n = max((measure.n for measure in result.measures), default=0)
        level = min(levels.get(result.check, 0.0), SHOWN * promise.threshold)
        said = f"{level:.2g} of {promise.threshold:.3g}"
        why = f"nothing moved beyond chance (evidence {said}, n={n})"
        if _overlaps(window, before, result.check):
            why = f"the window overlaps the last one counted, so it adds no evidence ({said}, n={n})"
        outcome = None if result.check in after.alarms else Outcome.PASS
        if outcome is None:
            findings.append(_moved(budget, result, promise, after, n))
            why = f"the page is open until what moved is back (evidence {said}, n={n})"
        findings.append(
            Finding(
                result.check,
                outcome,
                why + _short(promise),
                "evidence",
                version=result.version,
                n=n,
                estimate=level,
                limit=promise.threshold,
            )
        )
    return findings


def _moved(budget: Budget, result: CheckResult, promise: Promise, after: EDetector, n: int) -> Finding:
    """What raised the alarm, the largest shift times importance first, in one line."""
    scores = {_name(score): score for score in result.scores}
    ranked: dict[_Place, Measure | None] = {}
    usual: dict[_Place, float | None] = {}
    for name in after.moved:
        score = scores.get(name)
        if score is not None:
            ranked.setdefault(_place(score), _measure_of(result, score))
            usual.setdefault(_place(score), score.usual)
    order = sorted(ranked, key=lambda place: -_weight(ranked[place], usual[place], result.importance))
    said = [_say(ranked[place], place, scores, after) for place in order[:MOST_NAMED]]
    more = f" and {len(order) - MOST_NAMED} more" if len(order) > MOST_NAMED else ""
    lead = ranked[order[0]] if order else None
    past = f"Evidence past {promise.threshold:.3g}, the threshold for {budget}{_short(promise)}"
    return Finding(
        result.check,
        Outcome.FAIL,
        f"{'; '.join(said) or 'not over yet: what moved was not measured in this window'}{more}. {past}",
        lead.name if lead else "",
        lead.column if lead else None,
        lead.segment if lead else None,
        result.version,
        lead.n if lead else n,
        lead.estimate if lead else None,
        lead.low if lead else None,
        lead.high if lead else None,
    )


def _place(score: Score) -> _Place:
    """Measure, column and segment; that of a segment is named for it, such as `accuracy in country=PRT`."""
    segment = score.name.removeprefix(f"{score.measure} in ")
    return score.measure, score.column, None if segment == score.name else segment


def _measure_of(result: CheckResult, score: Score) -> Measure | None:
    for measure in result.measures:
        place = measure.name, measure.column, measure.segment
        if place == _place(score) and measure.version in (None, result.version) and not measure.blind:
            return measure
    return None


def _weight(measure: Measure | None, usual: float | None, importance: Mapping[str, float]) -> float:
    """Shift times importance; a column the model was never asked about weighs as much as the heaviest."""
    if measure is None:
        return 0.0
    if measure.segment is not None and usual is not None:
        return abs(measure.estimate - usual)
    return abs(measure.estimate) * (importance.get(measure.column, 1.0) if measure.column else 1.0)


def _say(measure: Measure | None, place: _Place, scores: Mapping[Name, Score], after: EDetector) -> str:
    moved = [scores[name] for name in after.moved if name in scores]
    mine = [score for score in moved if _place(score) == place]
    words = ", ".join(f"{score.name} {'up' if score.side > 0 else 'down'}" for score in mine)
    usual = next((f", usually {score.usual:.3g}" for score in mine if score.usual is not None), "")
    if measure is None:
        return words + usual if place[2] else f"{place[1] or place[0]}: {words}"
    if measure.column is None:
        return describe(measure) + usual
    return f"{measure.column}: {measure.detail or words} ({describe(measure)})"


def _short(promise: Promise) -> str:
    return f"; {promise.short}" if promise.short else ""
