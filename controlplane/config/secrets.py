"""Secrets stay in the environment, or in files it names: job files say `${VAR}`, and nothing here ever prints one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controlplane.config.lines import Loc
from controlplane.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_WORD = r"(?:password|passwd|pwd|secret|token|api_?key|sig|signature|authorization|credentials?)"
_PASSWORD_IN_URL = re.compile(r"://[^\s/?#@:]*:([^\s/@]+)@")
_SECRET_IN_QUERY = re.compile(rf"([?&;](?:[a-z_-]*_)?{_SECRET_WORD}=)([^&;\s]+)", re.IGNORECASE)
_SECRET_KEY = re.compile(rf"^(?:.*[_-])?{_SECRET_WORD}$", re.IGNORECASE)


def literal_secret(key: str, text: str) -> str:
    """What kind of secret stands in the text itself, or '' where there is none.

    >>> literal_secret("url", "postgresql://ann:s3cret@db/prod"), literal_secret("url", "postgresql://ann:${PW}@db/prod")
    ('a password stands in the URL', '')
    """
    for found in _PASSWORD_IN_URL.finditer(text):
        if not _VARIABLE.search(found[1]):
            return "a password stands in the URL"
    for found in _SECRET_IN_QUERY.finditer(text):
        if not _VARIABLE.search(found[2]):
            return "a secret stands in the URL"
    if _SECRET_KEY.match(key) and not _VARIABLE.search(text):
        return f"the secret {key!r} stands in the file"
    return ""


def variables(text: str) -> list[str]:
    """The names of the `${VAR}`s in a text, in their order."""
    return _VARIABLE.findall(text)


def stray(text: str) -> str:
    """The first `${` that is not a well-formed `${VAR}`, or ''.

    >>> stray("${HOST:-localhost}/db"), stray("${HOST}/db")
    ('${HOST:-localhost}', '')
    """
    found = re.search(r"\$\{[^}]*\}?", _VARIABLE.sub("", text))
    return found[0] if found else ""


def secret_in_file(name: str) -> str | None:
    """The secret in the file that the variable `<name>_FILE` names, without the end of its last line; None without one.

    So that a secret need not stand in a process's environment, where whatever it starts can read it. Raises
    ConfigError that names the variable and the file, for one that cannot be read or holds nothing.
    """
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return None
    try:
        secret = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else "") or "it is no text in UTF-8"
        raise ConfigError(f"{name}_FILE names {path!r}, which cannot be read: {said}") from None
    if not secret.strip():
        raise ConfigError(f"{name}_FILE names {path!r}, which is empty; it must hold the secret alone")
    return secret


def expand(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with each `${VAR}` replaced from the environment, or from the file `VAR_FILE` names, at any depth.

    Called only when a source or a notifier is constructed, so that no secret reaches the store. Raises ConfigError
    that names a variable that is not set, or a file that cannot be used.
    """
    return {key: _expand(value) for key, value in options.items()}


def resolve_options(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options as a source or notifier is constructed with: secrets expanded, and `path` made absolute.

    A relative local `path` is relative to the job file's folder; URLs (`s3://...`) are left alone.

    >>> resolve_options({"path": "../data/*.parquet"}, Path("/srv/jobs"))
    {'path': '/srv/data/*.parquet'}
    >>> resolve_options({"path": "s3://bucket/a.parquet"}, Path("/srv/jobs"))
    {'path': 's3://bucket/a.parquet'}
    """
    resolved = expand(options)
    path = resolved.get("path")
    if isinstance(path, str) and "://" not in path:
        resolved["path"] = os.path.normpath(folder.absolute() / path)
    return resolved


def texts(value: Any, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Every text in a file's data, with where it stands."""
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*loc, index))


def _expand(value: Any) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(_lookup, value)
    if isinstance(value, Mapping):
        return {key: _expand(item) for key, item in value.items()}
    return [_expand(item) for item in value] if isinstance(value, list | tuple) else value


def _lookup(found: re.Match[str]) -> str:
    value = os.environ[found[1]] if found[1] in os.environ else secret_in_file(found[1])
    if value is None:
        raise ConfigError(f"the environment variable {found[1]} is not set")
    return value
