"""What a reader's error may say: one line, and no credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.errors import SourceError, masked


def one_line(error: Exception, limit: int = 240) -> str:
    """What the error says in one masked line of at most `limit` characters, or its type where it says nothing.

    >>> one_line(ValueError("bad\\n  footer"))
    'bad footer'
    """
    text = masked(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a reader raises into a SourceError that names `what`.

    Files behind a URL are read by plugins of other people, who raise errors of any type; all of them mean that
    these rows could not be read.
    """
    try:
        yield
    except (SourceError, MemoryError):
        raise
    except Exception as error:
        raise SourceError(f"{what} cannot be read: {one_line(error)}") from error
