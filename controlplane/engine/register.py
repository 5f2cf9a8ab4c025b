"""Registering: the monitors as configured, kept by digest, with the evidence that a plan, owners and limits exist."""

from __future__ import annotations

from controlplane.domain.evidence import Evidence
from controlplane.domain.monitor import Monitor
from controlplane.engine.context import Context
from controlplane.engine.transitions import EVIDENCE_KEPT
from controlplane.store import records


def register(context: Context) -> None:
    """Store every monitor whose configuration is new or changed."""
    now = context.now()
    with context.store.begin() as session:
        for monitor in context.monitors.values():
            if records.store_monitor(session, monitor, now):
                plans = _evidence(monitor)
                rows = [
                    Evidence(
                        kind,
                        monitor.name,
                        f"config:{monitor.digest[:12]}",
                        "STORED",
                        summary,
                        now,
                        now + EVIDENCE_KEPT,
                    )
                    for kind, summary in plans.items()
                ]
                records.store_evidence(session, context.workspace, rows)
    context.observe("registered")


def _evidence(monitor: Monitor) -> dict[str, str]:
    checks = ", ".join(check.name for check in monitor.checks)
    limits = [
        f"{check.name}.{limit.measure} {'max' if limit.max is not None else 'min'} "
        f"{limit.max if limit.max is not None else limit.min:g}"
        for check in monitor.checks
        for limit in check.limits
    ]
    if monitor.budget is not None:
        limits.insert(0, f"page budget of {monitor.budget}")
    rows = {
        "monitor_plan": f"{monitor.model} is watched by {checks}, every window of {monitor.schedule.window}",
        "policy_version": f"configuration {monitor.digest[:12]}, reaction {monitor.reaction}",
        "threshold_trace": "; ".join(limits),
    }
    if monitor.owner:
        rows["role_assignment"] = f"{monitor.owner} owns the monitor; risk tier {monitor.risk_tier}"
    return rows
