"""What the engine's tests share; the modules beside this file are importable, also for processes the tests start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bell import Bell
from kills import Nursery
from world import World, build_registry


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `build_registry` filled."""
    return build_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def make_world(tmp_path: Path, registry_template: Path, bell: Bell) -> Callable[..., World]:
    """Makes the test's world; takes `database`, `reaction` and `checks` besides performance."""
    return partial(World, tmp_path, registry_template)


@pytest.fixture
def bell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bell]:
    """A receiver on loopback."""
    receiver = Bell()
    monkeypatch.setenv("BELL_URL", receiver.url)
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts schedulers that are killed."""
    started = Nursery()
    yield started
    started.close()
