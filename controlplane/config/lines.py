"""YAML that remembers its lines, so that every mistake can be pointed at."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from controlplane.errors import ConfigError

Loc = tuple[str | int, ...]

_MOST_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": re.compile(r"^(?:~|null|Null|NULL|)$"),
    "bool": re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    "int": re.compile(r"^[-+]?[0-9][0-9_]{0,17}$"),
    "float": re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
}


class Wrong(ConfigError):
    """A value that cannot be used: what is wrong with it, and what would be valid."""

    def __init__(self, wrong: str, valid: str = "") -> None:
        super().__init__(f"{wrong}; {valid}" if valid else wrong)
        self.wrong, self.valid = wrong, valid


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong with the YAML itself. `loc` is where in the data, `line` where in the text."""

    loc: Loc
    line: int
    wrong: str
    valid: str = ""


@dataclass
class Document:
    """A YAML file as plain data (text, numbers, true and false, lists, mappings), with the line of each part.

    >>> document = Document.parse("a: 1\\nb:\\n  - c: x\\n")
    >>> document.data, document.line(("b", 0, "c"))
    ({'a': 1, 'b': [{'c': 'x'}]}, 3)
    >>> Document.parse("a: 1\\na: 2").mistakes[0].wrong
    "key 'a' is given twice"
    """

    data: dict[str, Any] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    _lines: dict[Loc, int] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)

    @classmethod
    def parse(cls, text: str) -> Document:
        """Read one file's text; what cannot be read is in `mistakes`, the rest is in `data`."""
        document = cls()
        try:
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            document.mistakes.append(_syntax(error))
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            document.mistakes.append(Mistake((), line, f"not YAML: it holds the control character {error.character!r}"))
        except RecursionError:
            document.mistakes.append(Mistake((), 1, "not a job file: it is nested too deeply"))
        else:
            document._root(root)
        return document

    def line(self, loc: Loc) -> int:
        """The line of the part at `loc`, or of the nearest part around it."""
        for end in range(len(loc), 0, -1):
            if loc[:end] in self._lines:
                return self._lines[loc[:end]]
        return self._lines.get((), 1)

    def spoil(self, line: int, wrong: str) -> None:
        """Say that the file could not be read at all."""
        self.mistakes.append(Mistake((), line, wrong))

    def _root(self, root: yaml.Node | None) -> None:
        if isinstance(root, yaml.MappingNode):
            self._lines[()] = root.start_mark.line + 1
            data = self._value(root, ())
            self.data = {} if any(mistake.loc == () for mistake in self.mistakes) else data
        elif root is None:
            self.mistakes.append(Mistake((), 1, "the file is empty", "it must start with 'schema: 1'"))
        else:
            line = root.start_mark.line + 1
            self.mistakes.append(Mistake((), line, "the file is not a mapping", "write 'key: value' lines"))

    def _value(self, node: yaml.Node, loc: Loc) -> Any:
        if id(node) in self._open or len(self._lines) > _MOST_VALUES:
            said = "an alias stands inside its own anchor" if id(node) in self._open else "it holds too many values"
            self.spoil(node.start_mark.line + 1, f"not a job file: {said}")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, loc)
        self._open.add(id(node))
        data: Any = self._mapping(node, loc) if isinstance(node, yaml.MappingNode) else self._list(node, loc)
        self._open.discard(id(node))
        return data

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> Mapping[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                said = repr(key) if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                self.mistakes.append(Mistake((*loc, str(key)), line, f"{said} is a key", "keys are text; quote it"))
            elif key in data:
                first = f"first on line {self._lines[(*loc, key)]}"
                self.mistakes.append(Mistake((*loc, key), line, f"key {key!r} is given twice", first))
            else:
                self._lines[(*loc, key)] = line
                data[key] = self._value(value_node, (*loc, key))
        return data

    def _list(self, node: yaml.Node, loc: Loc) -> list[Any]:
        data = []
        for index, item in enumerate(node.value):
            self._lines[(*loc, index)] = item.start_mark.line + 1
            data.append(self._value(item, (*loc, index)))
        return data

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> Any:
        text, line = node.value, node.start_mark.line + 1
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
            case "float" if _PLAIN["float"].match(text):
                number = float(text)
                return number if math.isfinite(number) else text
            case "null":
                said = f"{loc[-1]!r} has no value" if isinstance(loc[-1], str) else f"item {loc[-1] + 1} has no value"
                self.mistakes.append(Mistake(loc, line, said, "give one, or leave it out"))
            case tag:
                self.mistakes.append(Mistake(loc, line, f"the tag {tag!r} has no meaning here", "leave it out"))
        return None


class _Loader(yaml.SafeLoader):
    """The scalars of YAML 1.2: `no`, `on`, `12:30` and dates stay text, `1e-3` is a number."""


_Loader.yaml_implicit_resolvers = {None: [(_TAG + tag, regex) for tag, regex in _PLAIN.items()]}


def _syntax(error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    said = error.problem or error.context or "it cannot be read"
    begun = error.context_mark
    if mark is not None and begun is not None and error.problem and begun.line != mark.line:
        said += f" ({error.context} that began on line {begun.line + 1})"
    tab = "indent with spaces, not tabs" if "'\\t'" in said else ""
    return Mistake((), mark.line + 1 if mark is not None else 1, f"not YAML: {said}", tab)
