"""The child's side of a worker: one request after the other, each answered with a Reply whatever became of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import resource
import signal
import traceback
from dataclasses import dataclass
from errno import ENOMEM
from importlib import import_module
from multiprocessing.connection import Connection

from controlplane.errors import ControlPlaneError, NotEnoughData

_SENTENCE = 400


@dataclass(frozen=True, slots=True)
class Reply:
    """What a child sends back; `value` is pickled apart, so that a value nobody can read breaks nothing else."""

    value: bytes | None = None
    error: str = ""
    blind: NotEnoughData | None = None
    spent: bool = False
    trace: str = ""


def work(
    requests: Connection, lifeline: Connection, preload: tuple[str, ...], environment: dict[str, str], loud: bool
) -> None:
    """The life of a child: lead a process group, fall silent, import, then answer one request after the other."""
    os.setsid()
    _die_with(lifeline)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    nothing = os.open(os.devnull, os.O_RDWR)
    for target, source in ((0, nothing), (1, 2 if loud else nothing), (2, 2 if loud else nothing)):
        os.dup2(source, target)
    os.environ.update(environment)
    for name in preload:
        with contextlib.suppress(ImportError):
            import_module(name)
    with contextlib.suppress(EOFError, BrokenPipeError):
        requests.send_bytes(b"ready")
        while True:
            requests.send_bytes(pickle.dumps(_perform(requests.recv_bytes())))


def _die_with(lifeline: Connection) -> None:
    """Have the kernel kill this process group when the parent's end of `lifeline` closes, however the parent ended.

    A thread that waits for the end of the pipe could not run while C code holds the interpreter, and PR_SET_PDEATHSIG
    looks at the fork server, which outlives the parent for as long as one child does.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if lifeline.poll():
        os.killpg(0, signal.SIGKILL)


def _perform(request: bytes) -> Reply:
    try:
        fn, args, memory = pickle.loads(request)
    except Exception as error:
        return Reply(error=f"cannot be loaded in a worker: {sentence(error)}", trace=traceback.format_exc())
    value, returned, body = None, False, b""
    failure: BaseException | None = None
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        if memory is not None:
            limit = _address_space() + memory * 2**20
            resource.setrlimit(
                resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
            )
        value = fn(*args)
        returned = True
        body = pickle.dumps(value)
    except BaseException as error:
        failure = error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    if failure is None:
        return Reply(body)
    trace = "".join(traceback.format_exception(failure))
    if isinstance(failure, NotEnoughData):
        return Reply(blind=NotEnoughData(str(failure), failure.n, failure.needed))
    if memory is not None and _is_memory(failure):
        # An import or an allocation cut short leaves halves behind: nothing else may run in this child.
        return Reply(error=f"needed more than its memory limit of {memory} MiB", spent=True, trace=trace)
    if returned:
        kind = type(value).__name__
        return Reply(error=f"returned a {kind} that cannot be sent back: {sentence(failure)}", trace=trace)
    return Reply(error=sentence(failure), trace=trace)


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _is_memory(error: BaseException) -> bool:
    # Native libraries raise their own types: torch a RuntimeError, the loader of shared objects an ImportError.
    refused = isinstance(error, OSError) and error.errno == ENOMEM
    return refused or isinstance(error, MemoryError) or "allocate memory" in sentence(error)


def sentence(error: BaseException) -> str:
    """One line for any exception: the product's own errors speak for themselves, others are named."""
    try:
        text = " ".join(str(error).split())[:_SENTENCE]
    except Exception:
        text = ""
    if isinstance(error, ControlPlaneError) and text:
        return text
    return f"raised {type(error).__name__}" + (f": {text}" if text else "")
