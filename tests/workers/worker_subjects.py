"""What the worker tests have done in a child: good and bad behaviour, importable by name from there."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from controlplane.errors import CheckError, NotEnoughData
from controlplane.workers import Task, Workers


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def fail(message: str) -> None:
    raise ValueError(message)


def cannot_check() -> None:
    raise CheckError("column 'age' is text, and a mean needs numbers")


def too_few() -> None:
    raise NotEnoughData("12 rows, at least 30 are needed", 12, 30)


class Odd(Exception):
    """Neither picklable nor printable."""

    def __init__(self) -> None:
        self.held = lambda: None

    def __str__(self) -> str:
        raise RuntimeError("no words")


def fail_oddly() -> None:
    raise Odd


def return_a_lambda() -> object:
    return lambda: None


class Unreadable:
    """Can be pickled, and raises where it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__, ("no_such_module_anywhere",)


def return_unreadable() -> Unreadable:
    return Unreadable()


def take(value: object) -> object:
    return value


def hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def hang_in_c() -> None:
    """Sleep with the interpreter's lock held: no Python thread of this process runs meanwhile."""
    ctypes.PyDLL(None).sleep(600)


def hang_with_grandchild(file: str) -> None:
    with open(file, "w") as out:
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        out.write(f"{os.getpid()} {started.pid}")
    hang_in_c()


def die_with_grandchild(file: str) -> None:
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(file).write_text(str(started.pid))
    os._exit(7)


def leave(code: int) -> None:
    os._exit(code)


def quit_politely() -> None:
    sys.exit("enough")


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def eat(mebibytes: int) -> int:
    return int(np.ones(mebibytes * 2**17).nbytes)


def shout() -> str:
    sys.stdout.write("noise of a library\n")
    sys.stderr.write("more of it\n")
    os.system("echo and from a shell")
    return os.environ["HF_HUB_OFFLINE"] + os.environ["DO_NOT_TRACK"] + os.environ["MLFLOW_DISABLE_TELEMETRY"]


def read_variable(name: str) -> str | None:
    return os.environ.get(name)


def slowly(file: str) -> str:
    """Busy until the file appears, so that a test decides how long a sibling is in flight."""
    Path(file + ".started").write_text("yes")
    while not os.path.exists(file):
        time.sleep(0.01)
    return "unharmed"


def parent(folder: str) -> None:
    """A process of its own that hangs with two busy children, to be killed from outside."""
    workers = Workers(2)
    for name in ("a", "b"):
        workers.submit(hang_with_grandchild, os.path.join(folder, name), timeout=600)
    time.sleep(600)


def interrupted(folder: str) -> None:
    """Runs until Ctrl-C, as a command at a terminal does."""
    with Workers(2) as workers:
        try:
            workers.measure_all([Task(hang_with_grandchild, (os.path.join(folder, name),), 600) for name in "ab"])
        except KeyboardInterrupt:
            sys.stdout.write("interrupted\n")


if __name__ == "__main__":
    {"parent": parent, "interrupted": interrupted}[sys.argv[1]](sys.argv[2])
