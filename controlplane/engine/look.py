"""Looking: which version answered, the rows it answered, and every check's measures. Only reads the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane import ports
from controlplane.domain.alias import Holding, spans
from controlplane.domain.monitor import CheckSpec, Monitor, Window
from controlplane.domain.verdict import CheckResult
from controlplane.engine import late, references
from controlplane.engine.context import Context
from controlplane.engine.freeze import Frozen, freeze
from controlplane.engine.late_rows import More
from controlplane.engine.measure import CheckTask, Measured, ModelPlace, measure
from controlplane.errors import ConfigError, ControlPlaneError, RegistryError, SourceError
from controlplane.profiles import Reference
from controlplane.profiles.promise import Promise
from controlplane.store import records
from controlplane.store.runs import Part
from controlplane.store.tables import ReferenceRow
from controlplane.workers import Result, Task

REGISTRY, SOURCE = "registry", "source"


@dataclass(frozen=True, slots=True)
class Tenure:
    """Whose detector a window feeds: a version, the number of its holding of the alias, and its reference."""

    version: str = "unknown"
    number: int = 0
    reference_digest: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What one window showed: results by check and version, the frozen parts, who holds the alias, what its reference
    promises of the page budget, whether labels are still waited for, and how many rows the source gave (None: it was
    not asked)."""

    results: tuple[CheckResult, ...]
    tenure: Tenure
    version: str | None = None
    parts: tuple[Part, ...] = ()
    promise: Promise | None = None
    awaits_labels: bool = False
    n_read: int | None = None


def look(context: Context, monitor: Monitor, window: Window, seed: int, more: More | None = None) -> Look:
    """Measure one window. Whatever goes wrong outside becomes the ERROR or INCONCLUSIVE of what could not be seen.

    `more` says that it was recorded before, without a row.
    """
    try:
        version, number = see(context, monitor)
    except RegistryError as error:
        return Look((CheckResult(REGISTRY, None, error=str(error)),), _last_tenure(context, monitor))
    context.observe("resolved")
    queue = late.queue(context, monitor, window)
    return look_at(context, monitor, window, seed, version, number, _holdings(context, monitor), queue, more)


def look_at(
    context: Context,
    monitor: Monitor,
    window: Window,
    seed: int,
    version: str,
    number: int,
    held: Sequence[Holding],
    held_up: str | None = "",
    more: More | None = None,
) -> Look:
    """Measure one window as it is while `version` holds the alias, in its holding number `number` of those `held`.

    `held_up` says why it must wait for labels even where its own are here (None: it waits no more), `more` that it was
    measured before, on fewer rows.
    """
    holds = CheckResult(REGISTRY, version, seen=f"{monitor.model} holds version {version}")
    rows = {version: references.find(context, monitor, version)}
    tenure = Tenure(version, number, _digest(rows[version]) or "")
    try:
        parts, unknown = _freeze(context, monitor, window, seed, rows, held, more)
    except (SourceError, ConfigError) as error:
        return Look((holds, CheckResult(SOURCE, None, error=str(error))), tenure, version, n_read=0)
    context.observe("frozen")
    if not parts:
        said = f"no rows from {window}" + (f"; {unknown} rows of unknown version" if unknown else "")
        return Look((holds, CheckResult(SOURCE, None, blind=said)), tenure, version, n_read=unknown)
    early = "" if held_up is None else late.early(monitor, window, parts, context.now(), held_up)
    results = _measure(context, monitor, monitor.checks, window, seed, parts, rows, held[: number + 1], early)
    context.observe("measured")
    total, failed = sum(part.n_rows for part in parts), sum(part.failed for part in parts)
    n_read = total + failed + unknown
    said = f"{total} rows in the window" + (f"; {failed} more of requests that failed" if failed else "")
    said += "" if more is None else more.told(n_read)
    seen = CheckResult(SOURCE, None, seen=said)
    told = late.told(monitor, window, parts, context.now())
    return Look(
        (holds, seen, *told, *results),
        tenure,
        version,
        _stored(parts, rows),
        references.promise_of(rows[version]),
        bool(early),
        n_read,
    )


def look_late(context: Context, monitor: Monitor, window: Window, seed: int, more: More) -> Look:
    """Measure a recorded window whole, with the rows that came late, as of the version that held the alias then.

    The registry is not asked: who holds the alias now does not matter to it.
    """
    held = _holdings(context, monitor)
    version = more.before.version or "unknown"
    seen = look_at(context, monitor, window, seed, version, _last(held, version), held, more.held_up, more)
    return replace(seen, results=tuple(result for result in seen.results if result.check != REGISTRY))


