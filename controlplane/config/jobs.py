"""A folder of job files -> monitors, or every mistake in them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from controlplane.config.build import to_fleet, to_monitor
from controlplane.config.forms import DefaultsForm, Form, JobForm, RollbackForm, SystemForm
from controlplane.config.kinds import check_options, check_secrets, find, secret_options, with_known_columns
from controlplane.config.lines import Document, Loc, Wrong
from controlplane.config.report import Report
from controlplane.config.rules import check_budget, check_checks, check_columns, check_labels, check_receivers
from controlplane.config.values import name_of
from controlplane.domain.monitor import Fleet, Monitor
from controlplane.errors import ConfigError, Problem

SYSTEM = "system"
SOURCES = ("source", "labels", "reference")

_F = TypeVar("_F", bound=Form)


@dataclass(frozen=True, slots=True)
class ReceiverSpec:
    """Somebody to tell: a name, a kind of notifier, and its options with `${VAR}`s unexpanded."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Jobs:
    """Everything a folder of job files says. `folder` is absolute; relative paths in options start there."""

    monitors: tuple[Monitor, ...]
    receivers: Mapping[str, ReceiverSpec]
    folder: Path
    organization: str = ""
    fleet: Fleet = field(default_factory=Fleet)


def load_jobs(folder: Path, workspace: str = "default") -> Jobs:
    """Every job of a folder; raises ConfigError that holds every problem of every file at once."""
    jobs, problems = load_valid(folder, workspace)
    if problems:
        raise ConfigError(problems)
    return jobs


def load_valid(folder: Path, workspace: str = "default") -> tuple[Jobs, tuple[Problem, ...]]:
    """The jobs without a problem, and the problems of the others: one bad file must not stop what is well.

    A receiver with a problem is left out of `receivers`, though monitors may still name it. Raises ConfigError
    where there is no folder, or no job in it.
    """
    paths = _job_files(folder)
    shared = _read_shared([path for path in paths if path.stem == SYSTEM])
    problems = list(shared.problems)
    monitors: list[Monitor] = []
    places: dict[str, str] = {}
    for path in paths:
        if path.stem == SYSTEM:
            continue
        report, document, form = _read_job(path, shared)
        name = _name_of(path, document, report)
        place = f"{path}:{document.line(('name',))}"
        if name in places:
            report.add(("name",), f"the monitor name {name!r} is already used", f"by {places[name]}")
        places.setdefault(name, place)
        problems += report.problems
        if form is not None and not report.problems:
            monitors.append(to_monitor(form, document.data, name, workspace, shared.defaults))
    receivers = {"log": ReceiverSpec("log", "log"), **shared.receivers}
    return Jobs(tuple(monitors), receivers, folder.absolute(), shared.organization, shared.fleet), tuple(problems)


