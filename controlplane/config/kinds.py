"""What a check, a source or a notifier takes, asked of its own `Params`: one table, built-ins and plugins alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from controlplane.config.lines import Loc, Wrong
from controlplane.config.report import Report, say
from controlplane.config.secrets import expand, literal_secret, stray, texts, variables
from controlplane.errors import ConfigError, masked
from controlplane.ports import load, names, suggest


def make_params(table: str, kind: str, options: Mapping[str, Any]) -> Any:
    """An instance of the `Params` that a kind of `checks`, `sources` or `notifiers` declares.

    Strict: text is no number and a number no text. Raises ConfigError in one sentence that quotes no secret.

    >>> make_params("sources", "files", {"path": "a.parquet", "columns": ["x"]}).columns
    ('x',)
    """
    found = params_of(table, kind)
    unknown = [key for key in options if key not in option_names(found)]
    if unknown:
        raise ConfigError(f"{kind} has no option {unknown[0]!r}; {suggest(unknown[0], option_names(found))}")
    try:
        return _read(found, options)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        name = str(detail["loc"][0]) if detail["loc"] else ""
        said, valid = say(detail, name, name not in secret_options(found))
        raise ConfigError(f"{kind}: {said}" + (f"; {valid}" if valid else "")) from None


def find(table: str, kind: str) -> Any:
    """The class behind a name; raises Wrong with the valid choices, or with why an installed plugin cannot be used."""
    try:
        return load(table, kind)
    except ConfigError:
        raise Wrong(f"unknown {table[:-1]} {kind!r}", suggest(kind, names(table))) from None
    except (ImportError, AttributeError) as error:
        raise Wrong(f"{table[:-1]} {kind!r} cannot be loaded ({error})", "install what it needs") from None


def params_of(table: str, kind: str) -> type:
    """The `Params` dataclass of a kind; raises Wrong."""
    found: type = find(table, kind).Params
    return found


def known_columns(kind: str) -> Mapping[str, Any]:
    """Which column plays which part in every source of a kind; empty where each job has to say so. Raises Wrong."""
    found: Mapping[str, Any] = getattr(find("sources", kind), "columns", {})
    return {**found, "ignored": list(found.get("ignored", ()))} if found else {}


def with_known_columns(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job's data with the columns that its kind of source knows, where the job does not say otherwise."""
    source, given = data.get("source"), data.get("columns", {})
    kind = source.get("kind") if isinstance(source, Mapping) else None
    try:
        known = known_columns(kind) if isinstance(kind, str) else {}
    except Wrong:
        return data
    if not known or not isinstance(given, Mapping):
        return data
    ignored = given.get("ignored", [])
    if isinstance(ignored, list):
        given = {**given, "ignored": [*known["ignored"], *ignored]}
    return {**data, "columns": {**known, **given}}


def option_names(params: type) -> list[str]:
    """The options a `Params` takes."""
    return [item.name for item in fields(params) if item.init]


def secret_options(params: type) -> frozenset[str]:
    """The options that bear secrets: those their dataclass keeps out of its own repr."""
    return frozenset(item.name for item in fields(params) if not item.repr)


@cache
def adapter(params: type) -> TypeAdapter[Any]:
    """What validates a `Params`; building one costs milliseconds."""
    return TypeAdapter(params)


def check_options(report: Report, loc: Loc, params: type, options: Mapping[str, Any]) -> None:
    """Say in the report everything that is wrong with a kind's options, which stand at `loc`."""
    known, secret = option_names(params), secret_options(params)
    for key in options:
        if key not in known:
            report.add((*loc, key), f"unknown key {key!r}", suggest(key, known))
    known_options = {key: value for key, value in options.items() if key in known}
    used = {name for key in secret & set(options) for _, text in texts(options[key]) for name in variables(text)}
    try:
        expanded = expand({key: value for key, value in known_options.items() if key in secret})
    except ConfigError:
        return
    secrets = {value: f"${{{name}}}" for name in used for value in [expand({"": f"${{{name}}}"})[""]] if value}
    try:
        _read(params, {**known_options, **expanded})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = ".".join(str(part) for part in detail["loc"])
            if detail["type"] in ("missing", "missing_argument"):
                report.add((*loc, *detail["loc"]), f"missing key {name!r}", "")
                continue
            shown = not detail["loc"] or detail["loc"][0] not in secret
            said = [masked(_hide(text, secrets)) for text in say(detail, name, shown)]
            report.add((*loc, *detail["loc"]), *said)


def check_secrets(report: Report, data: Mapping[str, Any], may_hold: frozenset[Loc]) -> None:
    """Say where a secret stands in the file itself, and where a `${VAR}` is not set or may not stand."""
    for loc, text in texts(data):
        allowed = any(loc[: len(place)] == place for place in may_hold)
        key = next((part for part in reversed(loc) if isinstance(part, str)), "")
        if said := literal_secret(key if allowed else "", text):
            report.add(loc, said, "write it as ${VAR} and set VAR in the environment")
        elif "${" in text and not allowed:
            found = f"${{{variables(text)[0]}}}" if variables(text) else stray(text)
            report.add(loc, f"{found} stands in {key!r}", "only options that bear secrets may hold variables")
        elif found := stray(text):
            report.add(loc, f"{found!r} is not a variable", "write ${VAR}")
        for name in variables(text) if allowed else []:
            try:
                expand({"": f"${{{name}}}"})
            except ConfigError as error:
                report.add(loc, str(error), "set it, or correct its name")


def _read(params: type, options: Mapping[str, Any]) -> Any:
    return adapter(params).validate_json(json.dumps(options), strict=True)


def _hide(text: str, secrets: Mapping[str, str]) -> str:
    for secret, name in secrets.items():
        text = text.replace(secret, name)
    return text
