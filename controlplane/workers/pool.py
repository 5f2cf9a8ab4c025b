"""Killable workers: each task runs alone in a warm child process, and whatever it does there costs only itself.

A pool of threads, one a child: the thread hands its child one task over their own pipe and waits for the answer, the
child's death or the task's time limit. No pipe and no lock is shared between children, so that a child that dies
at the worst moment has nothing of a sibling's in its hands. For POSIX; the memory limit and the death of children
with their parent need Linux.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from typing import Any, Self

from controlplane.errors import ControlPlaneError, NotEnoughData
from controlplane.workers.child import Reply, sentence, work

_QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_OFFLINE": "1"}

_START_SECONDS, _CLOSE_SECONDS = 120.0, 2.0
_TASKS_EACH = 200
_AWAKE = 0.5
_log = logging.getLogger(__name__)
# multiprocessing reads a dead child's exit code from a pipe, once: two threads that look at a time lose it.
_processes = threading.Lock()


@dataclass(frozen=True, slots=True)
class Task:
    """A call to make in a child: `fn` must be importable there (a module's own function) and `args` picklable.

    `timeout` is in seconds from the moment the child has the task; `memory` is how many MiB of address space the
    task may add to what its child already maps (None: no limit).
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    timeout: float = 300.0
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended: `error` is one sentence, `blind` is the NotEnoughData it raised; with neither, `value` holds.

    `seconds` is the task's own time, without the wait for a free child and without the child's start.
    """

    value: Any = None
    error: str = ""
    blind: NotEnoughData | None = None
    seconds: float = 0.0


class Workers:
    """Child processes that run tasks one at a time each, started at the first task and kept warm.

    A task that raises, hangs, outgrows its memory or kills its process ends as that one Result's sentence; its
    siblings go on, and the next task gets a new child. A killed child takes the processes it started with it,
    unless they left its process group. Children die with this process, even if it is killed with SIGKILL.

    `preload` names modules worth importing before the first task. They are imported once, in Python's fork server, and
    every child starts with them. A process has one fork server: the first Workers to start decides what it holds,
    and the children of a later one import what is missing by themselves. The main module is loaded there too, so
    a script must guard its work with `if __name__ == "__main__"`.

    >>> with Workers(processes=1) as workers:
    ...     [result.value for result in workers.measure_all([Task(divmod, (7, 2)), Task(len, ("abc",))])]
    [(3, 1), 3]
    """

    def __init__(self, processes: int = 2, preload: tuple[str, ...] = ()) -> None:
        self._processes, self._preload = processes, preload
        self._jobs: queue.SimpleQueue[tuple[Task, Future[Result]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy: set[_Child] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def warm_up(self) -> None:
        """Start the fork server now: what it imports takes as long as what the caller does before the first task."""
        with contextlib.suppress(OSError):  # the first task says so
            _start_server(self._preload)

    def submit(
        self, fn: Callable[..., Any], *args: Any, timeout: float = 300.0, memory: int | None = None
    ) -> Future[Result]:
        """Queue one call; the future's result is a Result, never an exception of the task. See Task for the limits."""
        future: Future[Result] = Future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("these workers were stopped")
            if not self._threads:
                self._start()
            self._jobs.put((Task(fn, args, timeout, memory), future))
        return future

    def measure_all(self, tasks: Sequence[Task]) -> list[Result]:
        """Run the tasks, as many at a time as there are children, and return their results in the order given."""
        futures = [self.submit(task.fn, *task.args, timeout=task.timeout, memory=task.memory) for task in tasks]
        try:
            while wait_for(futures, _AWAKE).not_done:  # another thread may take a Ctrl-C; it is raised on waking
                pass
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def stop(self, grace: float = 0.0) -> None:
        """Take no more tasks, cancel those that wait, give running ones `grace` seconds, then kill them."""
        with self._lock:
            self._stopped = True
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job[1].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        while any(thread.is_alive() for thread in self._threads):
            for child in tuple(self._busy):
                child.kill_group()
            for thread in self._threads:
                thread.join(0.05)
        atexit.unregister(self.stop)

    def _start(self) -> None:
        # multiprocessing waits at exit for children that are not daemons, and a daemon may not have children itself.
        atexit.register(self.stop)
        for number in range(self._processes):
            thread = threading.Thread(target=self._serve, name=f"worker-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        child: _Child | None = None
        while (job := self._jobs.get()) is not None:
            task, future = job
            if future.set_running_or_notify_cancel():
                result, child = self._run(task, child)
                future.set_result(result)
        if child is not None:
            child.close()

    def _run(self, task: Task, child: _Child | None) -> tuple[Result, _Child | None]:
        try:
            request = pickle.dumps((task.fn, task.args, task.memory))
        except Exception as error:
            return Result(error=f"cannot be sent to a worker: {sentence(error)}"), child
        if child is not None and child.spent:
            child.close()
            child = None
        try:
            child = child or _Child(self._preload)
        except (OSError, EOFError, _Ended) as error:
            return Result(error=f"no worker process could be started: {sentence(error)}"), None
        self._busy.add(child)
        started = time.monotonic()
        try:
            result = child.ask(request, task.timeout)
        except Exception as error:
            child.kill()
            if isinstance(error, _Ended):
                why = "was stopped before it ended" if self._stopped else str(error)
                if error.died and task.memory is not None:
                    why += f" (its memory limit was {task.memory} MiB)"
            else:
                why = f"returned what cannot be read here: {sentence(error)}"
            return Result(error=why, seconds=time.monotonic() - started), None
        finally:
            self._busy.discard(child)
        return result, child


def _start_server(preload: tuple[str, ...]) -> None:
    os.environ.update({"OMP_WAIT_POLICY": "passive"} | os.environ | _QUIET)
    # Ctrl-C is this process's business alone: the server, started from here, inherits the blocked signal.
    # The tracker goes first because its start unblocks it again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", __name__, *preload])
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Ended(ControlPlaneError):
    """A child that will not answer any more; `died` when that was its own doing."""

    def __init__(self, message: str, died: bool = False) -> None:
        super().__init__(message)
        self.died = died


class _Child:
    """One warm process and the two pipes to it: one for tasks, and one whose closing end kills it."""

    def __init__(self, preload: tuple[str, ...]) -> None:
        _start_server(preload)
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._tasks, self._gone = 0, False
        lifeline, self._lifeline = context.Pipe(duplex=False)
        loud = _log.isEnabledFor(logging.DEBUG)
        with _processes:
            self._process = context.Process(
                target=work, args=(theirs, lifeline, preload, dict(os.environ), loud), name="controlplane-worker"
            )
            self._process.start()
        theirs.close()
        lifeline.close()
        try:
            self._answer(_START_SECONDS)
        except _Ended:
            self.kill()
            raise

    @property
    def spent(self) -> bool:
        """Whether the next task should get another child: this one died while idle, or has leaked long enough.

        An idle child says nothing, so that anything to read is its end, which comes earlier than its exit code.
        """
        return self._tasks >= _TASKS_EACH or bool(wait([self._pipe, self._process.sentinel], 0))

    def ask(self, request: bytes, limit: float) -> Result:
        """Have the task run; raises _Ended when the child dies or the limit passes first."""
        started = time.monotonic()
        self._tasks += 1
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(request)
        reply: Reply = pickle.loads(self._answer(limit))
        if reply.trace:
            _log.debug("%s\n%s", reply.error, reply.trace)
        if reply.spent:
            self._tasks = _TASKS_EACH
        value = None if reply.value is None else pickle.loads(reply.value)
        return Result(value, reply.error, reply.blind, time.monotonic() - started)

    def _answer(self, limit: float) -> bytes:
        if not wait([self._pipe, self._process.sentinel], limit):
            raise _Ended(f"did not end within its limit of {limit:g} s and was killed")
        with contextlib.suppress(OSError, EOFError):
            if self._pipe.poll():
                return self._pipe.recv_bytes()
        with _processes:
            self._process.join(_CLOSE_SECONDS)
            code = self._process.exitcode
        if code is None:
            raise _Ended("closed the connection to its worker", died=True)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise _Ended(f"its process {how}", died=True)

    def kill_group(self) -> None:
        """Kill the child and the processes it started; one too young to lead a group has started none."""
        with _processes:
            if self._gone or self._process.pid is None:
                return
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._process.kill()

    def kill(self) -> None:
        """Kill the group and forget the process."""
        self.kill_group()
        self._forget()

    def close(self) -> None:
        """Let an idle child exit by itself, then kill what is left of its group."""
        self._pipe.close()
        wait([self._process.sentinel], _CLOSE_SECONDS)
        self.kill()

    def _forget(self) -> None:
        with _processes:
            self._gone = True
            self._process.join(_CLOSE_SECONDS)
            with contextlib.suppress(ValueError):
                self._process.close()
        self._pipe.close()
        self._lifeline.close()
