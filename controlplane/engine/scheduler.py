"""The scheduler: APScheduler only ticks; what is due is decided by `due`, and a SIGTERM ends the tick in order."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType

from controlplane.engine import cycle
from controlplane.engine.context import Context
from controlplane.errors import ControlPlaneError

_log = logging.getLogger(__name__)


def serve(open_context: Callable[[Callable[[], bool]], Context], every: float) -> None:
    """Tick every `every` seconds until SIGTERM or SIGINT; the step in hand is finished, the rest is left claimed by
    nobody. The context is opened once, with the question whether to stop."""
    from apscheduler.schedulers.background import BackgroundScheduler

    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        _log.info("%s: finishing what is in hand", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    context = open_context(stop.is_set)
    ticks = BackgroundScheduler(timezone="UTC")
    ticks.add_job(
        tick, "interval", args=(context,), seconds=every, max_instances=1, coalesce=True, next_run_time=context.now()
    )
    ticks.start()
    stop.wait()
    ticks.shutdown(wait=True)


def tick(context: Context) -> None:
    """One tick that survives what goes wrong in it: the next one starts from the store."""
    try:
        for run in cycle.tick(context):
            _log.info("%s %s %s: %s", run.monitor, run.window, run.verdict.outcome, run.verdict.why)
    except ControlPlaneError as error:
        _log.error("%s", error)
