"""The straight line from a tick to its end: intents, runs, alerts, rollbacks, follow-ups, in that order."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.domain.monitor import Monitor, Reaction, RunKind, Window
from controlplane.engine import alerting, followups, intents, late, late_rows, references, rollback, servers, versions
from controlplane.engine.context import Context
from controlplane.engine.look import see
from controlplane.engine.run import Run, run_again, run_window
from controlplane.engine.schedule import due, next_due
from controlplane.errors import ControlPlaneError, LeaseLost, RegistryError
from controlplane.store import records, runs

_log = logging.getLogger(__name__)
_PATIENCE = 1.0


def due_windows(context: Context, monitor: Monitor) -> list[Window]:
    """The windows of a monitor that are complete and not yet run, oldest first."""
    with context.store.begin() as session:
        last = runs.last_window_end(session, context.workspace, monitor.name)
    return due(monitor.schedule, last, context.now())


def newest_window(context: Context, monitor: Monitor) -> Window:
    """The window to look at when nobody named one: the next due one, else the newest complete one."""
    return (due_windows(context, monitor) or due(replace(monitor.schedule, starts=None), None, context.now()))[0]


def next_due_at(context: Context, monitor: Monitor) -> datetime:
    """When the next window of a monitor will be due."""
    with context.store.begin() as session:
        last = runs.last_window_end(session, context.workspace, monitor.name)
    schedule = monitor.schedule
    first = context.now() if schedule.starts is None else schedule.starts + schedule.window - timedelta(minutes=1)
    return next_due(schedule, first if last is None else last)


def begin(context: Context) -> None:
    """Apply what people asked for, and finish what stored rows still call for: first of all a move in hand."""
    intents.apply(context)
    settle(context)


def tick(context: Context) -> list[Run]:
    """Do all that is due now: one window a monitor at a time, so that no monitor waits for another's backlog."""
    recorded: list[Run] = []
    servers.watch(context)
    begin(context)
    waiting, ran = set(context.monitors), set()
    while waiting and not context.stopping():
        for name in sorted(waiting):
            if context.stopping():
                break
            try:
                if name not in ran:
                    recorded += measure_late(context, context.monitors[name])
                run = run_next(context, context.monitors[name])
            except Exception as error:
                # Whatever it was, it is this monitor's trouble: the others go on, and its window is tried again later.
                _log.error("%s: %s", name, error, exc_info=not isinstance(error, ControlPlaneError))
                run = None
            if run is None:
                waiting.discard(name)
                if name in ran:
                    recorded += judge_again(context, context.monitors[name])
            else:
                ran.add(name)
                recorded.append(run)
                settle(context)
    _poll(context, ran)
    return recorded


def _poll(context: Context, ran: set[str]) -> None:
    """Note who holds the aliases that no window of this tick asked for: a registry keeps no history of its own.

    A version that took an alias over is made ready for at once: its first window, maybe a bad one, then waits for
    nothing. A registry that is away is asked once a tick: whoever needs it says so, and nothing waits for it here.
    """
    seen = {context.registry.key(context.monitors[name].model) for name in ran}
    for _, monitor in sorted(context.monitors.items()):
        key = context.registry.key(monitor.model)
        if key in seen or context.stopping():
            continue
        seen.add(key)
        asked = time.monotonic()
        try:
            taken_over = _taken_over(context, monitor)
        except RegistryError as error:
            _log.debug("%s: %s", monitor.name, error)
            if time.monotonic() - asked > _PATIENCE:
                return
            continue
        for name, other in sorted(context.monitors.items()) if taken_over else ():
            if context.registry.key(other.model) != key:
                continue
            try:
                prepare(context, other)
            except Exception as error:
                # It is prepared again with its next window; the others go on.
                _log.error("%s: %s", name, error, exc_info=not isinstance(error, ControlPlaneError))


def _taken_over(context: Context, monitor: Monitor) -> bool:
    """Look who holds the alias: whether it is another version than at the last look."""
    with context.store.begin() as session:
        known = len(records.holdings(session, context.workspace, context.registry.key(monitor.model)))
    return see(context, monitor)[1] >= known > 0


def run_next(context: Context, monitor: Monitor) -> Run | None:
    """Run the oldest due window of a monitor as a scheduled run; None where none is due or another process has it."""
    windows = due_windows(context, monitor)
    if not windows:
        return None
    prepare(context, monitor)
    try:
        return run_window(context, monitor, windows[0], RunKind.SCHEDULED)
    except LeaseLost as error:
        _log.warning("%s", error)
        return None


def measure_late(context: Context, monitor: Monitor) -> list[Run]:
    """Measure the windows anew that rows came late for, oldest first.

    Looked for whenever a window is due, and before it is run: one that was empty at first can still count in its order.
    """
    recorded: list[Run] = []
    if not monitor.schedule.late_rows or not due_windows(context, monitor):
        return recorded
    try:
        found = late_rows.found(context, monitor)
    except ControlPlaneError as error:
        _log.warning("%s: late rows could not be looked for: %s", monitor.name, error)
        return recorded
    if found:
        prepare(context, monitor)
    for more in found:
        try:
            run = run_window(context, monitor, more.before.window, RunKind.SCHEDULED, more)
        except ControlPlaneError as error:
            # The others may well be measured, and this one is looked at again with the next window.
            _log.warning("%s: %s", monitor.name, error)
            continue
        if run is None:
            break
        recorded.append(run)
        settle(context)
        if context.stopping():
            break
    return recorded


def judge_again(context: Context, monitor: Monitor) -> list[Run]:
    """Judge the windows whose labels came meanwhile, oldest first; looked for whenever a window was due."""
    recorded: list[Run] = []
    try:
        for again in late.ripe(context, monitor):
            run = run_again(context, monitor, again)
            if run is None or context.stopping():
                break
            recorded.append(run)
            settle(context)
    except Exception as error:
        # As in a tick: it is this monitor's trouble, and the labels are looked for again with its next window.
        _log.error("%s: %s", monitor.name, error, exc_info=not isinstance(error, ControlPlaneError))
    return recorded


def settle(context: Context) -> None:
    """Tell, roll back, tell of that, and follow up: everything that starts from stored rows."""
    alerting.deliver(context)
    if rollback.advance(context):
        alerting.deliver(context)
    followups.run(context)


def prepare(context: Context, monitor: Monitor) -> None:
    """Keep what a new version is, and build its reference: of the alias's holder, or one whose rows were seen last."""
    try:
        holder, _ = see(context, monitor)
    except RegistryError:
        return
    if monitor.reaction is not Reaction.OBSERVE:
        versions.note(context, monitor, [holder, *monitor.rollback_targets])
    if monitor.reference is None:
        return
    with context.store.begin() as session:
        seen = runs.versions_without_reference(session, context.workspace, monitor.name)
    for version in dict.fromkeys([holder, *seen]):
        why = references.ensure(context, monitor, version)
        if why:
            _log.warning("no reference of %s for version %s: %s", monitor.name, version, why)
