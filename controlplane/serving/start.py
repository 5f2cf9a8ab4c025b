"""Starting a server: its socket, its folders, and what all workers share."""

from __future__ import annotations

import gc
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from importlib import import_module
from tempfile import mkdtemp
from urllib.parse import quote

from controlplane.errors import ServingError
from controlplane.registry import Registry
from controlplane.serving.cache import Cache
from controlplane.serving.fleet import Fleet, Following
from controlplane.serving.plan import Plan, Role

_BACKLOG = 2048
_SHARED = (
    "mlflow.pyfunc",
    "mlflow.pyfunc.scoring_server",
    "controlplane.log.inference",
    "uvicorn",
    "starlette.applications",
)


def serve(
    plan: Plan,
    registry: Registry,
    report: Callable[[Mapping[Role, Following]], None] = lambda following: None,
    listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; raises ServingError where the server cannot be started.

    `report` hears how the aliases are followed, at every change and every half minute; `listening` hears of the port
    once it is bound.
    """
    _share_cores(plan.workers)
    listener = _bind(plan)
    counted = mkdtemp(prefix="controlplane-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted
    try:
        folder = plan.home / "serving" / f"{quote(plan.model.name, safe='')}-{listener.getsockname()[1]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServingError(f"{folder} cannot be a folder: {error.strerror}") from None
        for name in _SHARED:
            import_module(name)
        _warm()
        # What lives now lives as long as the server: not looked at again, it stays in memory once for all workers.
        gc.freeze()
        listening(listener.getsockname()[1])
        Fleet(plan, registry, Cache(folder), listener, report).run()
    finally:
        listener.close()
        shutil.rmtree(counted, ignore_errors=True)


def _share_cores(workers: int) -> None:
    """Have the threads of numeric libraries share the cores, and wait without spinning; what the user said stands.

    They take every core in every worker otherwise, and next to other work a request of 3 ms takes 50. They read this
    once, when they are loaded.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _warm() -> None:
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    # MLflow compares each model's requirements with all that is installed, which it reads once a process, for a second.
    warn_dependency_requirement_mismatches(["mlflow"])


def _bind(plan: Plan) -> socket.socket:
    try:
        family, *_, place = socket.getaddrinfo(plan.address, plan.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ServingError(f"nothing can listen at {plan.address}:{plan.port}: {error.strerror}") from None
    return listener