def look_again(context: Context, monitor: Monitor, window: Window, seed: int, again: late.Again) -> Look:
    """Measure once more, on the rows kept of a recorded window, what needs labels, now that more of them came."""
    held = _holdings(context, monitor)
    number = _last(held, again.version)
    rows = {part.version: references.find(context, monitor, part.version) for part in again.parts}
    tenure = Tenure(again.version, number, _digest(rows.get(again.version)) or "")
    checks = [spec for spec in monitor.checks if late.needs_labels(spec)]
    results = _measure(context, monitor, checks, window, seed, list(again.parts), rows, held[: number + 1], again.early)
    context.observe("measured")
    told = late.told(monitor, window, again.parts, context.now())
    promise = references.promise_of(rows.get(again.version))
    parts = _stored(again.parts, rows)
    return Look((*told, *results), tenure, again.version, parts, promise, bool(again.early), again.n_read)


def _last(held: Sequence[Holding], version: str) -> int:
    """The number of the last holding of a version."""
    return max((n for n, holding in enumerate(held) if holding.version == version), default=0)


def _stored(parts: Sequence[Frozen], rows: Mapping[str, ReferenceRow | None]) -> tuple[Part, ...]:
    return tuple(
        Part(
            part.version,
            part.n_rows,
            part.sample_digest,
            part.sample_rate,
            _digest(rows.get(part.version)),
            part.requests_digest,
        )
        for part in parts
    )


def _last_tenure(context: Context, monitor: Monitor) -> Tenure:
    """The tenure last seen: a registry that is away for a while does not start its detector afresh."""
    held = _holdings(context, monitor)
    if not held or held[-1].version is None:
        return Tenure()
    version = held[-1].version
    return Tenure(version, len(held) - 1, _digest(references.find(context, monitor, version)) or "")


def see(context: Context, monitor: Monitor) -> tuple[str, int]:
    """Ask the registry who holds the alias, and note the answer in our own history; raises RegistryError.

    Returns the version and its tenure: how many times the alias had been seen to change before it took it.
    """
    holder = context.registry.holder(monitor.model)
    with context.store.begin() as session:
        key = context.registry.key(monitor.model)
        return holder, records.see_holder(session, context.workspace, key, holder, context.now())


def earlier_holders(context: Context, monitor: Monitor, version: str | None) -> list[str]:
    """The versions a rollback could go to, best first: declared targets, then earlier holders, newest first."""
    return earlier_in(monitor, _holdings(context, monitor), version)


def earlier_in(monitor: Monitor, held: Sequence[Holding], version: str | None) -> list[str]:
    """The same out of a history of the alias."""
    past = [holding.version for holding in reversed(held) if holding.version is not None]
    return [name for name in dict.fromkeys([*monitor.rollback_targets, *past]) if name != version]


def _holdings(context: Context, monitor: Monitor) -> list[Holding]:
    with context.store.begin() as session:
        return records.holdings(session, context.workspace, context.registry.key(monitor.model))


def _freeze(
    context: Context,
    monitor: Monitor,
    window: Window,
    seed: int,
    rows: dict[str, ReferenceRow | None],
    held: Sequence[Holding],
    more: More | None,
) -> tuple[list[Frozen], int]:
    def reference_of(version: str) -> Reference | None:
        if version not in rows:
            rows[version] = references.find(context, monitor, version)
        row = rows[version]
        return None if row is None else references.load(context, row)

    return freeze(
        context.open_source(monitor, monitor.source).fetch(window),
        monitor.columns,
        spans(held, window),
        monitor.sample_rows,
        seed,
        reference_of,
        late.labels_of(context, monitor, () if more is None else more.before.parts),
        context.sample_path,
    )


