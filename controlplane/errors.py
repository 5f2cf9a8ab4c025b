"""The error tree: every error a user can cause is one of these, with one clear sentence and an exit code."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CREDENTIALS = re.compile(r"://[^\s'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]*")


def masked(text: str) -> str:
    """The text as it may be shown: without the credentials and the query string of any URL in it.

    >>> masked("no answer from https://ann:s3cret@example.com/api?token=abc")
    'no answer from https://***@example.com/api?***'
    """
    return _QUERY.sub(r"\1?***", _CREDENTIALS.sub("://***@", text))


class ControlPlaneError(Exception):
    """What every error of the product is; the command line prints its sentence and exits with `exit_code`."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file: where it stands, what is wrong, what would be valid.

    >>> str(Problem("jobs/a.yaml", 7, "unknown check 'drfit'", "did you mean 'drift'?"))
    "jobs/a.yaml:7: unknown check 'drfit'; did you mean 'drift'?"
    """

    file: str
    line: int
    wrong: str
    valid: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.wrong}" + (f"; {self.valid}" if self.valid else "")


class ConfigError(ControlPlaneError, ValueError):
    """Configuration that cannot be used; holds every problem of every file, not the first one only."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...] | str) -> None:
        self.problems = () if isinstance(problems, str) else problems
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


class SourceError(ControlPlaneError, OSError):
    """Rows could not be read: a missing file, an unreadable one, a query that fails, a column that is gone."""


class NotEnoughData(ControlPlaneError):
    """Too few rows to say anything; becomes INCONCLUSIVE, never PASS."""

    def __init__(self, message: str, n: int = 0, needed: int = 0) -> None:
        super().__init__(message)
        self.n, self.needed = n, needed

    def __reduce__(self) -> tuple[type[NotEnoughData], tuple[str, int, int]]:
        return type(self), (str(self), self.n, self.needed)


class CheckError(ControlPlaneError):
    """A check could not be measured; becomes that one check's ERROR."""


class RegistryError(ControlPlaneError):
    """The model registry could not be reached, or does not hold what was asked for."""


class NotWritten(RegistryError):
    """A move failed before its write: the alias is as it was."""


class AliasMoved(RegistryError):
    """The alias did not hold the expected version when we looked: somebody else moved it."""

    def __init__(self, message: str, found: str | None) -> None:
        super().__init__(message)
        self.found = found


class ProbeError(ControlPlaneError):
    """The serving side could not be asked which version answers."""


class ServingError(ControlPlaneError):
    """A version could not be loaded or warmed up, or the server could not be started."""


class DeliveryError(ControlPlaneError):
    """A notification did not arrive; `permanent` says that trying again is useless."""

    def __init__(self, message: str, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class LeaseLost(ControlPlaneError):
    """Another process took over what this one held; nothing of this attempt was stored."""


class StoreError(ControlPlaneError):
    """The store could not be opened, or its schema is not the one this version needs."""
