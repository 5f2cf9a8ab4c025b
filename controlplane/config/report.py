"""Turns what pydantic says of a file into sentences for people, each with its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controlplane.config.lines import Document, Loc, Wrong
from controlplane.errors import Problem
from controlplane.ports import suggest

_WORDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "dataclass_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


class Report:
    """The problems of one file, by line; one a place, the first said."""

    def __init__(self, file: str, document: Document) -> None:
        self._file, self._document = file, document
        self._said: dict[Loc, Problem] = {}
        for mistake in document.mistakes:
            self._said.setdefault(mistake.loc, Problem(file, mistake.line, mistake.wrong, mistake.valid))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem, by line."""
        return tuple(sorted(self._said.values(), key=lambda problem: problem.line))

    def touches(self, place: Loc) -> bool:
        """Whether anything at or inside a place is wrong."""
        return any(loc[: len(place)] == place for loc in self._said)

    def add(self, loc: Loc, wrong: str, valid: str = "") -> None:
        """Say what is wrong at `loc`, unless something was said of that very place before."""
        self._said.setdefault(loc, Problem(self._file, self._document.line(loc), wrong, valid))

    def add_wrong(self, loc: Loc, wrong: Wrong) -> None:
        """Say a `Wrong` at `loc`."""
        self.add(loc, wrong.wrong, wrong.valid)

    def add_errors(self, error: ValidationError, form: type[BaseModel]) -> None:
        """Say everything pydantic found while reading the file as `form`."""
        for detail in error.errors(include_url=False):
            loc = tuple(part for part in detail["loc"] if part != "[key]")
            if detail["type"] == "extra_forbidden":
                self.add(loc, *_unknown(str(loc[-1]), [key for key, _ in keys_at(form, loc[:-1])]))
            elif detail["type"] == "missing":
                meaning = dict(keys_at(form, loc[:-1])).get(str(loc[-1]), "")
                self.add(loc, f"missing key {str(loc[-1])!r}{_inside(loc)}", meaning)
            else:
                self.add(loc, *say(detail, where(loc)))


def _unknown(key: str, known: Sequence[str]) -> tuple[str, str]:
    return f"unknown key {key!r}", suggest(key, known)


def say(detail: ErrorDetails, name: str, shown: bool = True) -> tuple[str, str]:
    """What is wrong with the value of `name`, and what would be valid; the value is quoted only where `shown`."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    wrong = f"{name} is {_show(value)}" if shown else f"{name} cannot be used"
    if kind == "value_error":
        cause = context["error"]
        said = cause if isinstance(cause, Wrong) else Wrong(str(cause))
        return (f"{name}: {said.wrong}" if name else said.wrong), said.valid
    if kind in _WORDS:
        quote = f', such as "{value}"' if kind == "string_type" and isinstance(value, int | float) and shown else ""
        return wrong, f"it must be {_WORDS[kind]}{' in quotes' if quote else ''}{quote}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return wrong, f"it must be {words} {context[bound]}"
    if kind in ("enum", "literal_error"):
        choices = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        return wrong, suggest(str(value), choices)
    if kind in ("too_short", "string_too_short"):
        return f"{name} is empty", "give at least one" if kind == "too_short" else "give it or leave it out"
    return wrong, detail["msg"][:1].lower() + detail["msg"][1:]


def keys_at(form: type[BaseModel], loc: Loc) -> list[tuple[str, str]]:
    """The keys that are valid at a place of a form, each with its meaning."""
    kind: Any = form
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found = [item.annotation for name, item in kind.model_fields.items() if (item.alias or name) == part]
            kind = found[0] if found else None
        else:
            kind = get_args(kind)[-1] if get_args(kind) else None
        if get_origin(kind) is UnionType:
            kind = next(choice for choice in get_args(kind) if choice is not type(None))
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [(item.alias or name, item.description or "") for name, item in kind.model_fields.items()]


def where(loc: Loc) -> str:
    """A place in words: the keys after the last list item, or which item of which list.

    >>> where(("checks", 0, "limits", "drift", "max")), where(("receivers", 1))
    ('limits.drift.max', 'item 2 of receivers')
    """
    last = max((index for index, part in enumerate(loc) if isinstance(part, int)), default=-1)
    if loc and last == len(loc) - 1:
        return f"item {int(loc[-1]) + 1} of {where(loc[:-1])}"
    return ".".join(str(part) for part in loc[last + 1 :])


def _inside(loc: Loc) -> str:
    return f" in {where(loc[:-1])}" if len(loc) > 1 else ""


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value.value if isinstance(value, Enum) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
