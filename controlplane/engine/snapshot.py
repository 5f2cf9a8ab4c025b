"""The snapshot: what an action rests on, kept before anything is changed, so that the evidence survives the fix."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from controlplane.domain.monitor import Monitor, iso
from controlplane.engine import versions
from controlplane.engine.context import Context
from controlplane.models import Fingerprint
from controlplane.store import Session, actions, new_id, runs
from controlplane.store.tables import AttachmentRow, PartRow, RunRow
from controlplane.store.tables_acts import ActionRow

ROWS, MANIFEST = "snapshot_rows", "snapshot"


def keep(context: Context, monitor: Monitor, row: ActionRow) -> None:
    """Keep the failing rows and a manifest of everything behind an action as artifacts, once; raises RegistryError.

    The manifest names by digest: the artefacts of both versions, the frozen rows of the inference log, the reference,
    the configuration; and holds the findings and replays themselves.
    """
    with context.store.begin() as session:
        if actions.snapshot_of(session, row.id) is not None:
            return
        part = session.get_one(PartRow, (row.run_id, row.from_version))
        manifest = _manifest(session, monitor, row, part)
    ours, theirs = str(row.from_version), str(row.to_version)
    manifest["versions"] = {
        version: asdict(one) if isinstance(one, Fingerprint) else {"unreadable": one}
        for version, one in versions.read(context, monitor, [ours, theirs]).items()
    }
    sample = context.sample_path(part.sample_digest)
    said = json.dumps(manifest, indent=2, sort_keys=True).encode()
    name = f"snapshot {monitor.name} {row.id}"
    kept = [
        (ROWS, context.registry.log_artifact(name, sample, sample.name), part.sample_digest),
        (MANIFEST, context.registry.log_artifact(name, said, f"{row.id}.json"), sha256(said).hexdigest()),
    ]
    now = context.now()
    with context.store.begin() as session:
        for kind, uri, digest in kept:
            mark = f"{kind} {row.id}"
            session.add(
                AttachmentRow(
                    id=new_id(), run_id=row.run_id, check=row.check, kind=mark, uri=uri, digest=digest, at=now
                )
            )
    context.observe("snapshot kept")


def _manifest(session: Session, monitor: Monitor, row: ActionRow, part: PartRow) -> dict[str, Any]:
    run = session.get_one(RunRow, row.run_id)
    return {
        "action": row.id,
        "model": f"{row.model}@{row.alias}",
        "from": row.from_version,
        "to": row.to_version,
        "run": {
            "id": run.id,
            "window": [iso(run.window_start), iso(run.window_end)],
            "rows": part.n_rows,
            "sample": part.sample_digest,
            "sample_rate": part.sample_rate,
            "reference": part.reference_digest,
            "configuration": run.config_digest,
        },
        "configuration": json.loads(monitor.canonical()),
        "findings": [asdict(finding) for finding in runs.findings_of(session, row.run_id)],
        "replays": [
            {name: getattr(one, name) for name in ("version", "measure", "n", "attribution", "sample_digest")}
            | {name: getattr(one, name) for name in ("current", "candidate", "difference", "low", "high")}
            for one in actions.replays_of(session, row.id)
        ],
    }
