"""A failure that another version could undo says at once whose fault it is: the version's or the world's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controlplane import ports
from controlplane.domain.attribution import attribute, behind, compare
from controlplane.domain.monitor import Monitor
from controlplane.domain.verdict import CheckResult, Finding, Outcome


def blame(findings: Sequence[Finding], results: Sequence[CheckResult], monitor: Monitor) -> list[Finding]:
    """The findings, with an attribution at the end of each failure that both versions were measured for.

    It is what a replay on the same rows would find, unless the version to go back to is another one.
    """
    said: dict[tuple[str, str | None, str], str] = {}
    kinds = {check.name: check.kind for check in monitor.checks}
    for result in results:
        check = ports.load("checks", kinds[result.check]) if result.check in kinds else None
        if check is None or not check.replayable or result.compared is None or result.version is None:
            continue
        failed = [one.measure for one in findings if _whole(one) and _of(one) == (result.check, result.version)]
        specs = check.measures
        worse = {name: specs[name].higher_is_worse for name in map(behind, failed) if name in specs}
        replays = compare(result.measures, failed, result.version, worse)
        for replay in replays:
            found = attribute(replay, result.version, result.compared, len(replays))
            said[result.check, result.version, replay.measure] = found.why
    return [
        replace(finding, why=f"{finding.why}. {said[(*_of(finding), behind(finding.measure))]}")
        if _whole(finding) and (*_of(finding), behind(finding.measure)) in said
        else finding
        for finding in findings
    ]


def _whole(finding: Finding) -> bool:
    """Whether it is a failure of the window as a whole: comparisons of one column or segment are not made."""
    return finding.outcome is Outcome.FAIL and finding.column is None and finding.segment is None


def _of(finding: Finding) -> tuple[str, str | None]:
    return finding.check, finding.version
