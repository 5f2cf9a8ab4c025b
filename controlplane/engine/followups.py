"""Follow-up jobs: what a run left behind for afterwards, such as Evidently's report over the drifted columns."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from controlplane.engine import references
from controlplane.engine.context import Context
from controlplane.engine.freeze import read_table
from controlplane.errors import CheckError, ControlPlaneError, NotEnoughData
from controlplane.profiles import Reference
from controlplane.store import new_id, records
from controlplane.store.tables import AttachmentRow, FollowupRow, PartRow
from controlplane.workers import Task

_log = logging.getLogger(__name__)
MOST_ATTEMPTS = 3
MOST_ROWS, MOST_COLUMNS = 5_000, 20
_LEASE = timedelta(minutes=15)
_TIMEOUT = 600.0


def run(context: Context) -> int:
    """Run the follow-up jobs that wait; returns how many were done."""
    done = 0
    while not context.stopping():
        with context.store.begin() as session:
            job = records.claim_followup(session, context.workspace, context.now(), _LEASE)
        if job is None:
            return done
        try:
            _report(context, job)
        except Exception as error:
            if not isinstance(error, ControlPlaneError):
                _log.exception("follow-up %s of run %s broke", job.kind, job.run_id)
            state = "failed" if job.attempt >= MOST_ATTEMPTS else "pending"
            with context.store.begin() as session:
                records.end_followup(session, job, state, str(error))
            continue
        done += 1
        context.observe("followed up")
    return done


@dataclass(frozen=True, slots=True)
class ReportTask:
    """What a worker needs to write the report."""

    rows: Path
    reference: Path
    columns: tuple[str, ...]
    into: Path


def write_report(task: ReportTask) -> int:
    """Write Evidently's drift report over the columns as one HTML file; runs in a worker. Returns its bytes."""
    from evidently import DataDefinition, Dataset
    from evidently import Report as EvidentlyReport
    from evidently.presets import DataDriftPreset

    reference = Reference.from_bytes(task.reference.read_bytes()).rows
    rows = read_table(task.rows)
    columns = [name for name in task.columns if name in rows.column_names and name in reference.column_names]
    if not columns:
        raise CheckError("none of the drifted columns is in both the window and the reference sample")
    frames = [table.select(columns).slice(0, MOST_ROWS).to_pandas() for table in (rows, reference)]
    if any(frame.empty for frame in frames):
        raise NotEnoughData("the report needs rows in the window and in the reference")
    numeric = [name for name in columns if frames[1][name].dtype.kind in "iuf"]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in columns if name not in numeric]
    )
    current, base = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    snapshot = EvidentlyReport([DataDriftPreset()]).run(current, base)
    snapshot.save_html(str(task.into))
    return task.into.stat().st_size


def _report(context: Context, job: FollowupRow) -> None:
    with context.store.begin() as session:
        columns = tuple(records.failed_columns(session, job)[:MOST_COLUMNS])
        part = session.get_one(PartRow, (job.run_id, job.version))
        reference = records.reference_with(session, context.workspace, part.reference_digest)
    if reference is None:
        raise CheckError(f"run {job.run_id} was not compared with a reference")
    with TemporaryDirectory(dir=context.home) as folder:
        path = Path(folder) / "drift.html"
        task = ReportTask(context.sample_path(part.sample_digest), references.fetch(context, reference), columns, path)
        result = context.workers.measure_all([Task(write_report, (task,), _TIMEOUT)])[0]
        if result.error or result.blind:
            raise CheckError(f"the Evidently report of run {job.run_id}: {result.error or result.blind}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        uri = context.registry.log_artifact(f"drift report {job.run_id}", path, "drift.html")
    with context.store.begin() as session:
        session.add(
            AttachmentRow(
                id=new_id(),
                run_id=job.run_id,
                check=job.check,
                kind=job.kind,
                uri=uri,
                digest=digest,
                at=context.now(),
            )
        )
        records.end_followup(session, job, "done")
