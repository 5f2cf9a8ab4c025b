"""A process that has everything imported and starts schedulers by forking, because each import costs seconds.

It reads one JSON object a line: `{"live": [step, now], "after": seconds, "environment": {...}}` forks a scheduler that
dies by SIGKILL at that step, or after so long, and answers with its process id; `{"command": [...], "into": folder,
"environment": {...}}` forks a command, whose output goes to files; `{"end": pid}` waits for either and answers with its
exit code, negative for a signal. What one imported until its natural end, the next ones find imported.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import walker

from controlplane.cli import main as cli

FOR_EVER = 3600.0
WARM = ["controlplane.workers", "controlplane.engine.references", "controlplane.models.warm"]
PIPE = 65_536
"""So many bytes a pipe holds without a reader."""


def command(argv: list[str], into: Path) -> None:
    """Be the command `controlplane`, as if started by a shell."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(into / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["controlplane", *argv]
    cli.main()


def fork(do: Callable[[], None], environment: dict[str, str], imported: int) -> int:
    """Start one process, which writes the names of its modules to `imported` at its end; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ.update(environment)
        # The nursery's fork server serves its children too; Python would take it for dead, being no child of theirs.
        forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
        forkserver.ensure_running = forkserver._forkserver.ensure_running
        known = set(sys.modules)
        try:
            do()
        except SystemExit as end:
            code = int(end.code or 0)
        else:
            code = 0
        os.write(imported, "".join(f"{name}\n" for name in sys.modules if name not in known).encode()[:PIPE])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def learn(imported: int) -> None:
    """Import what schedulers imported; a module that does not stand alone is left to them."""
    while select.select([imported], [], [], 0)[0]:
        for name in os.read(imported, PIPE).decode().splitlines():
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def main() -> None:
    """Answer until there is nobody to ask; the dead are reaped at once, so that others see that they are gone."""
    warnings.simplefilter("ignore")
    multiprocessing.get_context("forkserver").set_forkserver_preload(WARM)
    forkserver.ensure_running()
    ended: dict[int, int] = {}
    alive: dict[int, float] = {}
    asked: Any = None
    imported, tell = os.pipe()
    while True:
        while alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            del alive[pid]
            ended[pid] = os.waitstatus_to_exitcode(status)
        for pid in [pid for pid, until in alive.items() if time.monotonic() > until]:
            os.kill(pid, signal.SIGKILL)
        if asked is not None and asked["end"] in ended:
            print(ended.pop(asked["end"]), flush=True)  # noqa: T201
            asked = None
        if select.select([sys.stdin], [], [], 0.002 if alive else None)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            said = json.loads(line)
            if "end" in said:
                asked = said
            else:
                learn(imported)
                live, commanded = said.get("live"), said.get("command")
                do = partial(walker.main, *live) if live else partial(command, commanded, Path(said["into"]))
                pid = fork(do, said["environment"], tell)
                alive[pid] = time.monotonic() + (FOR_EVER if said.get("after") is None else said["after"])
                print(pid, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
