"""A small installation that is drilled: the engine's test world, and what its drills share, prepared once a module."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from drill_jobs import prepared_of, write_job  # beside this file
from world import World, build_registry  # beside the engine's tests

from controlplane.drills.stock import Stock


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
            known[name, reaction] = prepared_of(world.settings, tmp_path_factory.mktemp("stock"), name, reaction)
        return known[name, reaction]

    return prepared
