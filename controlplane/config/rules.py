"""What the parts of a job file must be to each other. Reads plain data, so that one mistake hides no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from controlplane.config.kinds import check_options, find
from controlplane.config.lines import Loc, Wrong
from controlplane.config.report import Report
from controlplane.ports import Need, names, suggest

RESERVED = ("source", "registry", "reference", "labels", "blind")


def check_checks(report: Report, data: Mapping[str, Any]) -> None:
    """Each check must be known, named once, take its parameters, and limit what it measures."""
    checks = data.get("checks")
    seen: dict[str, int] = {}
    for index, item in enumerate(checks if isinstance(checks, list) else []):
        if not isinstance(item, Mapping) or not isinstance(item.get("check"), str):
            continue
        loc: Loc = ("checks", index)
        given = item.get("name", item["check"])
        name = given if isinstance(given, str) else ""
        if name in RESERVED:
            report.add((*loc, "name"), f"the name {name!r} is taken by the product", "give the check another 'name'")
        elif name in seen:
            report.add((*loc, "name"), f"two checks are named {name!r}", f"give item {index + 1} another 'name'")
        elif name:
            seen[name] = index
        try:
            check = find("checks", item["check"])
        except Wrong as wrong:
            report.add_wrong((*loc, "check"), wrong)
            continue
        params = item.get("params", {})
        if isinstance(params, Mapping):
            check_options(report, (*loc, "params"), check.Params, params)
        _check_limits(report, loc, item, check)
        _check_needs(report, loc, data, item["check"], check.needs)


def _check_limits(report: Report, loc: Loc, item: Mapping[str, Any], check: Any) -> None:
    limits = item.get("limits")
    if "limits" not in item and not check.default_limits:
        report.add((*loc, "check"), f"{item['check']} has no limits of its own", "give 'limits'")
    for measure in limits if isinstance(limits, Mapping) else []:
        if measure not in check.measures:
            wrong = f"{item['check']} does not measure {measure!r}"
            report.add((*loc, "limits", measure), wrong, suggest(measure, list(check.measures)))


def _check_needs(report: Report, loc: Loc, data: Mapping[str, Any], kind: str, needs: Collection[Need]) -> None:
    columns = data.get("columns")
    if Need.REFERENCE in needs and "reference" not in data:
        report.add((*loc, "check"), f"{kind} needs a reference", "say where its rows are under 'reference'")
    if Need.LABELS in needs and isinstance(columns, Mapping) and "label" not in columns:
        report.add((*loc, "check"), f"{kind} needs labels", "name their column as 'label' under 'columns'")
    if Need.REQUESTS in needs and isinstance(columns, Mapping) and "status" not in columns:
        report.add((*loc, "check"), f"{kind} needs requests", "name the column of their 'status' under 'columns'")


def check_columns(report: Report, data: Mapping[str, Any]) -> None:
    """A column that is no input is none of the features, and has no other part."""
    columns = data.get("columns")
    ignored = columns.get("ignored") if isinstance(columns, Mapping) else None
    if not isinstance(columns, Mapping) or not isinstance(ignored, list):
        return
    for index, name in enumerate(ignored):
        parts = [part for part, given in columns.items() if part != "ignored" and _names(given, name)]
        if parts:
            wrong = f"column {name!r} is ignored, and also named as {parts[0]}"
            report.add(("columns", "ignored", index), wrong, "name it once")


def _names(given: Any, name: Any) -> bool:
    return name in given if isinstance(given, list) else given == name


def check_budget(report: Report, data: Mapping[str, Any]) -> None:
    """A page budget needs a reference to learn from, and a check that hands in evidence."""
    if "budget" not in data:
        return
    if "reference" not in data:
        report.add(("budget",), "a page budget needs a reference", "say where its rows are under 'reference'")
    checks = data.get("checks")
    given = [item.get("check") for item in checks if isinstance(item, Mapping)] if isinstance(checks, list) else []
    kinds = [str(kind) for kind in given]
    known = {name: find("checks", name) for name in names("checks")}
    scoring = [name for name, check in known.items() if check.scored]
    if kinds and all(kind in known for kind in kinds) and not any(kind in scoring for kind in kinds):
        valid = f"add one of: {', '.join(scoring)}"
        report.add(("budget",), f"{', '.join(kinds)} give no evidence to a page budget", valid)


def check_labels(report: Report, data: Mapping[str, Any]) -> None:
    """Labels from a source of their own can only be joined by row id, and only those can be waited for."""
    columns = data.get("columns")
    if "late_labels" in data and "labels" not in data:
        report.add(("late_labels",), "labels that come late need a source of their own", "say where under 'labels'")
    if "labels" not in data or not isinstance(columns, Mapping):
        return
    for part in ("row_id", "label"):
        if part not in columns:
            report.add(
                ("columns", part), f"missing key {part!r} in columns", "labels of their own are joined by row_id"
            )


def check_receivers(report: Report, named: Any, loc: Loc, known: Collection[str]) -> None:
    """Each receiver must exist, and be named once."""
    for index, name in enumerate(named if isinstance(named, list) else []):
        if isinstance(name, str) and name not in known:
            report.add((*loc, index), f"unknown receiver {name!r}", suggest(name, sorted(known)))
        elif name in named[:index]:
            report.add((*loc, index), f"receiver {name!r} is named twice", "once is enough")
