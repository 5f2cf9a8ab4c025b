"""Sizes and names that keep the house easy to find one's way in."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "controlplane/store/migrations/versions"
FILES = sorted(path for place in ("controlplane", "dashboards", "tests") for path in (ROOT / place).rglob("*.py"))
VAGUE = re.compile(r"(Manager|Helpers?|Utils?|Base)$|^Base[A-Z]|^Base$")


def test_no_file_is_longer_than_400_lines() -> None:
    written = [path for path in FILES if GENERATED not in path.parents]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in written}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_no_class_is_named_for_nothing_in_particular() -> None:
    nodes = [(path, node) for path in FILES for node in ast.walk(ast.parse(path.read_text()))]
    classes = [(path, node.lineno, node.name) for path, node in nodes if isinstance(node, ast.ClassDef)]
    assert [f"{path.relative_to(ROOT)}:{line} {name}" for path, line, name in classes if VAGUE.search(name)] == []


def test_no_file_is_named_for_nothing_in_particular() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
    assert [str(path.relative_to(ROOT)) for path in FILES if path.stem in vague] == []


@pytest.mark.parametrize("name", ["JobManager", "Base", "BaseCheck", "RowHelper", "DateUtils", "CheckBase"])
def test_a_vague_name_is_seen(name: str) -> None:
    assert VAGUE.search(name)


@pytest.mark.parametrize("name", ["Baseline", "Monitor", "Database", "Window"])
def test_a_plain_name_is_let_through(name: str) -> None:
    assert not VAGUE.search(name)
