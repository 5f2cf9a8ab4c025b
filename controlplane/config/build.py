"""A sound job file -> the frozen monitor of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from controlplane.config.forms import (
    BudgetForm,
    CheckForm,
    DefaultsForm,
    FreezeWindowForm,
    GuardsForm,
    JobForm,
    LateLabelsForm,
    RollbackForm,
    ScheduleForm,
)
from controlplane.config.kinds import find, make_params
from controlplane.config.values import cron_of
from controlplane.domain.monitor import (
    Budget,
    CheckSpec,
    Columns,
    Fleet,
    FreezeWindow,
    Guards,
    LateLabels,
    Limit,
    ModelRef,
    Monitor,
    RiskTier,
    Schedule,
    Serving,
    SourceSpec,
    Tolerance,
)


def to_monitor(form: JobForm, data: Mapping[str, Any], name: str, workspace: str, defaults: DefaultsForm) -> Monitor:
    """The monitor a job file describes.

    Options of sources stay as written (`${VAR}`s unexpanded, paths relative), since the monitor is stored; parameters
    of checks are made whole, so that its digest tells when a default changed.
    """
    columns = form.columns.model_dump()
    return Monitor(
        name=name,
        model=ModelRef(form.model.name, form.model.alias),
        source=_source(data["source"]),
        columns=Columns(**{**columns, **{name: tuple(columns[name]) for name in ("features", "ignored")}}),
        schedule=_schedule(form.schedule),
        checks=tuple(_check(check, form.budget is not None) for check in form.checks),
        reference=_source(data["reference"]) if form.reference else None,
        labels=_source(data["labels"]) if form.labels else None,
        late_labels=_late(form.late_labels) if form.late_labels else None,
        budget=_budget(form.budget) if form.budget else None,
        sample_rows=form.sample_rows,
        tolerance=Tolerance(**form.tolerance.model_dump()),
        reaction=form.reaction,
        rollback_targets=tuple(form.rollback_targets),
        guards=_guards(form.guards),
        serving=Serving(form.serving.url, form.serving.within, form.serving.reload) if form.serving else None,
        receivers=tuple(defaults.receivers if form.receivers is None else form.receivers),
        owner=form.owner or defaults.owner,
        risk_tier=form.risk_tier,
        runbook=form.runbook,
        workspace=workspace,
    )


def _source(data: Mapping[str, Any]) -> SourceSpec:
    return SourceSpec(data["kind"], {key: value for key, value in data.items() if key != "kind"})


def _budget(form: BudgetForm) -> Budget:
    return Budget(form.false_pages, form.per, form.min_effect)


def _late(form: LateLabelsForm) -> LateLabels:
    return LateLabels(form.wait, form.coverage, form.known_at)


def to_fleet(form: RollbackForm) -> Fleet:
    """What `system.yaml` says of automatic moves of all aliases."""
    radius = {RiskTier(tier): most for tier, most in form.blast_radius.model_dump().items()}
    return Fleet(form.most_per_hour, radius, _windows(form.freeze_windows))


def _guards(form: GuardsForm) -> Guards:
    return Guards(
        form.cooldown,
        form.approval_expires,
        form.most_moves,
        form.most_moves_per,
        form.on_failure,
        _windows(form.freeze_windows),
    )


def _windows(forms: Sequence[FreezeWindowForm]) -> tuple[FreezeWindow, ...]:
    return tuple(FreezeWindow(form.cron, form.for_, form.why) for form in forms)


def _schedule(form: ScheduleForm) -> Schedule:
    cron, window = form.cron, form.window
    if form.every is not None:
        cron, window = cron_of(form.every), form.every
    assert cron is not None and window is not None
    return Schedule(cron, window, form.delay, form.starts, form.catch_up, form.late_rows)


def _check(form: CheckForm, budgeted: bool) -> CheckSpec:
    check = find("checks", form.check)
    defaults = check.budget_limits if budgeted else check.default_limits
    limits = [Limit(measure, limit.max, limit.min, limit.warn) for measure, limit in form.limits.items()]
    return CheckSpec(
        name=form.name or form.check,
        kind=form.check,
        params=asdict(make_params("checks", form.check, form.params)),
        limits=tuple(sorted(limits or defaults, key=lambda limit: limit.measure)),
        min_rows=form.min_rows,
        timeout=form.timeout.total_seconds(),
        memory=form.memory,
        dry_run=form.dry_run,
    )
