"""Killable child processes that measure."""

from controlplane.workers.pool import Result, Task, Workers

__all__ = ["Result", "Task", "Workers"]