def _measure(
    context: Context,
    monitor: Monitor,
    checks: Sequence[CheckSpec],
    window: Window,
    seed: int,
    parts: Sequence[Frozen],
    rows: Mapping[str, ReferenceRow | None],
    held: Sequence[Holding],
    early: str,
) -> list[CheckResult]:
    """What each of the checks found in each part; `early` says why labels are not judged by yet."""
    results: list[CheckResult] = []
    waiting: list[tuple[CheckResult, CheckTask, CheckSpec]] = []
    for part in parts:
        others = earlier_in(monitor, held, part.version)
        for spec in checks:
            try:
                task = task_of(context, monitor, window, seed, part, spec, others[:1], rows.get(part.version))
            except ControlPlaneError as error:
                results.append(CheckResult(spec.name, part.version, error=str(error)))
                continue
            compared = None if task.previous is None else task.previous.version
            scored = bool(ports.load("checks", spec.kind).scored)
            said = early if late.needs_labels(spec) else ""
            result = CheckResult(spec.name, part.version, compared=compared, scored=scored, early=said)
            waiting.append((result, task, spec))
    done = _ask(context, [(task, spec) for _, task, spec in waiting])
    for (result, _, _), outcome in zip(waiting, done, strict=True):
        found = outcome.value or Measured(())
        results.append(
            replace(
                result,
                measures=found.measures,
                blind="" if outcome.blind is None else str(outcome.blind),
                error=outcome.error,
                scored=result.scored and bool(found.measures),
                unscored=found.unscored,
                scores=found.scores,
                importance=found.importance,
            )
        )
    return results


def _ask(context: Context, tasks: list[tuple[CheckTask, CheckSpec]]) -> list[Result]:
    """Measure. What failed beside another version is measured again without it: that one may have hung or died, and
    must not hide what the version that answered did.
    """

    def measured(some: list[tuple[CheckTask, CheckSpec]]) -> list[Result]:
        return context.workers.measure_all([Task(measure, (task,), spec.timeout, spec.memory) for task, spec in some])

    done = measured(tasks)
    failed = [n for n, (task, _) in enumerate(tasks) if done[n].error and task.previous is not None]
    alone = measured([(replace(tasks[n][0], previous=None), tasks[n][1]) for n in failed])
    for n, outcome in zip(failed, alone, strict=True):
        other = tasks[n][0].previous
        if outcome.value is not None and other is not None:
            lost = f"version {other.version} could not be compared: {done[n].error}"
            found = outcome.value.measures
            found = tuple(replace(item, detail="; ".join(filter(None, (item.detail, lost)))) for item in found)
            outcome = replace(outcome, value=replace(outcome.value, measures=found))
        done[n] = outcome
    return done


def task_of(
    context: Context,
    monitor: Monitor,
    window: Window,
    seed: int,
    part: Frozen,
    spec: CheckSpec,
    previous: list[str],
    reference: ReferenceRow | None,
    required: bool = False,
) -> CheckTask:
    """One check's task on one part; raises where what the check needs was not built.

    `required` says that the comparison with the `previous` version is the point, as it is in a replay.
    """
    check = ports.load("checks", spec.kind)
    needs_reference = bool({ports.Need.REFERENCE, ports.Need.PROFILE} & check.needs)
    # Requests say something without a reference too, and more beside one.
    wants_requests = ports.Need.REQUESTS in check.needs and part.requests_digest is not None
    wants_reference = needs_reference or wants_requests
    if needs_reference and monitor.reference is not None and reference is None:
        raise ConfigError(f"no reference of version {part.version}; run `controlplane reference build {monitor.name}`")
    wants_model = ports.Need.MODEL in check.needs
    return CheckTask(
        check=spec.kind,
        params=dict(spec.params),
        min_rows=spec.min_rows,
        window=window,
        columns=monitor.columns,
        version=part.version,
        rows=context.sample_path(part.sample_digest),
        rate=part.sample_rate,
        seed=seed,
        profile=part.profile,
        reference=None if reference is None or not wants_reference else references.fetch(context, reference),
        model=references.place_of(context, monitor, part.version) if wants_model else None,
        previous=_beside(context, monitor, previous[0], required) if wants_model and previous else None,
        previous_required=required,
        name=spec.name,
        min_effect=None if monitor.budget is None else monitor.budget.min_effect,
        requests=context.sample_path(part.requests_digest) if wants_requests and part.requests_digest else None,
    )


def _beside(context: Context, monitor: Monitor, version: str, required: bool) -> ModelPlace | None:
    """The version to compare with. Outside a replay its loss costs the comparison, not the whole check."""
    try:
        return references.place_of(context, monitor, version)
    except RegistryError:
        if required:
            raise
        return None


def _digest(row: ReferenceRow | None) -> str | None:
    return None if row is None else row.digest
