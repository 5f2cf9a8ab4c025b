"""Versions on disk: fetched once for all workers, and the last good ones for a start without the registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from controlplane.domain.monitor import ModelRef
from controlplane.errors import RegistryError
from controlplane.registry import Registry


class Cache:
    """The folder of one server. What an earlier server left is used only where the registry is away.

    A version's number says nothing of its artefacts once a model was deleted and made again, so each server
    fetches its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fetched: set[str] = set()

    def fetch(self, registry: Registry, name: str, version: str) -> Path:
        """The artefacts of a version; raises RegistryError. A version is whole or not there."""
        place, coming = self._folder / version, self._folder / f".coming-{version}"
        if version in self._fetched:
            return place
        try:
            shutil.rmtree(coming, ignore_errors=True)
            found = registry.fetch_version(name, version, coming)
            shutil.rmtree(place, ignore_errors=True)
            found.replace(place)
        except OSError as error:
            raise RegistryError(f"version {version} of {name!r} cannot be kept here: {error.strerror}") from None
        finally:
            shutil.rmtree(coming, ignore_errors=True)
        self._fetched.add(version)
        return place

    def left(self, version: str) -> Path | None:
        """The artefacts of a version that were fetched by this server, or one before it."""
        place = self._folder / version
        return place if place.is_dir() else None

    def keep(self, versions: Collection[str]) -> None:
        """Remove every version but these."""
        for path in self._folder.glob("[0-9]*"):
            if path.name not in versions:
                self._fetched.discard(path.name)
                shutil.rmtree(path, ignore_errors=True)

    def note_last(self, model: ModelRef, version: str) -> None:
        """Remember what an alias held when it was last served."""
        coming = self._folder / ".coming.json"
        try:
            coming.write_text(json.dumps(self._last() | {model.alias: version}))
            coming.replace(self._folder / "last.json")
        except OSError:
            # It costs the next start without the registry, and nothing now.
            return

    def last(self, model: ModelRef) -> str | None:
        """The version that the alias held when it was last served here, if its artefacts are still here."""
        version = self._last().get(model.alias)
        return version if version is not None and self.left(version) else None

    def _last(self) -> dict[str, str]:
        try:
            found = json.loads((self._folder / "last.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
