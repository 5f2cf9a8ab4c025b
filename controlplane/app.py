"""The composition root: settings and job files in, a wired engine out. The only module that knows every adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta

from controlplane import ports
from controlplane.config import Jobs, Settings, load_valid, make_params, resolve_options, silence_telemetry
from controlplane.domain.monitor import Monitor, SourceSpec
from controlplane.engine.context import Context
from controlplane.errors import ConfigError, Problem
from controlplane.ports import Notifier, Source
from controlplane.registry import Registry
from controlplane.store import Store
from controlplane.workers import Workers

# What measures references imports all that measures windows too: with it a worker has everything but models.
_MEASURING, _OPENING_MODELS = "controlplane.engine.references", "controlplane.models.warm"


def open_store(settings: Settings, read_only: bool = False) -> Store:
    """The store of an installation, with a schema that this version needs; raises StoreError."""
    store = Store(settings.database, settings.workspace, read_only)
    if read_only:
        store.require_current()
    else:
        store.migrate()
    return store


def open_registry(settings: Settings) -> Registry:
    """The model registry; nothing is asked of it yet."""
    return Registry(settings.tracking_uri, settings.registry_uri, str(settings.home / "artifacts"))


def known_monitors(settings: Settings) -> frozenset[str]:
    """The monitors that sound job files name; none where there are no such files."""
    try:
        return frozenset(monitor.name for monitor in load_valid(settings.jobs, settings.workspace)[0].monitors)
    except ConfigError:
        return frozenset()


@contextmanager
def open_app(
    settings: Settings,
    observe: Callable[[str], None] = lambda step: None,
    stopping: Callable[[], bool] = lambda: False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    jobs: Jobs | None = None,
) -> Iterator[tuple[Context, tuple[Problem, ...]]]:
    """Wire everything for running monitors, and let go of it at the end.

    Monitors whose files are in order are wired; the problems of the others come beside, for the caller to show.
    `jobs` stand in for those of the job folder: a drill watches a changed copy of one of them.
    """
    silence_telemetry()
    problems: tuple[Problem, ...] = ()
    if jobs is None:
        jobs, problems = load_valid(settings.jobs, settings.workspace)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"CONTROLPLANE_HOME is {settings.home}, which cannot be a folder here: {error.strerror}"
        ) from None
    store = open_store(settings)
    with Workers(settings.workers, _preload(jobs)) as workers:
        context = Context(
            store=store,
            registry=open_registry(settings),
            workers=workers,
            home=settings.home,
            monitors={monitor.name: monitor for monitor in jobs.monitors},
            open_source=_source_opener(settings, jobs),
            open_notifier=_notifier_opener(jobs),
            lease=timedelta(seconds=settings.lease_seconds),
            observe=observe,
            stopping=stopping,
            now=now,
            fleet=jobs.fleet,
            serving_secret=None if settings.serving_secret is None else settings.serving_secret.get_secret_value(),
        )
        try:
            yield context, problems
        finally:
            store.close()


def warm_up() -> None:
    """Have the server of workers import all it may need, before there are monitors that say what they need."""
    Workers(preload=(_MEASURING, _OPENING_MODELS)).warm_up()


def _preload(jobs: Jobs) -> tuple[str, ...]:
    """What workers import before their first task; the libraries that open models only where a check opens one."""
    kinds = {check.kind for monitor in jobs.monitors for check in monitor.checks}
    opens_models = any(ports.Need.MODEL in ports.load("checks", kind).needs for kind in kinds)
    return (_MEASURING, _OPENING_MODELS) if opens_models else (_MEASURING,)


def _source_opener(settings: Settings, jobs: Jobs) -> Callable[[Monitor, SourceSpec], Source]:
    def open_source(monitor: Monitor, spec: SourceSpec) -> Source:
        kind = ports.load("sources", spec.kind)
        options = resolve_options(spec.options, jobs.folder)
        if "tracking_uri" in {item.name for item in fields(kind.Params)}:
            options.setdefault("tracking_uri", settings.tracking_uri)
        source: Source = kind(make_params("sources", spec.kind, options), monitor.columns)
        return source

    return open_source


def _notifier_opener(jobs: Jobs) -> Callable[[str], Notifier]:
    def open_notifier(name: str) -> Notifier:
        spec = jobs.receivers.get(name)
        if spec is None:
            raise ConfigError(f"unknown receiver {name!r}; {ports.suggest(name, sorted(jobs.receivers))}")
        params = make_params("notifiers", spec.kind, resolve_options(spec.options, jobs.folder))
        notifier: Notifier = ports.load("notifiers", spec.kind)(params)
        return notifier

    return open_notifier
