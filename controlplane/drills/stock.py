"""What the drills of one monitor share: copied out of the installation once, and never written back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from controlplane.app import open_app, open_registry
from controlplane.config import Jobs, ReceiverSpec, Settings
from controlplane.domain.monitor import Monitor, Reaction
from controlplane.drills.supply import Supply, rows_in
from controlplane.drills.versions import add_version, make_registry
from controlplane.engine import references
from controlplane.engine.context import Context
from controlplane.errors import ConfigError
from controlplane.registry import Registry
from controlplane.store import Store, actions, records, windows
from controlplane.store.tables import ReferenceRow
from controlplane.store.tables_acts import VersionRow

MOST_ROWS = 1000
MOST_EARLIER = 2
REGISTRY = "mlflow.db"


@dataclass(frozen=True)
class Stock:
    """One monitor ready to be drilled, in a folder of its own.

    `monitor` is the copy that sandboxes watch with, `holder` the version in charge, `earlier` those that it could go
    back to, oldest first; `versions` says where the copies lie, `seen` what the installation knows them to be. Versions
    that a drill adds are numbered from after `newest`, so that none is called as another one is.
    """

    monitor: Monitor
    jobs: Jobs
    settings: Settings
    folder: Path
    supply: Supply
    holder: str
    earlier: tuple[str, ...]
    newest: int
    versions: Mapping[str, Path]
    seen: tuple[VersionRow, ...]
    importance: Mapping[str, float]

    def lay_out(self, home: Path) -> None:
        """Put the store, the registry and the reference of a fresh sandbox into `home`, which is made."""
        shutil.copytree(self.folder / "fresh", home)


def prepare(
    settings: Settings, jobs: Jobs, monitor: Monitor, store: Store, folder: Path, reaction: Reaction | None, seed: int
) -> Stock:
    """Copy what the drills of a monitor need into `folder`; raises ConfigError where it cannot be drilled at all."""
    if monitor.reference is None:
        raise ConfigError(
            f"monitor {monitor.name!r} has no reference to draw healthy rows from; add `reference:` to its job file"
        )
    registry = open_registry(settings)
    holder, key = registry.holder(monitor.model), registry.key(monitor.model)
    with store.begin() as session:
        built = records.reference_of(session, monitor, holder, references.recipe_of(monitor))
        usual = windows.usual_rows(session, monitor)
        held = [one.version for one in records.holdings(session, store.workspace, key)]
        barred = actions.past_of(session, monitor, key, ()).rolled_back_from
        known = actions.versions_seen(session, store.workspace, key)
    registered = registry.versions(monitor.model.name)
    there = set(registered) - {holder, *barred}
    earlier = [name for name in dict.fromkeys([*monitor.rollback_targets, *reversed(held)]) if name in there]
    earlier = earlier[:MOST_EARLIER]
    versions = {
        name: registry.fetch_version(monitor.model.name, name, folder / "versions" / name)
        for name in sorted([*earlier, holder], key=int)
    }
    watched = replace(
        monitor,
        reaction=reaction or monitor.reaction,
        rollback_targets=tuple(name for name in monitor.rollback_targets if name in versions),
        receivers=("log",),
        serving=None,
    )
    fresh = folder / "fresh"
    fresh.mkdir()
    uri = make_registry(fresh / REGISTRY, monitor.model.name)
    for name, place in versions.items():
        add_version(uri, monitor.model.name, place, name)
    jobs = replace(jobs, receivers={"log": ReceiverSpec("log", "log")})
    with open_home(settings, jobs, watched, fresh, lambda: datetime.now(UTC)) as context:
        if built is not None:
            _bring(context, built, registry)
        found = built or references.build(context, watched, holder)
        reference = references.load(context, found)
    rows = reference.rows
    usual = usual or rows_in(rows, monitor.columns.event_time, monitor.schedule.window) or MOST_ROWS
    supply = Supply(rows, monitor.columns, min(usual, rows.num_rows), seed)
    return Stock(
        watched,
        jobs,
        settings,
        folder,
        supply,
        holder,
        tuple(reversed(earlier)),
        int(registered[-1]),
        versions,
        tuple(known[name] for name in versions if name in known),
        reference.importance,
    )


@contextmanager
def open_home(
    settings: Settings,
    jobs: Jobs,
    watched: Monitor,
    home: Path,
    now: Callable[[], datetime],
    observe: Callable[[str], None] = lambda step: None,
) -> Iterator[Context]:
    """The real engine on one monitor, with a store, a registry and a home of its own."""
    uri = f"sqlite:///{home / REGISTRY}"
    own = Settings(
        home=home,
        jobs=settings.jobs,
        database_url=f"sqlite:///{home / 'controlplane.db'}",
        tracking_uri=uri,
        registry_uri=uri,
        workspace=settings.workspace,
        workers=settings.workers,
        lease_seconds=settings.lease_seconds,
    )
    with open_app(own, observe, now=now, jobs=replace(jobs, monitors=(watched,))) as (context, _):
        context.workers.warm_up()
        yield context


def _bring(context: Context, row: ReferenceRow, registry: Registry) -> None:
    """Copy a reference of the installation: its row, and its file from wherever that is kept."""
    path = context.reference_path(row.digest)
    path.parent.mkdir()
    registry.fetch_artifact(row.uri, path.parent).replace(path)
    with context.store.begin() as session:
        session.merge(row)
