"""The scheduler: APScheduler only ticks; what is due is decided by `due`, and a SIGTERM ends the tick in order."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from controlplane.engine import cycle
from controlplane.engine.context import Context
from controlplane.errors import ControlPlaneError

_log = logging.getLogger(__name__)

AWAKE = 0.5


@contextmanager
def stopping_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set: the step in hand is finished, the rest is not begun."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        _log.info("%s: finishing what is in hand", signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(context: Context, every: float, stop: threading.Event, woken: threading.Event | None = None) -> None:
    """Tick every `every` seconds until `stop` is set; a tick that takes longer is not doubled, only late.

    `woken` asks for one at once; where one is under way, for another right after it.
    """
    from apscheduler.schedulers.background import BackgroundScheduler

    woken = woken or threading.Event()

    def look() -> None:
        woken.clear()
        tick(context)

    ticks = BackgroundScheduler(timezone="UTC")
    job = ticks.add_job(
        look,
        "interval",
        seconds=every,
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
        next_run_time=context.now(),
    )
    ticks.start()
    _log.info("watching %s; looking every %g s", ", ".join(sorted(context.monitors)) or "nothing", every)
    # A signal may be taken by another thread; Python runs its handler here, once this thread wakes up.
    while not stop.wait(AWAKE):
        if woken.is_set():
            job.modify(next_run_time=datetime.now(UTC))
    ticks.shutdown(wait=True)


def tick(context: Context) -> None:
    """One tick that survives what goes wrong in it: the next one starts from the store."""
    try:
        for run in cycle.tick(context):
            _log.info("%s %s %s: %s", run.monitor, run.window, run.verdict.outcome, run.verdict.why)
    except ControlPlaneError as error:
        _log.error("%s", error)
