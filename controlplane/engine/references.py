"""References: built once for each version by an explicit job, kept as artifacts, never inside the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from controlplane import ports
from controlplane.domain.monitor import Columns, Monitor
from controlplane.engine.blocks import ScoredCheck, cut
from controlplane.engine.context import Context
from controlplane.engine.freeze import read_table
from controlplane.engine.measure import ModelPlace
from controlplane.engine.schedule import next_due
from controlplane.errors import CheckError, ConfigError, ControlPlaneError, SourceError
from controlplane.models.importance import importance
from controlplane.profiles import Reference, build_reference
from controlplane.profiles.promise import Promise, promise
from controlplane.profiles.reference import FORMAT
from controlplane.profiles.requests import RequestBuilder, Requests, answered, told_by
from controlplane.store import new_id, records
from controlplane.store.tables import ReferenceRow
from controlplane.workers import Task

BUILD_TIMEOUT = 1800.0


def recipe_of(monitor: Monitor) -> str:
    """The digest of everything a reference is made from besides the version: another recipe, another reference."""
    recipe = {
        "format": FORMAT,
        "reference": None if monitor.reference is None else asdict(monitor.reference),
        "columns": asdict(monitor.columns),
        "sample_rows": monitor.sample_rows,
        "budget": None if monitor.budget is None else [*astuple(monitor.budget), monitor.schedule.window],
        "scored": [astuple(check) for check in _scored_checks(monitor)],
    }
    return sha256(json.dumps(recipe, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class BuildTask:
    """What a worker needs to build a reference."""

    rows: Path
    columns: Columns
    version: str
    cap: int
    model: ModelPlace
    into: Path
    checks: tuple[ScoredCheck, ...] = ()
    length: timedelta = timedelta(0)
    anchor: datetime | None = None
    horizon: float = 0.0
    min_effect: float = 0.0


def build_task(task: BuildTask) -> tuple[str, int, Promise | None]:
    """Score the reference rows where they carry no prediction, profile them and keep a sample; runs in a worker.

    Returns the reference's digest, its number of rows, and what it promises of the page budget. The file is whole or
    not there.
    """
    given = read_table(task.rows)
    columns = told_by(task.columns, given.column_names)
    rows = scored(answered(given, columns), task.columns, task.model)
    if given.num_rows and not rows.num_rows:
        raise CheckError(f"all {given.num_rows} rows of the reference are of requests that failed")
    reference = build_reference(rows.to_batches, task.columns, task.version, task.cap)
    if columns.status is not None:
        reference = replace(reference, requests=_requests(given, columns, task.cap))
    promised = None
    if task.anchor is not None:
        model = _opened(task.model)
        if model is not None:
            features = task.columns.features_of(rows.column_names)
            reference = replace(reference, importance=importance(model, reference.rows, features))
        requests = None if columns.status is None else _requests(given, columns, given.num_rows)
        blocks = cut(rows, reference, task.checks, model, task.length, task.anchor, requests)
        if blocks is not None:
            promised = promise(blocks, task.horizon, task.min_effect)
            reference = replace(reference, blocks=blocks)
    data = reference.to_bytes()
    path = task.into / f"{reference.digest}.reference"
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
    return reference.digest, rows.num_rows, promised


def _requests(rows: pa.Table, columns: Columns, cap: int) -> Requests:
    builder = RequestBuilder(columns, cap)
    for batch in rows.to_batches():
        builder.add(batch)
    return builder.build()


def _opened(place: ModelPlace) -> ports.Model | None:
    """The version, or None where it cannot be opened: rows that carry their answers need it for importance alone."""
    try:
        return place.open()
    except CheckError:
        return None


def scored(rows: pa.Table, columns: Columns, place: ModelPlace) -> pa.Table:
    """The rows with what a version answers to them, where they do not bear answers already; raises CheckError."""
    wants = [name for name in (columns.prediction, columns.probability) if name and name not in rows.column_names]
    if not wants:
        return rows
    model = place.open()
    if columns.prediction in wants:
        rows = rows.append_column(columns.prediction, pa.array(model.predict(rows)))
    if columns.probability in wants:
        probabilities = model.probabilities(rows)
        if probabilities is not None and probabilities.shape[1] == 2:
            rows = rows.append_column(columns.probability, pa.array(probabilities[:, 1]))
    return rows


def find(context: Context, monitor: Monitor, version: str) -> ReferenceRow | None:
    """The reference in force for a version, or None where none was built by today's recipe."""
    with context.store.begin() as session:
        return records.reference_of(session, monitor, version, recipe_of(monitor))


