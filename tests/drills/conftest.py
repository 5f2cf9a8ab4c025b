"""A small installation that is drilled: the engine's test world, and what its drills share, prepared once a module."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from world import World, build_registry  # beside the engine's tests

from controlplane.app import open_store
from controlplane.config import Settings, load_jobs
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


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry with two versions of `scorer`."""
    return build_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[World]:
    """An installation with jobs of several kinds, whose registry holds a good version 1 in charge and a bad one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BELL_URL", "http://127.0.0.1:9/nobody-listens")
        made = World(tmp_path_factory.mktemp("world") / "installation", registry_template, checks=("quality", "drift"))
        for name, value in made.environment().items():
            patch.setenv(name, value)
        write_job(made, "late", late="late_labels: {wait: 12h, coverage: 0.9, known_at: known}")
        write_job(made, "blunt", least=0.1)
        write_job(made, "strict", least=0.999)
        yield made


@pytest.fixture(scope="module")
def stock_of(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Stock]:
    """What the drills of a monitor share; each monitor is prepared once a module, for each reaction."""
    known: dict[tuple[str, str | None], Stock] = {}

    def prepared(name: str = "scorer", reaction: str | None = None) -> Stock:
        if (name, reaction) not in known:
            known[name, reaction] = _prepare(world.settings, name, reaction, tmp_path_factory.mktemp("stock"))
        return known[name, reaction]

    return prepared


def _prepare(settings: Settings, name: str, reaction: str | None, folder: Path) -> Stock:
    from controlplane.domain.monitor import Reaction

    jobs = load_jobs(settings.jobs)
    (monitor,) = [each for each in jobs.monitors if each.name == name]
    with closing(open_store(settings)) as store:
        return prepare(settings, jobs, monitor, store, folder, None if reaction is None else Reaction(reaction), seed=1)
