"""One worker process: the versions it holds, who answers what, and its web server."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

from controlplane.errors import ServingError
from controlplane.serving.answers import Loaded, Request
from controlplane.serving.plan import Plan, Role

if TYPE_CHECKING:
    from controlplane.log import InferenceLog

_log = logging.getLogger(__name__)
_RECENT = 16
_SHADOWS_WAITING = 100


@dataclass(frozen=True, slots=True)
class Slots:
    """Who answers. It is replaced whole and never changed, so that a request sees one state from begin to end."""

    by_role: Mapping[Role, Loaded] = field(default_factory=dict)

    def of(self, role: Role) -> tuple[Role, Loaded] | None:
        """Who answers for a role; the live version where the role has none; None before anything is loaded."""
        for each in (role, Role.LIVE):
            if each in self.by_role:
                return each, self.by_role[each]
        return None


class Worker:
    """What the requests of one process share. Told by the fleet over `pipe` what to load, to serve and to say."""

    def __init__(self, plan: Plan, pipe: Connection, log: InferenceLog | None) -> None:
        self.plan, self.log = plan, log
        self.slots = Slots()
        self.told: dict[str, Any] = {"version": None, "alias": str(plan.model), "why": "no version is loaded yet"}
        self.opened = threading.Event()
        self.threads = ThreadPoolExecutor(plan.limits.threads, "answers")
        self.shadows = ThreadPoolExecutor(1, "shadow")
        self.shadows_waiting = threading.BoundedSemaphore(_SHADOWS_WAITING)
        self._pipe, self._sending = pipe, threading.Lock()
        self._held: dict[str, Loaded] = {}
        self._recent: deque[Request] = deque(maxlen=_RECENT)

    def remember(self, request: Request) -> None:
        """Keep a request that was answered, for warming up the version that comes next."""
        self._recent.append(request)

    def ask_for_a_look(self) -> None:
        """Have the fleet look at the aliases now."""
        self._say({"look": True})

    def listen(self) -> None:
        """Do what the fleet says until it is gone; runs in a thread of its own."""
        while True:
            try:
                said = json.loads(self._pipe.recv_bytes())
            except (EOFError, OSError):
                return
            match said["do"]:
                case "open":
                    self.opened.set()
                case "load":
                    self._load(said["version"], Path(said["folder"]))
                case "serve":
                    self._serve({Role(role): version for role, version in said["roles"].items()}, said["keep"])
                case "tell":
                    self.told = said["state"]

    def _load(self, version: str, folder: Path) -> None:
        try:
            if version not in self._held:
                loaded = Loaded.load(version, folder)
                loaded.warm_up(list(self._recent))
                self._held[version] = loaded
            self._say({"loaded": version})
        except ServingError as error:
            self._say({"failed": version, "why": str(error)})

    def _serve(self, roles: Mapping[Role, str], keep: list[str]) -> None:
        self.slots = Slots({role: self._held[version] for role, version in roles.items()})
        self._held = {version: loaded for version, loaded in self._held.items() if version in keep}
        self.opened.set()
        self._say({"serves": {role.value: version for role, version in roles.items()}})

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            with self._sending:
                self._pipe.send_bytes(json.dumps(message).encode())
        except OSError:
            # The fleet is gone, and ends this process too.
            _log.debug("nobody hears %s", message)


def run(plan: Plan, pipe: Connection, listener: socket, others: Sequence[Connection]) -> None:
    """The whole life of a worker process, until the fleet's end of the pipe is closed, or SIGTERM while it answers.

    `others` are the fleet's own ends of pipes, which a fork inherits: held here, a fleet that is gone would go unseen.
    """
    import signal

    import uvicorn

    from controlplane.log import InferenceLog
    from controlplane.serving.app import make_app

    for each in others:
        each.close()
    # uvicorn ends in good order at either signal, and then raises it again: what follows it here must still be done.
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    log = None if plan.log is None else InferenceLog(**plan.log)
    worker = Worker(plan, pipe, log)
    config = uvicorn.Config(
        make_app(worker),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=round(plan.limits.answer_seconds),
        lifespan="off",
    )
    server = uvicorn.Server(config)

    def listen() -> None:
        worker.listen()
        server.should_exit = True
        worker.opened.set()

    threading.Thread(target=listen, name="fleet", daemon=True).start()
    over = threading.Event()
    counting = threading.Thread(target=_count, args=(log, over), name="counts", daemon=True)
    counting.start()
    worker.opened.wait()
    if not server.should_exit:
        server.run(sockets=[listener])
    worker.shadows.shutdown(cancel_futures=True)
    if log is not None:
        log.close()
    over.set()
    counting.join()


def _count(log: InferenceLog | None, over: threading.Event) -> None:
    """Keep the metrics of the log up to date until the end, which is counted too."""
    from controlplane.serving import metrics

    while log is not None:
        metrics.count_log(log.counts)
        if over.wait(1.0):
            metrics.count_log(log.counts)
            return