def load_job(path: Path, folder: Path, name: str, workspace: str = "default") -> Monitor:
    """One job file as if it stood in `folder` and its monitor were called `name`: paths in it start at the folder.

    Raises ConfigError that holds every problem of the file.
    """
    shared = _read_shared([each for each in _job_files(folder) if each.stem == SYSTEM])
    report, document, form = _read_job(path, shared)
    if form is None or report.problems:
        raise ConfigError(report.problems)
    return to_monitor(form, document.data, name, workspace, shared.defaults)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What `system.yaml` says; `declared` names every receiver in it, `receivers` holds those without a problem."""

    receivers: Mapping[str, ReceiverSpec] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()
    defaults: DefaultsForm = field(default_factory=DefaultsForm)
    organization: str = ""
    fleet: Fleet = field(default_factory=Fleet)
    problems: tuple[Problem, ...] = ()


def _job_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"no job folder at {folder.absolute()}; set CONTROLPLANE_JOBS to the folder of the job files")
    paths = [path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and not path.name.startswith(".")]
    if all(path.stem == SYSTEM for path in paths):
        raise ConfigError(f"no jobs in {folder.absolute()}; a job is a .yaml file there other than {SYSTEM}.yaml")
    return sorted(paths)


def _open(path: Path) -> tuple[Report, Document]:
    try:
        document = Document.parse(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        document = Document()
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        document.spoil(line, "the file is not UTF-8 text")
    except OSError as error:
        document = Document()
        document.spoil(1, f"the file cannot be read ({error.strerror})")
    return Report(str(path), document), document


def _read_job(path: Path, shared: _Shared) -> tuple[Report, Document, JobForm | None]:
    report, document = _open(path)
    declared = None if shared.problems and not shared.declared else shared.declared
    return report, document, _check_job(report, document, declared)


def _read_form(form: type[_F], report: Report, data: Mapping[str, Any]) -> _F | None:
    if not data:
        return None
    try:
        return form.model_validate_json(json.dumps(data))
    except ValidationError as error:
        report.add_errors(error, form)
        return None


def _check_job(report: Report, document: Document, declared: frozenset[str] | None) -> JobForm | None:
    """Everything wrong with one job, whatever else is wrong with it; `declared` None: receivers are not known."""
    data = with_known_columns(document.data)
    secret_places = frozenset[Loc]().union(*(_check_kind(report, data, "sources", (part,)) for part in SOURCES))
    check_secrets(report, data, secret_places)
    check_checks(report, data)
    check_columns(report, document.data)
    check_labels(report, data)
    check_budget(report, data)
    if declared is not None:
        check_receivers(report, data.get("receivers"), ("receivers",), declared | {"log"})
    return _read_form(JobForm, report, data)


def _check_kind(report: Report, data: Mapping[str, Any], table: str, loc: Loc) -> frozenset[Loc]:
    """Check the options of the source or receiver at `loc`; returns where in them a `${VAR}` may stand."""
    part: Any = data
    for key in loc:
        part = part.get(key) if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(part.get("kind"), str):
        return frozenset()
    try:
        params = find(table, part["kind"]).Params
    except Wrong as wrong:
        report.add_wrong((*loc, "kind"), wrong)
        return frozenset((*loc, key) for key in part)
    check_options(report, loc, params, {key: value for key, value in part.items() if key != "kind"})
    return frozenset((*loc, key) for key in secret_options(params))


def _read_shared(paths: list[Path]) -> _Shared:
    if not paths:
        return _Shared()
    report, document = _open(paths[0])
    if len(paths) > 1:
        report.add((), f"{paths[1].name} says the same as this file", "keep one of the two")
    data = document.data
    given = data.get("receivers")
    receivers: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    places = [_check_kind(report, data, "notifiers", ("receivers", name)) for name in receivers]
    check_secrets(report, data, frozenset[Loc]().union(*places))
    declared = frozenset(receivers)
    defaults = data.get("defaults")
    if isinstance(defaults, Mapping):
        check_receivers(report, defaults.get("receivers"), ("defaults", "receivers"), declared | {"log"})
    form = _read_form(SystemForm, report, data)
    sound = {name: spec for name, spec in receivers.items() if not report.touches(("receivers", name))}
    specs = {
        name: ReceiverSpec(name, spec["kind"], {key: value for key, value in spec.items() if key != "kind"})
        for name, spec in sound.items()
    }
    fleet = Fleet(unknown=f"{paths[0].name} has mistakes") if len(paths) > 1 else _fleet(paths[0], report, data)
    if form is None:
        return _Shared(specs, declared, fleet=fleet, problems=report.problems)
    return _Shared(specs, declared, form.defaults, form.organization, fleet, report.problems)


def _fleet(path: Path, report: Report, data: Mapping[str, Any]) -> Fleet:
    """The guards of the fleet, whatever else is wrong with the file; where they may be read wrongly, nothing moves."""
    known = [item.alias or name for name, item in SystemForm.model_fields.items()]
    if not data or report.touches(("rollback",)) or any(key not in known for key in data):
        return Fleet(unknown=f"{path.name} has mistakes")
    return to_fleet(RollbackForm.model_validate_json(json.dumps(data.get("rollback", {}))))


def _name_of(path: Path, document: Document, report: Report) -> str:
    name = document.data.get("name")
    if isinstance(name, str):
        return name
    try:
        return name_of(path.stem)
    except Wrong as wrong:
        report.add(("name",), f"the file's name: {wrong.wrong}", f"{wrong.valid}; or give 'name'")
        return path.stem
