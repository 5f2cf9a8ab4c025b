"""The proof of a rollback: the failing measure again, with every target, paired on the same frozen rows."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane import ports
from controlplane.domain.action import Plan, Proof, Refusal, Refused
from controlplane.domain.attribution import behind, compare
from controlplane.domain.monitor import CheckSpec, Monitor, Window
from controlplane.engine import references, versions
from controlplane.engine.context import Context
from controlplane.engine.freeze import Frozen
from controlplane.engine.look import task_of
from controlplane.engine.measure import measure
from controlplane.workers import Result, Task


def prove(
    context: Context,
    monitor: Monitor,
    plan: Plan,
    window: Window,
    seed: int,
    part: Frozen,
    barred: Mapping[str, Refused] | None = None,
) -> tuple[Proof, ...]:
    """Each target's replay on the rows of `part`, which the failing version answered, or why it is not safe.

    Everything that stands in the way of a proof is a refusal of its target; nothing is raised but the registry's own.
    `barred` are the targets that are not safe, where that is known already.
    """
    spec = next((check for check in monitor.checks if check.name == plan.check), None)
    if spec is None:
        why = f"the job of {monitor.name} has no check {plan.check!r} any more"
        return tuple(Proof(version, unsafe=Refused(Refusal.NOT_MEASURED, why)) for version in plan.targets)
    if barred is None:
        barred, _ = versions.unsafe(context, monitor, plan.from_version, plan.targets)
    safe = [version for version in plan.targets if version not in barred]
    reference = references.find(context, monitor, part.version)
    tasks = [
        task_of(context, monitor, window, seed, part, spec, [version], reference, required=True) for version in safe
    ]
    done = context.workers.measure_all([Task(measure, (task,), spec.timeout, spec.memory) for task in tasks])
    proofs = {version: _proof(plan, spec, version, result) for version, result in zip(safe, done, strict=True)}
    return tuple(proofs.get(version) or Proof(version, unsafe=barred[version]) for version in plan.targets)


def _proof(plan: Plan, spec: CheckSpec, version: str, result: Result) -> Proof:
    """What one target's worker brought back."""
    if result.error or result.blind:
        why = f"the replay with version {version} failed: {result.error or result.blind}"
        return Proof(version, unsafe=Refused(Refusal.NOT_MEASURED, why))
    specs = ports.load("checks", spec.kind).measures
    worse = {name: specs[name].higher_is_worse for name in map(behind, plan.measures) if name in specs}
    replays = compare(result.value.measures, plan.measures, plan.from_version, worse)
    if replays:
        return Proof(version, tuple(replays))
    # Where the candidate could not answer, the check says why beside its own measures.
    said = "; ".join(dict.fromkeys(one.detail for one in result.value.measures if one.detail))
    if not said:
        return Proof(version)
    return Proof(version, unsafe=Refused(Refusal.NOT_MEASURED, f"the replay with version {version} failed: {said}"))
