"""The main job, end to end: two services live through some hours, watched by nothing but public commands.

What happens is decided by the data, the job files and the product; this file only lets rows arrive, runs what is due,
and has somebody approve whatever is proposed. No expected outcome stands here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.app import warm_up
from controlplane.demo import folder as place
from controlplane.demo import telling
from controlplane.demo.release import ALIAS, open_registry
from controlplane.demo.stream import last_hours
from controlplane.demo.team import Hour, Service, services
from controlplane.domain.monitor import Window, iso
from controlplane.errors import ConfigError, ControlPlaneError

if TYPE_CHECKING:
    from rich.console import Console

Call = Callable[..., tuple[int, Any]]
PERSON, REASON = "demo", "the replay shows it"


@dataclass(slots=True)
class Told:
    """What the commands returned so far, in the order it happened."""

    timeline: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)
    transitions: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, monitor: str, what: str, why: str, at: str = "", window: Window | None = None) -> None:
        """One line of the timeline; `at` is now unless a command said when."""
        said = {"at": at or iso(datetime.now(UTC)), "monitor": monitor, "what": what, "why": why}
        self.timeline.append(said | {"window": None if window is None else str(window)})


def run_demo(folder: Path, call: Call, console: Console) -> dict[str, Any]:
    """Run the whole story in `folder` and show it on `console`.

    `call` runs one public command in this process and returns its exit code and, with `--json`, the object it printed.
    Returns every run, incident, rollback and time as plain values for JSON. Raises ConfigError for a folder that is
    not a demo's, ControlPlaneError where a command could not do its work.
    """
    if find_spec("torch") is None:
        raise ConfigError("the demo needs the extra controlplane[robustness]; pip install 'controlplane[robustness]'")
    folder = folder.expanduser().absolute()
    place.prepare(folder)
    told = Told()
    started = time.perf_counter()
    warm_up()
    with place.environment(place.settings(folder)), telling.steps(console) as step:
        uri = open_registry(folder)
        laid_out: list[tuple[Service, list[Hour]]] = []
        for service, lay_out in services(folder, uri):
            step(f"training two versions of {service.name}")
            laid_out.append((service, lay_out(service)))
            told.note(service.name, f"version {service.holder()} released", "trained, registered, given the alias")
        told.seconds["training"] = time.perf_counter() - started

        now = datetime.now(UTC)
        windows = {service.name: last_hours(len(hours), now) for service, hours in laid_out}
        place.copy_jobs(folder, {name: spans[0].start for name, spans in windows.items()})
        step("validating the job files and building the references")
        ask(call, "validate")
        for service, _ in laid_out:
            ask(call, "reference", "build", service.name)
        told.seconds["references"] = time.perf_counter() - started - told.seconds["training"]

        for service, hours in laid_out:
            for hour, window in zip(hours, windows[service.name], strict=True):
                step(f"{service.name}: rows of {telling.hours_of(window)} arrive")
                live(call, told, service, hour, window)
        step("writing the RMF report")
        report = folder / "report.html"
        code, _ = call("report", "rmf", "--format", "html", "--out", str(report))
        if code:
            raise ControlPlaneError(f"controlplane report rmf ended with exit code {code}")
        told.seconds["total"] = time.perf_counter() - started
        result = gather(call, told, [service for service, _ in laid_out], report)
    result["dashboard"] = telling.dashboard_command(folder)
    telling.show(console, result)
    return result


def live(call: Call, told: Told, service: Service, hour: Hour, window: Window) -> None:
    """One hour: somebody may release a version, rows arrive, the due window is run, what is proposed is approved."""
    if hour.released is not None:
        version = service.release(hour.released)
        told.note(service.name, f"version {version} released", "somebody gave it the alias and asked nobody")
    answered_by = service.receive(hour.rows, window)
    arrived, arrived_at = time.perf_counter(), iso(datetime.now(UTC))
    done = ask(call, "run", service.name)
    if done["run"] is None:
        raise ControlPlaneError(f"{window} of {service.name} was not due; next due {done['next_due']}")
    listen(call, told, service, hour, window, done, arrived_at)
    for action in done["actions"]:
        if action["state"] == "proposed":
            code, _ = call("rollbacks", "approve", action["id"], "--by", PERSON, "--why", REASON)
            if code:
                raise ControlPlaneError(f"controlplane rollbacks approve {action['id']} ended with exit code {code}")
            told.note(service.name, "rollback approved", f"{PERSON}: {REASON}", window=window)
            changes(call, told, service.name, [action["incident_id"]], window)
    holder = service.holder()
    if holder != answered_by:
        seconds = time.perf_counter() - arrived
        told.moves.append(
            {"monitor": service.name, "window": str(window), "from": answered_by, "to": holder, "seconds": seconds}
        )
        why = f"{seconds:.1f} s after the window's file arrived, read with MLflow's own client"
        told.note(service.name, f"version {holder} holds {ALIAS}", why, window=window)


def listen(
    call: Call, told: Told, service: Service, hour: Hour, window: Window, done: dict[str, Any], arrived_at: str
) -> None:
    """Note what a run said of the rows that had arrived, and what it changed of incidents."""
    run = done["run"]
    told.runs.append(run | {"checks": done["verdict"]["checks"], "findings": done["findings"]})
    about = f"{hour.rows.num_rows} rows" + (f", {hour.about}" if hour.about else "")
    what = f"{run['outcome']}, version {run['version']}, {about}"
    told.note(service.name, what, run["why"], arrived_at, window)
    changes(call, told, service.name, [incident["id"] for incident in done["incidents"]], window)


def changes(call: Call, told: Told, monitor: str, incidents: list[str], window: Window) -> None:
    """Note what happened to incidents since they were last looked at, oldest first."""
    found = []
    for incident in incidents:
        shown = ask(call, "incidents", "show", incident)
        found += [(shown["incident"]["cause"], change) for change in shown["transitions"]]
    for cause, change in sorted(found, key=lambda each: str(each[1]["id"])):
        if change["id"] not in told.transitions:
            told.transitions.add(change["id"])
            what = f"{cause} incident: {change['event'].replace('_', ' ')}"
            told.note(monitor, what, change["text"], change["at"], window)


def gather(call: Call, told: Told, watched: list[Service], report: Path) -> dict[str, Any]:
    """Everything the store and the registry say at the end, as one object."""
    rollbacks = ask(call, "rollbacks", "list")["rollbacks"]
    return {
        "runs": told.runs,
        "incidents": ask(call, "incidents", "list", "--all")["incidents"],
        "actions": [ask(call, "rollbacks", "show", each["id"]) for each in reversed(rollbacks)],
        "history": {each.name: ask(call, "history", each.name)["history"] for each in watched},
        "final_versions": {each.name: each.holder() for each in watched},
        "moves": told.moves,
        "timeline": told.timeline,
        "seconds": told.seconds,
        "report": str(report),
    }


def ask(call: Call, *argv: str) -> Any:
    """The object one command prints; raises ControlPlaneError with the command's own sentence where it could not."""
    code, said = call(*argv, "--json")
    if not isinstance(said, dict) or "error" in said:
        why = said["error"] if isinstance(said, dict) else f"exit code {code}"
        raise ControlPlaneError(f"controlplane {' '.join(argv)}: {why}")
    return said
