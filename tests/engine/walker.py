"""One life of a scheduler: does all that is due, or dies by SIGKILL right after a given step."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime

from controlplane.app import open_app
from controlplane.config import Settings
from controlplane.engine import cycle, register


def main(deadly_step: str, now: str) -> None:
    def observe(step: str) -> None:
        if step == deadly_step:
            os.kill(os.getpid(), signal.SIGKILL)

    at = datetime.fromisoformat(now)
    with open_app(Settings(), observe, now=lambda: at) as (context, problems):
        assert not problems, problems
        register.register(context)
        cycle.tick(context)


if __name__ == "__main__":
    main(*sys.argv[1:])
