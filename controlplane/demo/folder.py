"""The demo's own folder: made, marked, emptied of what an earlier demo left, and nothing else touched."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from os import environ
from pathlib import Path

from controlplane.domain.monitor import iso
from controlplane.errors import ConfigError

MARKER = ".controlplane-demo"
_OURS = ("data", "home", "jobs", "artifacts", "report.html", "demo-rollback.png", "demo-rollback.html")
_SAID = f"controlplane demo made this folder. The next demo here replaces {', '.join(_OURS)}.\n"


def prepare(folder: Path) -> None:
    """Make the folder, or empty it of what an earlier demo left there; raises ConfigError where it is not a demo's."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; valid: an empty folder, a new one, or one that an earlier demo made")
    marker = folder / MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.is_file():
        raise ConfigError(
            f"{folder} holds files that no demo made; valid: an empty folder, a new one, or one an earlier demo made"
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(_SAID)
    for name in _OURS:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in ("data", "home", "jobs"):
        (folder / name).mkdir()


def copy_jobs(folder: Path, starts: Mapping[str, datetime]) -> None:
    """Copy the packaged job files into the folder; each named one gets the moment its first window starts."""
    for source in resources.files("controlplane.jobs").iterdir():
        if not source.name.endswith(".yaml"):
            continue
        text = source.read_text("utf-8")
        moment = starts.get(source.name.removesuffix(".yaml"))
        if moment is not None:
            text, times = re.subn(r"starts: [^,}\s]+", f"starts: {iso(moment)}", text)
            if times != 1:
                raise ConfigError(f"{source.name} says starts: {times} times; the demo needs it once")
        (folder / "jobs" / source.name).write_text(text, "utf-8")


def settings(folder: Path) -> dict[str, str]:
    """The environment that points every command at the folder; empty values switch off what the user has set."""
    return {
        "CONTROLPLANE_HOME": str(folder / "home"),
        "CONTROLPLANE_JOBS": str(folder / "jobs"),
        "CONTROLPLANE_TRACKING_URI": f"sqlite:///{folder / 'home' / 'mlflow.db'}",
        "CONTROLPLANE_REGISTRY_URI": f"sqlite:///{folder / 'home' / 'mlflow.db'}",
        "CONTROLPLANE_DATABASE_URL": "",
        "CONTROLPLANE_WORKSPACE": "",
        # When they are imported, the Adversarial Robustness Toolbox makes a folder in the user's home and torch one
        # for compiled code in the system's temporary folder.
        "HOME": str(folder / "home"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "home" / "torch"),
    }


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while, and put back what was there."""
    before = {name: environ.get(name) for name in values}
    environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value
