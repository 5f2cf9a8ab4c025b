"""From measures to a verdict: limits are judged, streaks are folded, and one outcome is concluded. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controlplane.domain.monitor import Limit, Monitor


class Outcome(StrEnum):
    """How a check, or a whole run, ended. Missing data is INCONCLUSIVE, a broken measurement is ERROR; never PASS."""

    PASS = "PASS"
    WARN = "WARN"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    FAIL = "FAIL"


_ORDER = [Outcome.PASS, Outcome.WARN, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL]
BLIND = frozenset({Outcome.INCONCLUSIVE, Outcome.ERROR})
PAIRED = "_vs_previous"
"""Ends the name of a measure that compares two versions on the same rows."""
FLIPS = "negative_flips"
"""Compares them too: the rows that only the other version had right."""


def fold(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst outcome: FAIL > ERROR > INCONCLUSIVE > WARN > PASS. Nothing at all is INCONCLUSIVE.

    >>> fold([Outcome.PASS, Outcome.ERROR, Outcome.INCONCLUSIVE])
    <Outcome.ERROR: 'ERROR'>
    >>> fold([])
    <Outcome.INCONCLUSIVE: 'INCONCLUSIVE'>
    """
    return max(outcomes, key=_ORDER.index, default=Outcome.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number without an opinion: what a check measured, on what, over how many rows, with its interval.

    `low` and `high` bound a 95 % interval in the unit of `estimate`; None where the statistic has none.
    `detail` says in words what moved, for the finding's sentence. `blind` says that the data are too few for this
    measure: its estimate is NaN, and the detail tells what is missing.
    """

    name: str
    estimate: float
    n: int
    low: float | None = None
    high: float | None = None
    column: str | None = None
    segment: str | None = None
    version: str | None = None
    detail: str = ""
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """A number that feeds a detector.

    Without a `side` it is 1 where the check failed (`fail`) or could not see (`blind`), else 0. With one it is
    evidence for the page budget: how far a statistic `name`, of a `column` or of the whole window, lies past what is
    usual, on the side of a rise (+1) or a fall (-1), about standard normal or below while nothing changes. `measure`
    is the measure that shows it to people, `usual` what the statistic is in the reference.
    """

    check: str
    name: str
    value: float
    column: str | None = None
    side: int = 0
    measure: str = ""
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came back from one check's worker for the rows one version answered.

    Exactly one of four: measures, `blind` (too little data: the sentence that says so), `error`, or `seen` (what was
    found in order where nothing is measured, such as the registry). `compared` is the other version that was to be
    measured on the same rows, None where there is none. `scores` is what a `scored` check says to the page budget
    (none: `unscored` tells why), `importance` how much each column weighs in the model's answers. `early` says that
    labels are still waited for: what was measured of those that came is shown, and neither judged nor counted.
    """

    check: str
    version: str | None
    measures: tuple[Measure, ...] = ()
    blind: str = ""
    error: str = ""
    compared: str | None = None
    seen: str = ""
    scored: bool = False
    unscored: str = ""
    scores: tuple[Score, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    early: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A measure, the limit it was held against, the outcome, and a sentence that quotes the numbers.

    `outcome` is None for a measure no limit was set on: stored and shown, but it says nothing of health.
    """

    check: str
    outcome: Outcome | None
    why: str
    measure: str = ""
    column: str | None = None
    segment: str | None = None
    version: str | None = None
    n: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Streak:
    """How many windows in a row a check failed, was blind, and was well."""

    fail: int = 0
    blind: int = 0
    well: int = 0


@dataclass(frozen=True, slots=True)
class DetectorState:
    """What a monitor's detector remembers between windows: one streak a check, and what its page budget remembers.

    `evidence` is in the budget's own format; `until` is for each check the end of the last window whose evidence was
    counted: that of a check that waits for labels lies further back.

    >>> state = accumulate(DetectorState(), [Score("drift", "fail", 1.0), Score("drift", "blind", 0.0)])
    >>> DetectorState.load(state.dump()) == state
    True
    """

    VERSION = "streaks-1 evidence-1"
    streaks: Mapping[str, Streak] = field(default_factory=dict)
    evidence: str = ""
    until: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> str:
        """JSON with sorted keys: the stored payload of format `VERSION`."""
        rows = {check: [s.fail, s.blind, s.well] for check, s in self.streaks.items()}
        return json.dumps({"streaks": rows, "evidence": self.evidence, "until": self.until}, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> DetectorState:
        """The inverse of `dump`."""
        held = json.loads(text)
        streaks = {check: Streak(*numbers) for check, numbers in held["streaks"].items()}
        return cls(streaks, held["evidence"], held["until"])


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """One check's outcome in one run, its leading sentence, and its streak after this window."""

    check: str
    outcome: Outcome
    why: str
    streak: Streak = Streak()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one run concluded: the folded outcome, the sentence behind it, and each check's part in it.

    `still_blind` are checks that could not see when they were last judged, which was not in this run.
    """

    outcome: Outcome
    why: str
    checks: tuple[CheckVerdict, ...] = ()
    still_blind: tuple[str, ...] = ()


def judge(results: Sequence[CheckResult], monitor: Monitor) -> list[Finding]:
    """Hold every measure against its limit; a limit that nothing was measured for is an ERROR.

    Limits hold for the version that answered the rows; what was measured of another version beside it is only shown.
    With an interval, FAIL needs the whole interval past the limit; an estimate alone past it is a WARN, and so is
    one past the limit's `warn`. Without an interval the estimate decides.
    """
    findings: list[Finding] = []
    for result in results:
        spec = next((check for check in monitor.checks if check.name == result.check), None)
        dry_run = spec is not None and spec.dry_run
        if result.error:
            found = [Finding(result.check, Outcome.ERROR, result.error, version=result.version)]
        elif result.early:
            found = _show_early(result, spec.limits if spec else ())
        elif result.blind:
            found = [Finding(result.check, Outcome.INCONCLUSIVE, result.blind, version=result.version)]
        elif result.seen:
            found = [Finding(result.check, Outcome.PASS, result.seen, version=result.version)]
        else:
            found = _judge_measures(result, spec.limits if spec else ())
        findings.extend(replace(finding, dry_run=dry_run) for finding in found)
    return findings


def _show_early(result: CheckResult, limits: Sequence[Limit]) -> list[Finding]:
    """What labels that came early say, without an outcome: whoever is labelled first is no fair sample of the rest."""
    first = Finding(result.check, None, f"waits for labels: {result.early}", version=result.version)
    if result.blind:
        return [first]
    judged = _judge_measures(result, limits)
    return [first, *(replace(one, outcome=None, why=f"early: {one.why}") for one in judged if one.n)]


def _judge_measures(result: CheckResult, limits: Sequence[Limit]) -> list[Finding]:
    by_measure = {limit.measure: limit for limit in limits}
    own = {None, result.version}
    findings = [
        _judge_measure(result.check, measure, by_measure.get(measure.name) if measure.version in own else None)
        for measure in result.measures
    ]
    measured = {measure.name for measure in result.measures if measure.version in own}
    for limit in limits:
        if limit.measure in measured:
            continue
        if (limit.measure.endswith(PAIRED) or limit.measure == FLIPS) and result.compared is None:
            outcome, why = None, f"{limit.measure} has a limit, but there is no earlier version to compare with"
        else:
            outcome, why = Outcome.ERROR, f"{limit.measure} has a limit but was not measured in this window"
        findings.append(Finding(result.check, outcome, why, limit.measure, version=result.version))
    return findings


def _judge_measure(check: str, measure: Measure, limit: Limit | None) -> Finding:
    said = describe(measure)
    outcome: Outcome | None
    bound = None
    low, high = (None if side is None or math.isnan(side) else side for side in (measure.low, measure.high))
    where = measure.column or "the window"
    if measure.blind:
        outcome, why = None if limit is None else Outcome.INCONCLUSIVE, f"{measure.name}: {measure.detail}"
    elif not math.isfinite(measure.estimate):
        outcome, why = Outcome.ERROR, f"{measure.name} of {where} is not a finite number"
        why += f": {measure.detail}" if measure.detail else ""
    elif (low, high) != (measure.low, measure.high):
        outcome, why = Outcome.ERROR, f"the interval of {measure.name} of {where} is not made of numbers"
    elif limit is None:
        outcome, why = None, f"{said}: {measure.detail}" if measure.detail else said
    else:
        bound = limit.max if limit.max is not None else limit.min
        assert bound is not None
        side, word = (1.0, "above max") if limit.max is not None else (-1.0, "below min")
        near = low if limit.max is not None else high
        if side * (measure.estimate - bound) > 0:
            certain = near is None or side * (near - bound) > 0
            outcome = Outcome.FAIL if certain else Outcome.WARN
            why = f"{said} is {word} {bound:g}" + ("" if certain else ", but its interval still holds the limit")
        elif limit.warn is not None and side * (measure.estimate - limit.warn) > 0:
            outcome, why = Outcome.WARN, f"{said} is past the warning {limit.warn:g} ({word} {bound:g} would fail)"
        else:
            outcome, why = Outcome.PASS, f"{said} is within {'max' if side > 0 else 'min'} {bound:g}"
        if measure.detail and outcome is not Outcome.PASS:
            why = f"{why}: {measure.detail}"
    return Finding(
        check,
        outcome,
        why,
        measure.name,
        measure.column,
        measure.segment,
        measure.version,
        measure.n,
        measure.estimate if math.isfinite(measure.estimate) else None,
        low,
        high,
        bound,
    )


def describe(measure: Measure) -> str:
    """The measure in words, with its interval and its n.

    >>> describe(Measure("accuracy", 0.7123, 812, 0.681, 0.741))
    'accuracy 0.712 (0.681 to 0.741, n=812)'
    >>> describe(Measure("ks", 0.25, 500, column="age"))
    'ks of age 0.25 (n=500)'
    """
    where = f" of {measure.column}" if measure.column else ""
    where += f" in {measure.segment}" if measure.segment else ""
    interval = "" if measure.low is None or measure.high is None else f"{measure.low:.3g} to {measure.high:.3g}, "
    return f"{measure.name}{where} {measure.estimate:.3g} ({interval}n={measure.n})"


def by_check(findings: Iterable[Finding]) -> dict[str, tuple[Outcome, str]]:
    """Each check's outcome and leading sentence; dry-run findings and measures without a limit are left out.

    Where a window holds rows of several versions, a version with too few rows does not blind the check:
    INCONCLUSIVE counts only when nothing else of that check could be judged.
    """
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.outcome is not None and not finding.dry_run:
            grouped.setdefault(finding.check, []).append(finding)
    verdicts: dict[str, tuple[Outcome, str]] = {}
    for check, rows in grouped.items():
        seen = [row for row in rows if row.outcome is not Outcome.INCONCLUSIVE] or rows
        outcome = fold(row.outcome for row in seen if row.outcome is not None)
        worst = [row for row in seen if row.outcome is outcome]
        # The farthest past a limit leads a failure; the nearest to one says most of a success.
        leading = (min if outcome is Outcome.PASS else max)(worst, key=_distance)
        more = f" (and {len(worst) - 1} more)" if len(worst) > 1 and outcome is not Outcome.PASS else ""
        verdicts[check] = (outcome, leading.why + more)
    return verdicts


def _distance(finding: Finding) -> float:
    """From the limit, in units of it."""
    if finding.estimate is None or finding.limit is None:
        return 0.0
    return abs(finding.estimate - finding.limit) / (abs(finding.limit) or 1.0)


def scores_of(findings: Iterable[Finding]) -> list[Score]:
    """The scores one window hands to the detector: for each check whether it failed and whether it was blind."""
    scores = []
    for check, (outcome, _) in by_check(findings).items():
        scores.append(Score(check, "fail", float(outcome is Outcome.FAIL)))
        scores.append(Score(check, "blind", float(outcome in BLIND)))
    return scores


def accumulate(state: DetectorState, scores: Iterable[Score]) -> DetectorState:
    """Fold one window's scores into the streaks; folding the stored scores again gives the same streaks.

    A blind window neither lengthens nor ends a run of failures: what could not be seen proves nothing.
    """
    values: dict[str, dict[str, float]] = {}
    for score in scores:
        if score.side:
            continue
        values.setdefault(score.check, {})[score.name] = score.value
    streaks = dict(state.streaks)
    for check, value in values.items():
        old = streaks.get(check, Streak())
        if value["fail"]:
            streaks[check] = Streak(fail=old.fail + 1)
        elif value["blind"]:
            streaks[check] = Streak(fail=old.fail, blind=old.blind + 1)
        else:
            streaks[check] = Streak(well=old.well + 1)
    return replace(state, streaks=streaks)


def conclude(findings: Sequence[Finding], state: DetectorState) -> Verdict:
    """The run's verdict: each check's outcome with its streak, folded into one."""
    checks = tuple(
        CheckVerdict(check, outcome, why, state.streaks.get(check, Streak()))
        for check, (outcome, why) in by_check(findings).items()
    )
    outcome = fold(check.outcome for check in checks)
    said = [f"{check.check}: {check.why}" for check in checks if check.outcome is outcome]
    if outcome is Outcome.PASS:
        why = f"{len(checks)} checks within their limits"
    else:
        why = "; ".join(said) or "no check could be judged"
    judged = {check.check for check in checks}
    still_blind = tuple(check for check, streak in state.streaks.items() if streak.blind and check not in judged)
    return Verdict(outcome, why, checks, still_blind)
