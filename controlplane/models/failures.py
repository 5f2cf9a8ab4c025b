"""What a stranger's model raises, turned into the one sentence a user sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.errors import CheckError, ControlPlaneError, masked

_LONGEST = 300


@contextmanager
def failures_of(version: str, doing: str) -> Iterator[None]:
    """Turn whatever the block raises into a CheckError that names the version and what it was doing.

    A model is somebody else's code, so any exception may come out of it. MemoryError passes through: it speaks of the
    worker's limit, not of the model. Credentials in URLs are masked.

    >>> with failures_of("3", "predicting"):
    ...     raise ValueError("needs two columns")
    Traceback (most recent call last):
    ...
    controlplane.errors.CheckError: version 3 failed at predicting: ValueError: needs two columns
    """
    try:
        yield
    except (MemoryError, ControlPlaneError):
        raise
    except Exception as problem:
        raise CheckError(f"version {version} failed at {doing}: {_sentence(problem)}") from problem


def no_gradient(version: str) -> CheckError:
    """The refusal of a model that has no differentiable module."""
    return CheckError(f"version {version} is no torch model, so it has no gradient")


def _sentence(problem: Exception) -> str:
    first = next((line.strip() for line in str(problem).splitlines() if line.strip()), "")
    shown = masked(first)
    short = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "..."
    return f"{type(problem).__name__}: {short}" if short else type(problem).__name__
