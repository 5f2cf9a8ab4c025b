"""Programs that run beside a demo: started with their own logs, watched while it lasts, and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from controlplane.errors import ControlPlaneError

STOP_SECONDS = 45.0
PAUSE = 0.05


@dataclass(slots=True)
class Program:
    """One running program; its standard output and error lie in `out` and `log`."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    log: Path
    _read: int = 0

    def heard(self) -> list[str]:
        """The whole lines its log has had since this was last asked."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()


@dataclass(slots=True)
class Programs:
    """The programs of one demo, ended in the opposite order of their start, whatever happens."""

    folder: Path
    running: list[Program] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.running:
            self.stop(self.running[-1])

    def start(self, name: str, module: str, *arguments: str) -> Program:
        """Run `python -m module` with this process's environment, in a process group of its own."""
        out, log = self.folder / f"{name}.out", self.folder / f"{name}.log"
        with out.open("wb") as told, log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=errors,
                env=dict(os.environ),
                start_new_session=True,
            )
        program = Program(name, process, out, log)
        self.running.append(program)
        return program

    def stop(self, program: Program) -> None:
        """Ask a program to end, and kill it and what it started where it does not."""
        self.running.remove(program)
        program.process.terminate()
        try:
            program.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(program.process.pid, signal.SIGKILL)
            program.process.wait()

    def until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until something is true; raises ControlPlaneError where a program ends before, or it takes too long."""
        last = time.monotonic() + seconds
        while not true():
            for program in self.running:
                if program.process.poll() is not None:
                    raise ControlPlaneError(self._ended(program))
            if time.monotonic() > last:
                raise ControlPlaneError(f"{what} did not happen within {seconds:.0f} s; the logs are in {self.folder}")
            time.sleep(PAUSE)

    def _ended(self, program: Program) -> str:
        lines = program.log.read_text(errors="replace").strip().splitlines()
        said = f": {lines[-1].strip()}" if lines else ""
        return f"{program.name} ended with exit code {program.process.returncode}{said} (all of it: {program.log})"
