"""Job files for the world's model, beside the one it has, and what their drills share."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from world import World

from controlplane.app import open_store
from controlplane.config import Settings, load_jobs
from controlplane.domain.monitor import Reaction
from controlplane.drills.stock import Stock, prepare

LATE = """
schema: 1
name: {name}
model: {{name: scorer, alias: champion}}
source: {{kind: files, path: ../data/rows-*.parquet}}
labels: {{kind: files, path: ../data/labels-*.parquet}}
columns: {{event_time: at, row_id: id, model_version: model_version, prediction: prediction, label: label}}
reference: {{kind: files, path: ../data/{reference}.parquet}}
schedule: {{every: 1h, starts: 2026-03-01T00:00:00Z}}
{late}
checks:
  - check: performance
    params: {{task: classification, metrics: [accuracy]}}
    limits: {{accuracy: {{min: {least}}}}}
reaction: {reaction}
"""


def write_job(
    world: World,
    name: str,
    reference: str = "reference",
    late: str = "",
    least: float = 0.8,
    reaction: str = "rollback",
) -> None:
    """One more job for the world's model."""
    text = LATE.format(name=name, reference=reference, late=late, least=least, reaction=reaction)
    (world.settings.jobs / f"{name}.yaml").write_text(text)


def prepared_of(settings: Settings, folder: Path, name: str = "scorer", reaction: str | None = None) -> Stock:
    """What the drills of one monitor share, in an empty folder."""
    jobs = load_jobs(settings.jobs)
    (monitor,) = [each for each in jobs.monitors if each.name == name]
    with closing(open_store(settings)) as store:
        return prepare(settings, jobs, monitor, store, folder, None if reaction is None else Reaction(reaction), seed=1)
