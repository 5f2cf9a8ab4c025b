"""The writer's process, seen from the server's: started, fed, listened to, ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from controlplane.log.frames import Frame, settings_frame

_COMMAND = (sys.executable, "-m", "controlplane.log.writer")
_LOOK_MS = 50


class WriterProcess:
    """One life of the writer. `hear` is called with each thing it says, on a thread of this object's own.

    `go_on` is asked now and then while the process takes nothing in; False gives it up.
    """

    def __init__(
        self, settings: Mapping[str, Any], hear: Callable[[dict[str, Any]], None], go_on: Callable[[], bool]
    ) -> None:
        # A session of its own: a Ctrl-C at the terminal is for the server, which then ends its log in order.
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out, self._hear = self._process.stdin, self._process.stdout, hear
        os.set_blocking(self._in.fileno(), False)
        self._listener = threading.Thread(target=self._listen, name="inference-log-ear", daemon=True)
        self._listener.start()
        self.send(settings_frame(settings), go_on)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is no more."""
        return self._process.poll() is not None

    def send(self, frame: Frame, go_on: Callable[[], bool]) -> bool:
        """Hand over a frame; False where the process is gone, or was given up."""
        rest = memoryview(frame.pack())
        free = select.poll()
        free.register(self._in.fileno(), select.POLLOUT)
        while rest:
            try:
                rest = rest[os.write(self._in.fileno(), rest) :]
            except BlockingIOError:
                if not free.poll(_LOOK_MS) and not go_on():
                    self._process.kill()
                    return False
            except OSError:
                return False
        return True

    def end(self, seconds: float) -> None:
        """Let it write what it has and leave; after so long it is killed. All that it said has been heard then."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0.0))
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            # A process that waits for a dead disk ends when the disk lets it.
            self._process.wait(2.0)
        self._listener.join(1.0)
        with suppress(OSError):
            self._in.close()

    def _listen(self) -> None:
        rest = b""
        with self._out:
            while said := self._out.read(1 << 16):
                *lines, rest = (rest + said).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
