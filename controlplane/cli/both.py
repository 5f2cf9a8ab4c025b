"""Two processes that live and end together."""

from __future__ import annotations

import signal
import subprocess
import threading
from types import FrameType

_GRACE = 30.0


def run_together(commands: list[tuple[list[str], dict[str, str]]]) -> int:
    """Run the commands until one of them ends or we are asked to stop; the others are then asked to end.

    Returns the exit code of the first that ended, 0 where we were asked.
    """
    ended = threading.Event()
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    running = [subprocess.Popen(command, env=environment, start_new_session=True) for command, environment in commands]
    codes: list[int] = []

    def watch(process: subprocess.Popen[bytes]) -> None:
        codes.append(process.wait())
        ended.set()

    watchers = [threading.Thread(target=watch, args=(process,), daemon=True) for process in running]
    for watcher in watchers:
        watcher.start()
    ended.wait()
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
    return 0 if asked.is_set() else codes[0] or 1