def fetch(context: Context, row: ReferenceRow) -> Path:
    """The reference's file, brought from the artifacts where this machine has none."""
    path = context.reference_path(row.digest)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder:
            context.registry.fetch_artifact(row.uri, Path(folder)).replace(path)
    return path


def load(context: Context, row: ReferenceRow) -> Reference:
    """The reference itself."""
    return Reference.from_bytes(fetch(context, row).read_bytes())


def build(context: Context, monitor: Monitor, version: str) -> ReferenceRow:
    """Build, keep and note the reference of one version; raises SourceError, CheckError or RegistryError."""
    if monitor.reference is None:
        raise ConfigError(f"monitor {monitor.name!r} has no reference; add `reference:` with a source to its job file")
    context.home.joinpath("references").mkdir(parents=True, exist_ok=True)
    source = context.open_source(monitor, monitor.reference)
    with TemporaryDirectory(dir=context.home) as folder:
        rows = Path(folder) / "rows.arrow"
        _write_batches(source.fetch(None), rows, monitor)
        task = BuildTask(
            rows,
            monitor.columns,
            version,
            monitor.sample_rows,
            place_of(context, monitor, version),
            context.home / "references",
            *_budget_of(context, monitor),
        )
        done = context.workers.measure_all([Task(build_task, (task,), BUILD_TIMEOUT)])[0]
    if done.error or done.blind:
        raise CheckError(f"the reference of {monitor.name} for version {version}: {done.error or done.blind}")
    digest, n_rows, promised = done.value
    uri = context.registry.log_artifact(
        f"reference {monitor.name} {version}", context.reference_path(digest), f"{digest}.reference"
    )
    row = ReferenceRow(
        id=new_id(),
        workspace=monitor.workspace,
        monitor=monitor.name,
        version=version,
        digest=digest,
        recipe_digest=recipe_of(monitor),
        uri=uri,
        n_rows=n_rows,
        promise="" if promised is None else json.dumps(asdict(promised)),
        built_at=context.now(),
    )
    with context.store.begin() as session:
        known = records.reference_of(session, monitor, version, row.recipe_digest)
        if known is not None and known.digest == digest:
            return known
        session.add(row)
    return row


def promise_of(row: ReferenceRow | None) -> Promise | None:
    """What a reference promises of the page budget; None where it has no blocks, or was built without a budget."""
    return None if row is None or not row.promise else Promise(**json.loads(row.promise))


def tell(row: ReferenceRow | None) -> str:
    """What a reference promises of the page budget, in words, and what it is short of."""
    if row is None:
        return "page budget: no reference is built yet, so nothing is known of what it can promise"
    made = promise_of(row)
    if made is None:
        return "page budget: it cannot be kept, for the reference has no times to cut windows from"
    return f"page budget: {made}" + (f". Too short: {made.short}" if made.short else "")


def _scored_checks(monitor: Monitor) -> tuple[ScoredCheck, ...]:
    if monitor.budget is None:
        return ()
    return tuple(
        ScoredCheck(check.name, check.kind, check.params, check.min_rows)
        for check in monitor.checks
        if not check.dry_run and ports.load("checks", check.kind).scored
    )


def _budget_of(
    context: Context, monitor: Monitor
) -> tuple[tuple[ScoredCheck, ...], timedelta, datetime | None, float, float]:
    """What a build needs to know of the page budget."""
    length = monitor.schedule.window
    if monitor.budget is None:
        return (), length, None, 0.0, 0.0
    anchor = next_due(replace(monitor.schedule, delay=timedelta(0)), context.now())
    return _scored_checks(monitor), length, anchor, monitor.budget.horizon(length), monitor.budget.min_effect


def ensure(context: Context, monitor: Monitor, version: str) -> str:
    """Build the reference of a version that has none; returns why it could not be built, or an empty string."""
    if monitor.reference is None or find(context, monitor, version) is not None:
        return ""
    try:
        build(context, monitor, version)
    except ControlPlaneError as error:
        return str(error)
    context.observe("reference built")
    return ""


def place_of(context: Context, monitor: Monitor, version: str) -> ModelPlace:
    """Where a worker finds a version of the monitor's model; raises RegistryError."""
    registry = context.registry
    return ModelPlace(registry.address(monitor.model.name, version), version, registry.tracking_uri)


def _write_batches(batches: Iterator[pa.RecordBatch], path: Path, monitor: Monitor) -> None:
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    if not tables:
        raise SourceError(f"the reference of {monitor.name!r} has no rows")
    table = pa.concat_tables(tables, promote_options="default")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
