"""One registry and one server a module."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from servers import Server, Shelf  # beside this file
from world import build_registry  # beside the engine's tests


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry with two versions of `scorer`."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return build_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Shelf:
    """The module's own registry."""
    return Shelf(tmp_path_factory.mktemp("shelf") / "installation", registry_template)


@pytest.fixture(scope="module")
def server(shelf: Shelf) -> Iterator[Server]:
    """Two workers that look at the alias five times a second, and write a log."""
    running = Server(shelf, "--workers", "2", "--every", "0.2")
    try:
        running.until(lambda said: said["version"] == "1")
        yield running
    finally:
        assert running.stop() == 0
